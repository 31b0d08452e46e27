"""A real kei on disks that are full, read-only or broken: it goes on, and makes up for it."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from programs import SIMULATED, Program, as_text_line, readings, running, wait_until, write_jobs
from small_disks import fill, mount, small_disk

from kei.commands.status.asking import ask_kei
from kei.config import load
from kei.core.clock import SystemClock

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.2'
GARBAGE = b"\xa5" * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return jobs_beside_disk(tmp_path)


def jobs_beside_disk(folder: Path) -> Path:
    """A jobs.toml beside the disk, whose files are on it, with a meter that dies with kei."""
    recorder = '[recorder]\ndirectory = "disk"\ndatabase = "disk/kei.db"'
    return write_jobs(folder, SIMULATED, recorder, requests=FAST)


def recorder_of(jobs: Path) -> dict[str, dict[str, object]]:
    """What `kei status` says of the recorder."""
    with running("status", "--json", "--jobs", str(jobs)) as status:
        status.wait()
    found: dict[str, dict[str, object]] = json.loads("\n".join(status.lines))["recorder"]
    return found


def exported(jobs: Path) -> Counter[str]:
    command = ("export", "--jobs", str(jobs), "--from", "2000-01-01", "--to", "2100-01-01")
    with running(*command) as export:
        assert export.wait(30) == 0, export.output()
    return Counter(map(as_text_line, export.lines[1:]))


def text(folder: Path) -> Counter[str]:
    return Counter(",".join(fields) for fields in readings(folder))


def has_answers(kei: Program, jobs: Path, count: int) -> None:
    """Wait until the meter has answered so often, wherever the readings are."""
    database = load(jobs, environ=os.environ).recorder.database

    def answered() -> bool:
        snapshot = ask_kei(database, SystemClock(UTC)).snapshot
        session = None if snapshot is None else snapshot.session
        return session is not None and session.answered >= count

    wait_until(answered, 20, f"{count} answers\n{kei.output()}")


def test_a_disk_that_is_full_at_the_start_is_made_up_for_when_there_is_space(
    disk: Path, jobs: Path
) -> None:
    ballast = fill(disk)
    with running("--jobs", str(jobs)) as kei:
        has_answers(kei, jobs, 10)
        state = recorder_of(jobs)
        assert "No space left" in str(state["text"]["fault"])
        assert int(str(state["text"]["waiting"])) >= 5
        ballast.unlink()
        wait_until(lambda: len(readings(disk)) >= 10, 20, "lines")
        assert kei.stop() == 0
        errors = [line for line in kei.lines if '"level": "error"' in line]
        assert len(errors) == 1, errors
        assert "disk is full" in errors[0]
        assert kei.events("recording_resumed")
    assert exported(jobs) == text(disk)
    assert sum(text(disk).values()) >= 10


def test_a_file_system_that_is_read_only_at_the_start_is_made_up_for_when_it_is_not(
    disk: Path, jobs: Path
) -> None:
    mount("-o", "remount,ro,size=2m", str(disk))
    with running("--jobs", str(jobs)) as kei:
        has_answers(kei, jobs, 5)
        assert "Read-only file system" in str(recorder_of(jobs)["text"]["fault"])
        mount("-o", "remount,rw,size=2m", str(disk))
        wait_until(lambda: len(readings(disk)) >= 5, 20, "lines")
        assert kei.stop() == 0
    assert exported(jobs) == text(disk)


@pytest.mark.parametrize(("is_new", "free"), [(True, 0), (False, 0), (False, 1)])
def test_a_disk_without_a_free_inode_at_the_start_is_made_up_for_when_there_is_one(
    disk: Path, jobs: Path, free: int, *, is_new: bool
) -> None:
    if not is_new:  # there is a database then, but no room for its log, or for the log's index
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: len(readings(disk)) >= 2, 20, "readings")
            assert kei.stop() == 0
        assert not (disk / "kei.db-wal").exists()
    before, there = len(readings(disk)), os.statvfs(disk)
    mount("-o", f"remount,nr_inodes={there.f_files - there.f_ffree + free},size=2m", str(disk))
    with running("--jobs", str(jobs)) as kei:
        has_answers(kei, jobs, 5)
        assert "no free inodes" in str(recorder_of(jobs)["database"]["fault"])
        mount("-o", "remount,nr_inodes=100,size=2m", str(disk))
        wait_until(lambda: len(readings(disk)) >= before + 5, 20, "lines")
        kei.wait_for_event("recording_resumed")
        assert kei.stop() == 0
    assert len(kei.events("database_not_opened")) == 1
    assert len([line for line in kei.lines if '"level": "error"' in line]) == 1
    assert exported(jobs) == text(disk)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a kei that was killed: there are rows in its file, and others in the log."""
    base = tmp_path_factory.mktemp("killed")
    folder = base / "disk"
    folder.mkdir()
    jobs = jobs_beside_disk(base)
    for _ in range(2):
        with running("--jobs", str(jobs)) as kei:
            before = len(readings(folder))
            kei.wait_for(lambda: len(readings(folder)) >= before + 5, 20, "readings")  # noqa: B023
            kei.send(signal.SIGKILL)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture
