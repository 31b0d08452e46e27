"""What goes from the database at night, and what does not because the clock may be wrong."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock
from stored import add_readings

from kei.core.reading import Reading
from kei.jobs.prune import PRUNE_AT_S, STATE_KEY, Pruner
from kei.store.database import Database
from kei.store.reading_table import ReadingTable

DAY_MS = 86_400_000
RETENTION_S = 400 * 86_400.0
NOW_MS = 1_830_000_000_000
DAYS = 500  # of readings, one a day


class Bench:
    """A database with readings of many days."""

    def __init__(self, database: Database, days: int = DAYS) -> None:
        self.clock = FakeClock(NOW_MS)
        self.database = database
        self.synchronised = False
        self.is_trusted = True
        self.table = ReadingTable(database)
        self.pruner = Pruner(database, self, self, RETENTION_S, self.clock)
        self.record(*range(days, 0, -1))

    def record(self, *days_ago: int) -> None:
        now_ms = self.clock.now_ms()
        add_readings(
            self.database,
            [Reading(now_ms - day * DAY_MS, "BR", "E7", Decimal(1), "x") for day in days_ago],
        )

    def night(self) -> None:
        """Prune as if that had not been done for a day."""
        self.database.set_state(STATE_KEY, "0")
        self.pruner.run()

    @property
    def oldest_days(self) -> float:
        oldest_ms = self.table.next_ms(0)
        assert oldest_ms is not None
        return (NOW_MS - oldest_ms) / DAY_MS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    database = Database.open(tmp_path / "kei.db", FakeClock())
    yield Bench(database)
    database.close()


def test_by_a_synchronised_clock_everything_too_old_goes_at_once(bench: Bench) -> None:
    bench.synchronised = True
    bench.night()
    assert bench.oldest_days == 400


def test_by_any_other_clock_two_days_go_in_a_night(bench: Bench) -> None:
    bench.night()
    assert bench.oldest_days == DAYS - 2
    bench.night()
    assert bench.oldest_days == DAYS - 4


@pytest.mark.parametrize("years", [1, 10])
def test_a_clock_that_is_ahead_by_years_costs_a_few_days_and_not_everything(
    bench: Bench, years: int
) -> None:
    bench.clock.advance(years * 365 * 86_400)
    for _ in range(3):
        bench.record(0)  # under the wrong time, so that the newest reading says nothing
        bench.night()
        bench.clock.advance(86_400)
    assert bench.oldest_days == DAYS - 6


def test_without_synchronisation_a_full_database_still_does_not_grow(bench: Bench) -> None:
    for _ in range(200):
        bench.clock.advance(86_400)
        bench.record(0)
        bench.night()
    kept_days = bench.oldest_days + 200
    assert kept_days == 400


def test_readings_of_a_clock_that_was_behind_do_not_stop_the_others_from_going(
    bench: Bench,
) -> None:
    bench.record(20_000, 19_999, 0)  # days ago, as of a machine that begins at 1970
    bench.night()
    assert bench.oldest_days == DAYS
    bench.night()
    assert bench.oldest_days == DAYS - 2


def test_what_is_younger_than_the_retention_stays_by_any_clock(bench: Bench) -> None:
    for trusted in (True, False):
        bench.synchronised = trusted
        for _ in range(100):
            bench.night()
        assert bench.oldest_days == 400


def test_an_empty_database_has_nothing_to_lose(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "empty.db", FakeClock())
    bench = Bench(database, days=0)
    bench.night()
    assert bench.table.next_ms(0) is None
    database.close()


def test_a_clock_that_has_not_been_trusted_for_an_hour_costs_nothing(bench: Bench) -> None:
    bench.clock.advance(10 * 365 * 86_400)
    bench.synchronised, bench.is_trusted = True, False
    bench.night()
    assert bench.oldest_days == DAYS


def test_a_clock_that_is_set_while_readings_are_deleted_costs_no_more(bench: Bench) -> None:
    bench.synchronised = True
    now_ms = bench.clock.now_ms

    def stepped() -> int:
        bench.is_trusted = False
        return now_ms() + 10 * 365 * DAY_MS

    bench.clock.now_ms = stepped  # type: ignore[method-assign]
    bench.night()
    assert bench.oldest_days == DAYS


def test_it_is_done_once_a_night_however_often_it_is_asked_for(bench: Bench) -> None:
    oldest = []
    bench.clock.wall_ms += PRUNE_AT_S * 1000 - bench.clock.wall_ms % DAY_MS - 1  # 03:16:59.999
    for seconds in (0, 0.001, 3600, 82_000, 2000, -86_400):  # the last one: it was ahead
        bench.clock.wall_ms += round(seconds * 1000)
        bench.pruner.run()
        oldest.append(DAYS - bench.oldest_days)
    assert oldest == [2, 4, 4, 4, 6, 8]


def test_what_the_clock_did_not_permit_at_night_is_done_when_it_does(bench: Bench) -> None:
    bench.is_trusted = False
    bench.pruner.run()
    bench.clock.advance(3600)
    bench.is_trusted = True
    bench.pruner.run()
    assert bench.oldest_days == DAYS - 2
