"""The milliseconds of lines that have no row yet, in a file of memory."""

import resource
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import readings_in, recorder_of

from kei.core.clock import epoch_ms
from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.milliseconds import Milliseconds
from kei.store.recorder import Recorder
from kei.store.text import DailyFile

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
# Twice the same line, and one of the second after.
READINGS = [Reading(NOON_MS + ms, "A1", "T1", Decimal(1), "x") for ms in (250, 999, 1007)]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database.open(tmp_path / "kei.db", FakeClock(NOON_MS, TOKYO))) as database:
        yield database


def live(database: Database, memory: Path) -> Recorder:
    """A kei that goes on where another one was killed."""
    text = DailyFile(memory.parent, "home", "", TOKYO, memory)
    return recorder_of(database, text, clock=FakeClock(NOON_MS, TOKYO))


def times_ms(database: Database) -> list[int]:
    return [reading.time_ms for reading in readings_in(database)]


def test_after_a_kill_lines_have_their_milliseconds(database: Database, memory: Path) -> None:
    live(database, memory).record(READINGS)
    assert times_ms(database) == []
    live(database, memory)
    assert times_ms(database) == [reading.time_ms for reading in READINGS]
    assert memory.stat().st_size == 0


def test_nothing_is_kept_of_lines_that_have_their_rows(database: Database, memory: Path) -> None:
    recorder = live(database, memory)
    recorder.record(READINGS)
    recorder.commit()
    assert memory.stat().st_size == 0
    recorder.record(READINGS)
    recorder.close()
    assert not memory.exists()
    assert len(times_ms(database)) == 2 * len(READINGS)


@pytest.mark.parametrize("what", ["folder", "torn", "link"])
def test_whatever_is_in_its_place_costs_the_milliseconds_only(
    database: Database, memory: Path, what: str
) -> None:
    live(database, memory).record(READINGS)
    content = memory.read_bytes()
    memory.unlink()
    match what:
        case "folder":
            memory.mkdir()
        case "torn":
            memory.write_bytes(content[:-1])
        case "link":
            memory.symlink_to("kei.db")
    live(database, memory)
    whole = [NOON_MS + 250, NOON_MS + 999] if what == "torn" else [NOON_MS, NOON_MS]
    assert times_ms(database) == [*whole, NOON_MS + 1000]


def test_it_is_bounded(memory: Path) -> None:
    kept = Milliseconds(memory)
    for _ in range(30):
        kept.add(("2026/11/23 12:00:00,A1,T1,1,x", number) for number in range(10_000))
    assert memory.stat().st_size == 1_200_000
    assert sum(map(len, kept.load().values())) == 200_000


def test_a_full_memory_leaves_what_was_kept_readable(memory: Path) -> None:
    kept, line = Milliseconds(memory), "2026/11/23 12:00:00,A1,T1,1,x"
    kept.add((line, number) for number in range(100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (610, limits[1]))  # an entry and two thirds more
    try:
        kept.add([(line, 100), (line, 101)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept.add([(line, 102)])
    assert [list(each) for each in Milliseconds(memory).load().values()] == [[*range(101)]]
