"""A series in a few hundred points, whichever rows it comes from: no extreme is ever lost."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import add_readings, daily, summariser_of

from kei.core.reading import Reading
from kei.store.blocks import BLOCK_MS, BlockTable
from kei.store.database import Database
from kei.store.text import DailyFile
from kei.store.thinned import Level, Point, Wanted, thinned

DAY = 86_400_000
MIDNIGHT = 1_795_359_600_000  # 2026-11-23 00:00 in Tokyo
CYCLE_S = 60


def watts(time_ms: int) -> int:
    """A power that is another one each minute, with a peak of a minute a day."""
    minute = time_ms // 60_000
    return 9000 if minute % 1440 == 700 else 100 + minute * 7919 % 1900


def power(begin_ms: int, end_ms: int, every_s: int = CYCLE_S) -> list[Reading]:
    return [
        Reading(at, "BR", "E7", Decimal(watts(at)), "x")
        for at in range(begin_ms, end_ms, every_s * 1000)
    ]


@dataclass
class Store:
    folder: Path
    clock: FakeClock
    database: Database

    def summarise(self) -> None:
        """Have every window and block computed that is over."""
        summariser = summariser_of(self.database, DailyFile(self.folder, "home", "sum", TOKYO))
        for _ in range(20):
            summariser.run()

    def points(
        self, begin_ms: int, end_ms: int, points: int = 720, sensor: str = "E7"
    ) -> Sequence[Point]:
        wanted = Wanted("BR", sensor, begin_ms, end_ms, points, CYCLE_S, 600)
        return thinned(self.folder / "kei.db", daily(self.folder), wanted, self.clock)

    def execute(self, statement: str, *values: object) -> list[tuple[int, ...]]:
        with self.database.transaction() as connection:
            return connection.execute(statement, values).fetchall()


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    clock = FakeClock(MIDNIGHT, TOKYO)
    database = Database.open(folder / "kei.db", clock)
    yield Store(folder, clock, database)
    database.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """75 days with a reading in each window, and all that is computed of them."""
    with opened(tmp_path_factory.mktemp("months")) as found:
        add_readings(found.database, power(MIDNIGHT - 75 * DAY, MIDNIGHT, 600))
        found.summarise()
        yield found


def check(
    points: Sequence[Point], begin_ms: int, end_ms: int, count: int, every_s: int = CYCLE_S
) -> None:
    """They are few, in order, and have all that was measured in the range and nothing else."""
    assert len(points) <= count
    times = [each.time_ms for each in points]
    assert times == sorted(set(times))
    known = [each.values for each in points if each.values is not None]
    values = [watts(at) for at in range(begin_ms, end_ms, every_s * 1000)]
    assert min(low for low, _, _ in known) == min(values)
    assert max(high for _, _, high in known) == max(values)
    average = sum(average for _, average, _ in known) / len(known)
    assert average == pytest.approx(sum(values) / len(values), rel=0.05)


# Ends in the middle of a window and of a block, and beginnings likewise.
ODD_MS, EARLIER_MS = 12_345_678, 7_654_321


@pytest.mark.parametrize(("days", "level"), [(1, Level.READINGS), (5, Level.WINDOWS)])
def test_every_extreme_of_days_is_there(store: Store, days: int, level: Level) -> None:
    begin, end = MIDNIGHT - days * DAY + ODD_MS, MIDNIGHT - EARLIER_MS
    first = -(-begin // 60_000) * 60_000
    assert Wanted("BR", "E7", begin, end, 720, CYCLE_S, 600).level is level
    add_readings(store.database, power(first - 30 * 60_000, MIDNIGHT))
    store.summarise()
    for count in (720, 50, 1):
        check(store.points(begin, end, count), first, end, count)


def test_every_extreme_of_months_is_there(months: Store) -> None:
    begin, end = MIDNIGHT - 74 * DAY + ODD_MS, MIDNIGHT - EARLIER_MS
    first = -(-begin // 600_000) * 600_000
    assert Wanted("BR", "E7", begin, end, 720, CYCLE_S, 600).level is Level.BLOCKS
    for count in (720, 50, 1):
        check(months.points(begin, end, count), first, end, count, 600)


def test_what_is_not_averaged_yet_comes_from_the_readings(store: Store) -> None:
    begin = MIDNIGHT - 72 * DAY
    add_readings(store.database, power(begin, MIDNIGHT, 600))
    check(store.points(begin, MIDNIGHT), begin, MIDNIGHT, 720, 600)


def test_what_is_newer_than_the_averages_comes_from_the_readings(months: Store) -> None:
    begin, end = MIDNIGHT - 72 * DAY, MIDNIGHT + DAY // 3
    add_readings(months.database, power(MIDNIGHT, end, 600))
    check(months.points(begin, end), begin, end, 720, 600)


def test_what_was_imported_a_moment_ago_is_shown(store: Store) -> None:
    add_readings(store.database, power(MIDNIGHT - DAY, MIDNIGHT))
    store.summarise()
    older = power(MIDNIGHT - 60 * DAY, MIDNIGHT - 50 * DAY)
    add_readings(store.database, older)  # marked as windows to be computed
    points = store.points(MIDNIGHT - 60 * DAY, MIDNIGHT)
    known = [each for each in points if each.values]
    assert min(each.time_ms for each in known) < MIDNIGHT - 59 * DAY
    assert max(each.values[2] for each in known if each.values) == 9000


def test_windows_that_are_computed_again_change_their_block(store: Store) -> None:
    add_readings(store.database, power(MIDNIGHT - 31 * DAY, MIDNIGHT, 600))
    store.summarise()
    odd = MIDNIGHT - 30 * DAY + 30_000
    add_readings(store.database, [Reading(odd, "BR", "E7", Decimal(12_345), "x")])
    store.summarise()
    points = store.points(MIDNIGHT - 100 * DAY, MIDNIGHT)
    assert max(each.values[2] for each in points if each.values) == 12_345
    (of_block,) = store.execute(
        "SELECT maximum FROM blocks WHERE start_ms = ?", odd - odd % BLOCK_MS
    )
    assert of_block == (123_450_000,)


def test_blocks_of_a_clock_that_was_ahead_are_made_anew(store: Store) -> None:
    for now in (MIDNIGHT + 9 * DAY, MIDNIGHT):
        store.clock.wall_ms = now
        store.summarise()
    add_readings(store.database, power(MIDNIGHT, MIDNIGHT + DAY))
    store.clock.wall_ms = MIDNIGHT + DAY
    store.summarise()
    points = store.points(MIDNIGHT - 80 * DAY, MIDNIGHT + DAY)
    assert max(each.values[2] for each in points if each.values) == 9000


def test_a_day_whose_readings_are_gone_comes_from_its_averages(store: Store) -> None:
    add_readings(store.database, power(MIDNIGHT - 3 * DAY, MIDNIGHT))
    store.summarise()
    store.execute("DELETE FROM readings WHERE time_ms < ?", MIDNIGHT - 2 * DAY)
    points = store.points(MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY)
    assert max(each.values[2] for each in points if each.values) == 9000
    assert len(points) == 144


def test_a_pause_is_one_point_without_values(store: Store) -> None:
    hour = 3_600_000
    add_readings(store.database, power(MIDNIGHT - 6 * hour, MIDNIGHT - 5 * hour))
    add_readings(store.database, power(MIDNIGHT - 2 * hour, MIDNIGHT - hour))
    points = store.points(MIDNIGHT - 12 * hour, MIDNIGHT)
    gaps = [each.time_ms for each in points if each.values is None]
    assert len(gaps) == 3  # before, between and after
    assert 118 <= len(points) <= 123
    (nothing,) = store.points(MIDNIGHT - DAY, MIDNIGHT, sensor="E8R")
    assert nothing.values is None


def test_old_blocks_are_removed_and_no_others(store: Store) -> None:
    add_readings(store.database, power(MIDNIGHT - 2 * DAY, MIDNIGHT))
    store.summarise()
    table = BlockTable(store.database)
    assert table.prune(MIDNIGHT - DAY, 3) == 3
    removed = 3
    while count := table.prune(MIDNIGHT - DAY, 3):
        removed += count
    ((left,),) = store.execute("SELECT count(*) FROM blocks")
    assert removed in (4, 5)  # Tokyo's midnight is in the middle of a block
    assert left + removed == 8


def test_a_year_takes_a_twentieth_of_a_second(store: Store) -> None:
    """52,560 windows of four series, as a year of the default requests leaves them."""
    begin = MIDNIGHT - 365 * DAY
    sensors = ("E7", "E0", "E8R", "EA")
    with store.database.transaction() as connection:
        for sensor in sensors:
            series = store.database.series_id(connection, "BR", sensor, 0)
            connection.execute(
                "WITH RECURSIVE w (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM w WHERE n < 52559)"
                " INSERT INTO summaries (series_id, start_ms, average, minimum, maximum, count)"
                " SELECT ?, ? + n * 600000, 5000000 + n, 4000000 + n, 6000000 + n, 60 FROM w",
                (series, begin),
            )
        connection.execute(
            "INSERT INTO state (key, value) VALUES ('summary_done_until', ?)", (str(MIDNIGHT),)
        )
    BlockTable(store.database).catch_up()
    took: list[float] = []
    points: Sequence[Point] = ()
    for _ in range(5):
        begun = time.process_time()
        points = store.points(begin, MIDNIGHT)
        took.append(time.process_time() - begun)
    assert 480 <= len(points) <= 720
    known = [each.values for each in points if each.values]
    assert min(low for low, _, _ in known) == 400
    assert max(high for _, _, high in known) == (6_000_000 + 52_559) / 10_000
    assert min(took) < 0.05
