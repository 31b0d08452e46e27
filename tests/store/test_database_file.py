"""A database file that is removed or replaced while kei runs: noticed, told once, made good."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import daily, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store import database_file, pending
from kei.store.committer import RETRY_S
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.recorder import Recorder
from kei.store.text import DailyFile

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
ALL = ("kei.db", "kei.db-wal", "kei.db-shm")


class Kei:
    """A recorder with its database, and a target that gets what is recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(NOON_MS, TOKYO)
        self.database = Database.open(folder / "kei.db", self.clock)
        self.text = daily(folder)
        self.recorder: Recorder = recorder_of(self.database, self.text, clock=self.clock)
        self.queue = UploadQueue(self.database, self.recorder.commit)
        self.queue.register("server", What.READINGS, None)

    def record(self, *numbers: int) -> None:
        for number in numbers:
            time_ms = NOON_MS + number * 1000
            self.recorder.record([Reading(time_ms, "BR", "E7", Decimal(number), "x")])

    def later(self) -> None:
        self.clock.advance(5)
        self.recorder.tick()

    def on_disk(self) -> list[int]:
        """What another process finds."""
        with closing(sqlite3.connect(self.folder / "kei.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = connection.execute("SELECT value FROM readings ORDER BY id").fetchall()
        return [value // 10_000 for (value,) in rows]

    def uploads(self) -> list[int]:
        rows = self.queue.pending("server", What.READINGS, 100)
        self.queue.advance("server", What.READINGS, rows[-1].id if rows else 0)
        return [int(row.item.value) for row in rows if isinstance(row.item, Reading)]


@pytest.fixture
def kei(tmp_path: Path) -> Iterator[Kei]:
    kei = Kei(tmp_path)
    yield kei
    kei.recorder.close()
    kei.database.close()


@pytest.mark.parametrize("files", [ALL, ALL[:1], ALL[:2]])
def test_a_removed_database_is_written_anew_with_everything_and_told_once(
    kei: Kei, files: tuple[str, ...]
) -> None:
    kei.record(1, 2)
    assert kei.uploads() == [1, 2]
    kei.record(3)
    for name in files:
        (kei.folder / name).unlink()
    with capture_logs() as logs:
        kei.later()
        kei.later()
        kei.record(4)
        assert kei.uploads() == [3, 4]
    assert kei.on_disk() == [1, 2, 3, 4]
    assert [e["event"] for e in logs if e["log_level"] == "error"] == ["database_gone"]


def test_where_that_is_not_possible_the_text_gives_the_readings(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    kei.record(1, 2)
    kei.recorder.commit()
    kei.record(3)
    (kei.folder / "kei.db").unlink()
    monkeypatch.setattr("kei.store.database.rescue", lambda *_: False)
    kei.later()
    kei.record(4)
    kei.recorder.commit()
    assert kei.on_disk() == [1, 2, 3, 4]


def test_a_target_gets_what_a_new_database_has_of_the_text_also_after_a_restart(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    kei.record(1, 2)
    assert kei.uploads() == [1, 2]
    kei.record(3)
    (kei.folder / "kei.db").unlink()
    monkeypatch.setattr("kei.store.database.rescue", lambda *_: False)
    kei.later()
    with closing(Database.open(kei.folder / "kei.db", kei.clock)) as after:
        queue = UploadQueue(after)
        queue.register("server", What.READINGS, None)
        rows = queue.pending("server", What.READINGS, 100)
    # 1 and 2 for the second time: nobody knows any more that they were sent.
    assert [int(row.item.value) for row in rows if isinstance(row.item, Reading)] == [1, 2, 3]


def test_a_database_that_is_removed_just_before_the_end_is_written_anew(kei: Kei) -> None:
    kei.record(1)
    assert kei.uploads() == [1]
    kei.record(2)
    for path in kei.folder.glob("kei.db*"):
        path.unlink()
    kei.recorder.close()
    kei.database.close()
    assert kei.on_disk() == [1, 2]


def test_a_rescue_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there.db").write_text("of another program")
    with closing(sqlite3.connect(":memory:")) as connection, capture_logs() as logs:
        assert not database_file.rescue(connection, tmp_path / "there.db")
    assert [path.name for path in tmp_path.iterdir()] == ["there.db"]
    assert [entry["event"] for entry in logs] == ["database_not_rescued"]


def test_a_backup_that_is_put_in_its_place_gets_what_it_lacks(kei: Kei) -> None:
    def wait_for_lines(*numbers: int) -> None:
        with kei.database.transaction() as connection:
            connection.execute("DELETE FROM pending")  # the others have got theirs
            for number in numbers:
                made = Reading(NOON_MS + number * 1000, "BR", "E7", Decimal(number), "x")
                pending.add(connection, [pending.Item(made, None)], "")

    kei.record(1)
    kei.recorder.commit()
    wait_for_lines(2, 8)
    with (
        closing(sqlite3.connect(kei.folder / "kei.db")) as source,
        closing(sqlite3.connect(kei.folder / "backup.db")) as backup,
    ):
        source.backup(backup)
    kei.record(2)
    kei.recorder.commit()
    wait_for_lines(8, 9)
    kei.record(3)
    (kei.folder / "backup.db").replace(kei.folder / "kei.db")
    with capture_logs() as logs:
        kei.later()
    kei.recorder.commit()
    assert sorted(kei.on_disk()) == [1, 2, 3, 8, 9]
    assert [e["event"] for e in logs if e["log_level"] == "error"] == ["database_replaced"]


@pytest.mark.parametrize("is_rescued", [True, False])
def test_a_removed_database_that_a_commit_meets_first_gets_everything(
    kei: Kei, monkeypatch: pytest.MonkeyPatch, *, is_rescued: bool
) -> None:
    kei.record(1, 2)
    kei.recorder.commit()
    kei.record(3)
    (kei.folder / "kei.db").unlink()
    if not is_rescued:
        monkeypatch.setattr("kei.store.database.rescue", lambda *_: False)
    kei.clock.advance(5)
    kei.recorder.commit()  # for an upload, before the recorder looks
    kei.later()
    kei.record(4)
    kei.recorder.commit()
    assert kei.on_disk() == [1, 2, 3, 4]


def test_damage_that_is_found_by_others_costs_a_commit_nothing(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    kei.record(1, 2)
    kei.recorder.commit()
    kei.record(3)
    damage = sqlite3.DatabaseError("malformed")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def sync(days: Iterable[date] = ()) -> None:
        with pytest.raises(StoreError, match="malformed"), kei.database.access():
            raise damage
        DailyFile.sync(kei.text, days)

    monkeypatch.setattr(kei.text, "sync", sync)
    with pytest.raises(StoreError, match="another file"):
        kei.recorder.commit()  # a file is set aside in the middle of it
    monkeypatch.undo()
    kei.clock.advance(RETRY_S)
    kei.recorder.commit()
    assert kei.on_disk() == [1, 2, 3]


def test_what_a_server_has_of_a_database_is_not_what_it_has_of_the_next(
    kei: Kei, monkeypatch: pytest.MonkeyPatch
) -> None:
    kei.record(1, 2)
    (first, _) = kei.queue.pending("server", What.READINGS, 100)
    kei.record(3)
    (kei.folder / "kei.db").unlink()
    monkeypatch.setattr("kei.store.database.rescue", lambda *_: False)
    kei.later()  # while 1 and 2 are being posted
    for change in (kei.queue.advance, kei.queue.sending):
        with pytest.raises(StoreError, match="another file"):
            change("server", What.READINGS, 100)
    with pytest.raises(StoreError, match="another file"):
        kei.queue.set_aside("server", What.READINGS, [first], "bad")
    assert kei.uploads() == [1, 2, 3]


def test_a_log_that_is_removed_is_written_anew(kei: Kei) -> None:
    kei.record(1)
    kei.recorder.commit()
    (kei.folder / "kei.db-wal").unlink()
    with capture_logs() as logs:
        kei.later()
        kei.record(2)
        kei.recorder.sync()
    assert [(e["event"], Path(e["file"]).name) for e in logs if e["log_level"] == "error"] == [
        ("database_gone", "kei.db-wal")
    ]
    assert kei.on_disk() == [1, 2]
