"""What was recorded for each full and half hour, found without looking at everything else."""

import sqlite3
from contextlib import closing, nullcontext
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from stored import add_readings, daily

from kei.core.reading import Reading
from kei.energy.registers import HALF_HOUR_MS
from kei.store import half_hours
from kei.store.database import Database
from kei.store.reading_table import SPAN_MS

MIDNIGHT = 1_795_359_600_000  # 2026-11-23 00:00 in Tokyo
WEEK = 7 * 48
SENSORS = ("EA", "EB")


def reading(half_hour: int, late_ms: int, series: tuple[str, str], tenths: int) -> Reading:
    time_ms = MIDNIGHT + half_hour * HALF_HOUR_MS + late_ms
    return Reading(time_ms, *series, Decimal(tenths) / 10, "x")


@pytest.mark.usefixtures("unmeasured")  # a property
@given(
    recorded=st.lists(
        st.builds(
            reading,
            st.integers(-2 * WEEK, 2 * WEEK) | st.integers(-3, 3),
            st.sampled_from([0, 0, 0, 1, 1000, HALF_HOUR_MS - 1]),
            st.sampled_from([("BR", "EA"), ("BR", "EB"), ("BR", "E7"), ("A1", "EA")]),
            st.integers(0, 999),
        )
    ),
    commits=st.integers(1, 5),
    first=st.integers(-2 * WEEK, 3),
    count=st.integers(0, 3 * WEEK),
)
def test_of_each_half_hour_the_value_that_was_recorded_last_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    recorded: list[Reading],
    commits: int,
    first: int,
    count: int,
) -> None:
    folder = tmp_path_factory.mktemp("half_hours")
    database = Database.open(folder / "kei.db", FakeClock(zone=TOKYO))
    for number in range(commits):
        add_readings(database, recorded[number::commits])
    database.close()
    from_ms = MIDNIGHT + first * HALF_HOUR_MS
    to_ms = from_ms + count * HALF_HOUR_MS
    wanted: dict[int, dict[str, Decimal]] = {}
    for each in (each for number in range(commits) for each in recorded[number::commits]):
        is_at = each.time_ms % HALF_HOUR_MS == 0 and from_ms <= each.time_ms <= to_ms
        if is_at and each.unit == "BR" and each.sensor in SENSORS:
            wanted.setdefault(each.time_ms, {})[each.sensor] = each.value
    found = half_hours.at_half_hours(
        folder / "kei.db", daily(folder), from_ms, to_ms, "BR", SENSORS
    )
    assert list(found) == sorted(wanted.items())


def test_finding_them_looks_at_no_reading_of_other_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year has millions of those; left to itself, SQLite indexes them all, for each statement."""
    day = range(MIDNIGHT, MIDNIGHT + 48 * HALF_HOUR_MS, 10_000)
    power = [Reading(time_ms, "BR", "E7", Decimal(512), "x") for time_ms in day]
    near = [each for each in power if each.time_ms % HALF_HOUR_MS < SPAN_MS]
    costs = []
    for name, readings in (("near", near), ("all", power)):
        (tmp_path / name).mkdir()
        database = Database.open(tmp_path / name / "kei.db", FakeClock(zone=TOKYO))
        for start in range(MIDNIGHT, MIDNIGHT + 48 * HALF_HOUR_MS, SPAN_MS):
            commit = [each for each in readings if start <= each.time_ms < start + SPAN_MS]
            register = Reading(start, "BR", "EA", Decimal(start), "x")
            add_readings(database, [*commit, register][: None if start % HALF_HOUR_MS == 0 else -1])
        database.close()
        costs.append(_steps(tmp_path / name, monkeypatch))
    assert costs[1] < 1.1 * costs[0]


def _steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many steps of its virtual machine SQLite takes to find the registers of the day."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    with closing(sqlite3.connect(folder / "kei.db", isolation_level=None)) as connection:
        monkeypatch.setattr(half_hours, "recorded", lambda _: nullcontext(connection))
        connection.set_progress_handler(count, 1)
        end = MIDNIGHT + 48 * HALF_HOUR_MS
        found = half_hours.at_half_hours(
            folder / "kei.db", daily(folder), MIDNIGHT, end, "BR", SENSORS
        )
        assert len(list(found)) == 48
    return counted
