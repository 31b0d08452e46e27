"""A restore that is killed at any step: the database is the one before or the one after."""

import errno
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from programs import ROOT
from stored import add_readings, daily

from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.store import backup
from kei.store.database import Database

BEGIN_MS = 1_790_000_000_000
KILLED = 9
# Ends the process at its Nth call of a function that changes a folder or waits for the disk.
RESTORE = """
import os, sys
from pathlib import Path

left = int(sys.argv[1])

def counted(function):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*args, **options)
    return call

for module, name in (os, "link"), (os, "fsync"), (Path, "unlink"), (Path, "replace"):
    setattr(module, name, counted(getattr(module, name)))

from kei.core.clock import SystemClock
from kei.store.backup import restore
from kei.store.text import DailyFile

clock = SystemClock()
text = DailyFile(Path(), "home", "", clock.zone)
restore(Path("copy.db"), Path("kei.db"), text, clock, lambda _: None)
"""


def readings(first: int, count: int) -> list[Reading]:
    return [
        Reading(BEGIN_MS + number, "BR", "E7", Decimal(number), "x")
        for number in range(first, first + count)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database with 20 readings, 10 of them in its log, and a backup with 5."""
    made = tmp_path / "made"
    made.mkdir()
    database = Database.open(made / "kei.db", FakeClock(zone=TOKYO))
    add_readings(database, readings(0, 5))
    backup.back_up(made / "kei.db", tmp_path / "copy.db", lambda _: None)
    add_readings(database, readings(5, 5))
    database.close()
    database = Database.open(made / "kei.db", FakeClock(zone=TOKYO))
    add_readings(database, readings(10, 10))
    for path in made.glob("kei.db*"):
        shutil.copy(path, tmp_path)
    database.close()
    return tmp_path


def times(path: Path) -> set[int]:
    """The readings of a database and its log, which has to be sound."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {
            time for (time,) in database.execute("SELECT time_ms - ? FROM readings", [BEGIN_MS])
        }


def test_a_restore_that_is_killed_at_any_step_loses_nothing(folder: Path, tmp_path: Path) -> None:
    for step in itertools.count(1):
        work = tmp_path / f"step-{step}"
        work.mkdir()
        for path in folder.glob("*.db*"):
            shutil.copy(path, work)
        code = subprocess.run(
            [sys.executable, "-c", RESTORE, str(step)],
            cwd=work,
            env={"PYTHONPATH": str(ROOT)},
            timeout=30,
            check=False,
        ).returncode
        before = set(work.glob("kei.db.before-restore-*[0-9]"))
        present = times(work / "kei.db")
        if code == 0:
            assert present == set(range(5))
        else:
            assert code == KILLED
            assert present in (set(range(5)), set(range(10)), set(range(20)))
        kept = [times(path) for path in before]
        assert set(range(20)) in (present, *kept)
        if code == 0:
            break
    assert step > 6


def test_a_copy_with_its_log_beside_it_is_restored_with_what_the_log_has(folder: Path) -> None:
    other = folder / "other" / "kei.db"
    other.parent.mkdir()
    done = backup.restore(
        folder / "kei.db", other, daily(folder), FakeClock(zone=TOKYO), lambda _: None
    )
    assert done.aside is None
    assert times(other) == set(range(20))


def test_a_link_to_the_database_stays_one(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    for path in folder.glob("kei.db*"):
        path.rename(disk / path.name)
    link = folder / "kei.db"
    link.symlink_to(disk / "kei.db")
    done = backup.restore(
        folder / "copy.db", link, daily(folder), FakeClock(zone=TOKYO), lambda _: None
    )
    assert link.is_symlink()
    assert done.aside is not None
    assert done.aside.parent == disk
    assert (times(link), times(done.aside)) == (set(range(5)), set(range(20)))


def test_progress_is_told_up_to_the_end(folder: Path) -> None:
    shares: list[float] = []
    backup.back_up(folder / "kei.db", folder / "again.db", shares.append)
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_an_older_database_is_copied_too(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "copy.db")) as database:
        database.execute("PRAGMA user_version = 2")
    content = backup.back_up(folder / "copy.db", folder / "again.db", lambda _: None)
    assert content.newest_ms == BEGIN_MS + 4


def test_a_copy_tells_its_latest_reading_also_when_gaps_were_filled_after_it(
    folder: Path,
) -> None:
    with closing(Database.open(folder / "kei.db", FakeClock(zone=TOKYO))) as database:
        add_readings(database, [replace(each, recovered=True) for each in readings(-9, 3)])
    content = backup.back_up(folder / "kei.db", folder / "again.db", lambda _: None)
    assert content.newest_ms == BEGIN_MS + 19


def test_a_database_that_changes_without_a_log_is_copied_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = folder / "copy.db", folder / "again.db"
    left = [2]

    def disturb(_: float) -> None:
        if left:
            left.pop()
            with closing(sqlite3.connect(source)) as database, database:
                database.execute("UPDATE state SET value = 'changed'")
                database.execute("DELETE FROM readings WHERE time_ms = ?", [BEGIN_MS])

    backup.back_up(source, target, disturb)
    assert times(target) == set(range(1, 5))

    def disturb_for_ever(_: float) -> None:
        source.touch()

    with pytest.raises(StoreError, match="changes all the time"):
        backup.back_up(source, target, disturb_for_ever)
    assert times(target) == set(range(1, 5))


def test_a_file_system_without_second_names_keeps_the_database_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    done = backup.restore(
        folder / "copy.db", folder / "kei.db", daily(folder), FakeClock(zone=TOKYO), lambda _: None
    )
    assert done.aside is not None
    assert (times(folder / "kei.db"), times(done.aside)) == (set(range(5)), set(range(20)))


def test_two_restores_within_a_second_keep_two_databases(folder: Path) -> None:
    clock = FakeClock(zone=TOKYO)
    kept = {
        backup.restore(
            folder / "copy.db", folder / "kei.db", daily(folder), clock, lambda _: None
        ).aside
        for _ in range(2)
    }
    assert len(kept) == 2