def killed_folder(tmp_path: Path, killed: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(killed, tmp_path / "disk")


def test_a_damaged_page_costs_the_database_but_no_reading_of_today(
    folder: Path, jobs: Path
) -> None:
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: len(readings(folder)) >= 5, 20, "readings")
        assert kei.stop() == 0
    with (folder / "kei.db").open("r+b") as file:
        for page in range(2, (folder / "kei.db").stat().st_size // len(GARBAGE)):
            file.seek(page * len(GARBAGE))
            file.write(GARBAGE)
    with running("--jobs", str(jobs)) as kei:
        before = len(readings(folder))
        kei.wait_for(lambda: len(readings(folder)) >= before + 3, 20, "more readings")
        assert kei.stop() == 0
        (told,) = kei.events("database_damaged")
        assert [line for line in kei.lines if '"level": "error"' in line] != []
    (aside,) = folder.glob("kei.db.damaged-*[0-9]")
    assert str(aside) == told["set_aside_as"]
    assert exported(jobs) == text(folder)


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_log_that_was_cut_off_costs_nothing(
    share: float, killed_folder: Path, jobs: Path
) -> None:
    folder = killed_folder
    wal = folder / "kei.db-wal"
    os.truncate(wal, int(wal.stat().st_size * share))
    with running("--jobs", str(jobs)) as kei:
        before = len(readings(folder))
        kei.wait_for(lambda: len(readings(folder)) > before, 20, "more readings")
        assert kei.stop() == 0
    assert exported(jobs) == text(folder)
    assert list(folder.glob("*damaged*")) == []


@pytest.mark.parametrize("damage", ["", "\x00garbage", '{"until":"x","marks":[]}'])
def test_values_that_a_dying_card_has_changed_end_nothing(
    damage: str, killed_folder: Path, jobs: Path
) -> None:
    folder = killed_folder
    with running("--jobs", str(jobs)) as kei:  # both places agree again
        kei.wait_for_event("session_joined")
        assert kei.stop() == 0
    before = text(folder)
    with contextlib.closing(sqlite3.connect(folder / "kei.db")) as database, database:
        assert database.execute("UPDATE state SET value = ?", (damage,)).rowcount >= 4
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.wait_for(lambda: text(folder).total() > before.total() + 5, 20, "new readings")
        assert kei.stop() == 0
    assert not [line for line in kei.errors if "Traceback" in line]
    assert not kei.events("job_failed")
    assert before <= text(folder) == exported(jobs)


def test_a_disk_that_is_full_at_the_start_is_called_so_and_status_has_the_last_values(
    disk: Path, jobs: Path
) -> None:
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: len(readings(disk)) >= 3, 20, "readings")
        kei.send(signal.SIGKILL)
    newest = ",".join(readings(disk)[-1])
    fill(disk)
    with running("--jobs", str(jobs)) as kei:
        has_answers(kei, jobs, 3)
        (told,) = (e for e in kei.events("recording_failing") if e["to"] == "database")
        assert "full" in str(told["reason"])
        with running("status", "--json", "--jobs", str(jobs)) as status:
            status.wait()
        found = json.loads("\n".join(status.lines))
        assert [series["sensor"] for series in found["series"]] == ["E7"]
        assert newest in exported(jobs)
        assert kei.stop() == 0
