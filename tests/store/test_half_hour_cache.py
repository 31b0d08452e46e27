"""Registers from memory: the same as from the database, whatever is added to that meanwhile."""

import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import add_readings, daily, recorder_of

from kei.core.reading import Reading
from kei.store import half_hours
from kei.store.database import Database
from kei.store.half_hour_cache import KEPT, LOOK_AGAIN_S, HalfHourCache

HALF_HOUR = 1_800_000
NOW = 1_795_359_600_000 + 3 * HALF_HOUR
BOTH = ("EA", "EB")


def register(number: int, value: str, sensor: str = "EA", unit: str = "BR") -> Reading:
    """One of the half-hour that is so many before the last one."""
    return Reading(NOW - number * HALF_HOUR, unit, sensor, Decimal(value), "x")


@dataclass
class Store:
    folder: Path
    clock: FakeClock
    database: Database
    cache: HalfHourCache

    def agrees(self, first: int, last: int = 0, unit: str = "BR") -> int:
        """How many there are from one half-hour before now to another: the cache has the same."""
        self.clock.advance(LOOK_AGAIN_S)
        where = (self.folder / "kei.db", daily(self.folder))
        span = (NOW - first * HALF_HOUR, NOW - last * HALF_HOUR)
        found = list(self.cache.at_half_hours(*where, *span, unit, BOTH))
        assert found == list(half_hours.at_half_hours(*where, *span, unit, BOTH))
        return len(found)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    clock = FakeClock(NOW, TOKYO)
    database = Database.open(tmp_path / "kei.db", clock)
    yield Store(tmp_path, clock, database, HalfHourCache(clock, BOTH))
    database.close()


def test_what_comes_later_is_there_whatever_time_it_is_of(store: Store) -> None:
    rng = random.Random(7)
    add_readings(store.database, [register(number, f"{1000 - number}.5") for number in range(50)])
    assert store.agrees(100) == 50
    for _ in range(30):
        number = rng.randrange(400)
        add_readings(
            store.database,
            [
                register(number, f"{rng.randrange(10_000)}.{rng.randrange(100):02}", sensor)
                for sensor in rng.sample(BOTH, rng.randrange(1, 3))
            ],
        )
        store.agrees(rng.randrange(1, 500), rng.randrange(50))
    assert store.agrees(500) > 60


def test_a_line_that_is_no_row_yet_is_there(store: Store) -> None:
    add_readings(store.database, [register(5, "10.1")])
    assert store.agrees(9) == 1
    recorder = recorder_of(store.database, daily(store.folder), clock=store.clock)
    recorder.record_once([register(0, "10.2")])
    assert store.agrees(9) == 2
    recorder.close()


def test_a_filled_gap_is_not_in_memory_at_once(store: Store) -> None:
    add_readings(store.database, [register(0, "1000.5")])
    assert store.agrees(9) == 1
    add_readings(store.database, [register(number, "1.5") for number in range(1, 5000)])
    store.clock.advance(LOOK_AGAIN_S)
    tracemalloc.start()
    try:
        store.cache.version(store.folder / "kei.db", daily(store.folder), "BR")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 200_000  # their rows are 900,000
    assert store.agrees(5000) == 5000


def test_others_do_not_disturb(store: Store) -> None:
    odd = Reading(NOW - 60_000, "BR", "EA", Decimal(5), "x")  # no half-hour
    large = register(3, "9" * 25)
    others = [odd, register(1, "1.0", unit="B2"), register(1, "2.0", "E0")]
    add_readings(store.database, [*others, register(2, "7.25", "EB")])
    assert store.agrees(9) == 1
    assert store.agrees(9, unit="B2") == 1
    add_readings(store.database, [large])
    where = (store.folder / "kei.db", daily(store.folder))
    span = (NOW - 9 * HALF_HOUR, NOW)
    store.clock.advance(LOOK_AGAIN_S)
    assert len(list(store.cache.at_half_hours(*where, *span, "BR", BOTH))) == 1


def test_what_is_older_than_is_kept_comes_from_the_database(store: Store) -> None:
    add_readings(store.database, [register(KEPT + 20, "1.0"), register(3, "2.0")])
    assert store.agrees(KEPT + 30) == 2
    assert store.agrees(KEPT - 5) == 1


def test_another_database_is_noticed(store: Store) -> None:
    add_readings(store.database, [register(number, "8.0") for number in range(20)])
    assert store.agrees(30) == 20
    store.database.close()
    for path in store.folder.iterdir():
        path.unlink()
    store.database = Database.open(store.folder / "kei.db", store.clock)
    add_readings(store.database, [register(4, "1.5")])
    assert store.agrees(30) == 1


def test_a_new_version_is_told_only_when_there_is_something_new(store: Store) -> None:
    where = (store.folder / "kei.db", daily(store.folder), "BR")
    add_readings(store.database, [register(1, "8.0")])
    store.agrees(3)
    before = store.cache.version(*where)
    store.clock.advance(LOOK_AGAIN_S)
    assert store.cache.version(*where) == before
    add_readings(store.database, [register(0, "8.1")])
    store.clock.advance(LOOK_AGAIN_S)
    assert store.cache.version(*where) != before
