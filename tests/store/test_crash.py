"""Killed at any instant, out of space: what was recorded is there, once, in complete lines."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from programs import PATIENCE_S
from small_disks import fill, small_disk
from stored import daily, recorder_of
from structlog.testing import capture_logs

from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.store.database import Database

PROGRAM = Path(__file__).with_name("recording.py")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}:{ROOT / 'tests' / 'store'}",
}
BEGIN_MS = 1_790_000_000_000
LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,BR,E7,\d+,x")


def in_text(folder: Path) -> list[int]:
    content = "".join(file.read_text() for file in sorted(folder.glob("*.txt")))
    assert content.endswith("\n")
    lines = content.splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return [int(line.split(",")[3]) for line in lines]


def in_database(folder: Path) -> list[int]:
    connection = sqlite3.connect(folder / "kei.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute("SELECT value FROM readings ORDER BY id").fetchall()
    connection.close()
    return [value // 10_000 for (value,) in rows]


def reading(number: int) -> Reading:
    return Reading(BEGIN_MS + number, "BR", "E7", Decimal(number), "x")


def kill_after(acknowledged: int, folder: Path) -> int:
    """Let the program record, kill it, and return the last number that it said it had recorded."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), "endless"],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(acknowledged):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    whole = rest[: rest.rfind("\n") + 1].split()
    return int(whole[-1]) if whole else acknowledged - 1


def start_again(folder: Path) -> None:
    database = Database.open(folder / "kei.db", FakeClock(BEGIN_MS, TOKYO))
    recorder_of(database, daily(folder)).close()
    database.close()


@pytest.mark.parametrize("acknowledged", [1, 40, 777, 5000])
def test_killed_while_recording_everything_acknowledged_is_in_both_places_once(
    acknowledged: int, tmp_path: Path
) -> None:
    last = kill_after(acknowledged, tmp_path)
    start_again(tmp_path)
    text, database = in_text(tmp_path), in_database(tmp_path)
    assert text == database == list(range(len(text)))
    assert len(text) > last


def test_recording_goes_on_after_a_kill(tmp_path: Path) -> None:
    kill_after(100, tmp_path)
    before = in_text(tmp_path)
    database = Database.open(tmp_path / "kei.db", FakeClock(zone=TOKYO))
    recorder = recorder_of(database, daily(tmp_path))
    recorder.record([reading(1_000_000)])
    recorder.close()
    database.close()
    assert in_text(tmp_path) == [*before, 1_000_000]
    assert in_database(tmp_path)[-1] == 1_000_000


def test_files_that_may_not_grow_are_made_up_for_when_they_may(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), "limited"],
        capture_output=True,
        env=ENVIRONMENT,
        text=True,
        timeout=60,
        check=True,
    )
    status = json.loads(result.stderr)
    assert status["full"]["text"]["waiting"] > 0
    assert status["full"]["database"]["waiting"] > 0
    assert "20260921-home.txt: " in status["full"]["text"]["fault"]
    for place in ("text", "database"):
        assert status["after"][place]["waiting"] == status["after"][place]["dropped"] == 0
        assert result.stdout.count(f"to={place}") == 2, result.stdout  # failing, resumed
    assert in_text(tmp_path) == in_database(tmp_path) == list(range(5000))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


def test_a_full_disk_is_made_up_for_when_there_is_space_again(disk: Path) -> None:
    database = Database.open(disk / "kei.db", FakeClock(zone=TOKYO))
    recorder = recorder_of(database, daily(disk))
    recorder.record([reading(0)])
    ballast = fill(disk)
    with capture_logs() as logs:
        for number in range(1, 2000):
            recorder.record([reading(number)])
        with contextlib.suppress(StoreError):
            recorder.commit()
        full = recorder.status()
        content = next(disk.glob("*.txt")).read_bytes()
        ballast.unlink()
        recorder.record([reading(2000)])
    recorder.close()
    database.close()

    assert full.text.waiting > 0
    assert full.database.waiting > 0
    assert content.endswith(b"\n")
    assert in_text(disk) == in_database(disk) == list(range(2001))
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "recording_failing"
    ]
