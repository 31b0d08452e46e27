"""Energy of hours, days and months: sums agree, and no gap is guessed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.clock import epoch_ms, local
from kei.energy.periods import By, Period, half_hour_from, periods
from kei.energy.registers import HALF_HOUR_MS, Registers
from kei.energy.report import Gap, Peak, Report, Row, State

ZONES = {
    name: ZoneInfo(name)
    for name in (
        *("UTC", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
        *("Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo"),
    )
}
TOKYO = ZONES["Asia/Tokyo"]
MIDNIGHT = epoch_ms(datetime(2026, 11, 23, tzinfo=TOKYO))
NEVER = 2**60  # long past everything

zones = st.sampled_from(sorted(ZONES))
starts = st.integers(
    epoch_ms(datetime(2024, 1, 1, tzinfo=TOKYO)) // 1000,
    epoch_ms(datetime(2026, 12, 31, tzinfo=TOKYO)) // 1000,
)
bys = st.sampled_from(By)


def report_of(
    registers: Sequence[Registers],
    whole: Period,
    by: By = By.DAY,
    zone: ZoneInfo = TOKYO,
    now_ms: int = NEVER,
    breaks: Sequence[int] = (),
) -> tuple[list[Row], Report]:
    report = Report(whole, until_ms=now_ms, breaks=breaks)
    rows = report.rows(periods(whole.start_ms, whole.end_ms, by, zone), registers)
    return list(rows), report


def day(bought: dict[int, str], sold: dict[int, str] | None = None) -> list[Registers]:
    """Registers by the number of the half-hour of 2026-11-23 that they begin."""
    sold = sold or {}
    numbers = sorted({*bought, *sold})
    return [
        Registers(
            MIDNIGHT + number * HALF_HOUR_MS,
            Decimal(bought[number]) if number in bought else None,
            Decimal(sold[number]) if number in sold else None,
        )
        for number in numbers
    ]


def hours(count: int) -> Period:
    return Period(MIDNIGHT, MIDNIGHT + count * 2 * HALF_HOUR_MS)


def test_what_lies_between_two_known_registers_counts_for_the_row_that_holds_both() -> None:
    known = day({0: "1.0", 1: "1.2", 4: "2.0"})
    (row,), report = report_of(known, Period(MIDNIGHT, MIDNIGHT + 4 * HALF_HOUR_MS))
    assert (row.bought, row.missing, row.state) == (Decimal("1.0"), 3, State.PARTIAL)
    assert row.peak == Peak(MIDNIGHT, Decimal("0.2"))  # that of a gap is nobody's half-hour
    assert report.gaps == [
        Gap(MIDNIGHT + HALF_HOUR_MS, MIDNIGHT + 4 * HALF_HOUR_MS, Decimal("0.8"))
    ]


@pytest.mark.parametrize("since_known_ms", [1, HALF_HOUR_MS - 1, HALF_HOUR_MS])
def test_nothing_is_computed_across_the_begin_of_a_segment_however_plausible_it_looks(
    since_known_ms: int,
) -> None:
    known = day({0: "1.0", 1: "1.2", 2: "1.3", 3: "1.7"}, {0: "5.0", 1: "5.5", 2: "5.6", 3: "6.6"})
    begins_ms = MIDNIGHT + HALF_HOUR_MS + since_known_ms
    whole = Period(MIDNIGHT, MIDNIGHT + 3 * HALF_HOUR_MS)
    (row,), report = report_of(known, whole, breaks=(begins_ms,))
    assert (row.bought, row.sold, row.missing) == (Decimal("0.6"), Decimal("1.5"), 1)
    between = Gap(MIDNIGHT + HALF_HOUR_MS, MIDNIGHT + 2 * HALF_HOUR_MS, None, is_other_meter=True)
    assert report.gaps == [between]


def test_what_lies_across_the_end_of_a_row_counts_for_the_total_only() -> None:
    known = day({0: "1.0", 1: "1.2", 3: "2.0", 4: "2.5"})
    rows, report = report_of(known, hours(2), By.HOUR)
    assert [row.bought for row in rows] == [Decimal("0.2"), Decimal("0.5")]
    assert [row.missing for row in rows] == [1, 1]
    assert report.total is not None
    assert (report.total.bought, report.total.missing) == (Decimal("1.5"), 2)


@pytest.mark.parametrize("known", [{}, {1: "1.0"}, {0: "9.0", 2: "0.5"}])
def test_a_row_with_fewer_than_two_registers_of_one_meter_has_no_number(
    known: dict[int, str],
) -> None:
    (row,), _ = report_of(day(known), hours(1), By.HOUR)
    assert (row.bought, row.sold, row.missing, row.state) == (None, None, 2, State.GAP)


def test_nothing_is_computed_across_a_new_meter() -> None:
    known = day({0: "35293.3", 1: "35293.8", 2: "0.1", 3: "0.4", 4: "0.6"})
    rows, report = report_of(known, hours(2), By.HOUR)
    assert [row.bought for row in rows] == [Decimal("0.5"), Decimal("0.5")]
    assert [row.missing for row in rows] == [1, 0]
    half_hour = (MIDNIGHT + HALF_HOUR_MS, MIDNIGHT + 2 * HALF_HOUR_MS)
    assert report.gaps == [Gap(*half_hour, None, is_other_meter=True)]
    assert report.total is not None
    assert report.total.bought == Decimal(1)


def test_what_was_sold_has_gaps_of_its_own() -> None:
    bought = {number: f"{number}.0" for number in range(7)}
    rows, _ = report_of(day(bought, {3: "0.0", 5: "0.5", 6: "0.5"}), hours(3), By.HOUR)
    assert [row.sold for row in rows] == [None, None, Decimal("0.0")]
    assert [row.missing for row in rows] == [0, 0, 0]
    assert [row.missing_sold for row in rows] == [None, 2, 1]
    assert [row.state for row in rows] == [State.COMPLETE, State.PARTIAL, State.PARTIAL]


def test_what_has_not_happened_yet_is_not_missing() -> None:
    known = day(dict.fromkeys(range(4), "1.0"))
    now_ms = MIDNIGHT + 4 * HALF_HOUR_MS - 1
    (row,), report = report_of(known, hours(24), now_ms=now_ms)
    assert (row.bought, row.missing, row.state) == (Decimal("0.0"), 0, State.RUNNING)
    assert report.gaps == []


def test_a_register_that_came_earlier_than_expected_counts() -> None:
    known = day({0: "1.0", 1: "1.5"})
    (row,), _ = report_of(known, hours(24), now_ms=MIDNIGHT + 10)
    assert (row.bought, row.missing) == (Decimal("0.5"), 0)


def test_rows_are_cut_where_the_range_is_and_say_so() -> None:
    known = day({number: f"{number}" for number in range(49)})
    whole = Period(MIDNIGHT + 3 * HALF_HOUR_MS, MIDNIGHT + 10 * HALF_HOUR_MS)
    (row,), _ = report_of(known, whole)
    assert (row.bought, row.missing, row.state) == (Decimal(7), 0, State.CUT)
    assert (row.period.start_ms, row.period.end_ms) == (whole.start_ms, whole.end_ms)


@pytest.mark.parametrize(
    ("zone", "date", "half_hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 46),
        ("Europe/Berlin", (2026, 10, 25), 50),
        ("America/New_York", (2026, 3, 8), 46),
        ("America/Havana", (2026, 11, 1), 50),  # midnight comes twice
        ("Africa/Cairo", (2026, 4, 24), 46),  # it has no midnight
        ("Asia/Tokyo", (2026, 3, 29), 48),
        ("Asia/Kathmandu", (2026, 3, 29), 48),
    ],
)
def test_a_day_is_as_long_as_the_wall_clock_makes_it(
    zone: str, date: tuple[int, int, int], half_hours: int
) -> None:
    start, end = (
        epoch_ms(datetime(*date, tzinfo=ZONES[zone]) + timedelta(days=days)) for days in (0, 1)
    )
    found = list(periods(start, end, By.DAY, ZONES[zone]))
    assert found == [Period(start, end)]
    assert (found[0].last_ms - found[0].first_ms) // HALF_HOUR_MS == half_hours


def test_a_day_that_a_zone_has_left_out_is_no_row() -> None:
    apia = ZoneInfo("Pacific/Apia")
    start, end = (epoch_ms(datetime(2011, 12, day, tzinfo=apia)) for day in (29, 31))
    days = [local(each.start_ms, apia).day for each in periods(start, end, By.DAY, apia)]
    assert days == [29]


@given(zone=zones, start_s=starts, length_s=st.integers(1, 70 * 86_400), by=bys)
def test_periods_follow_each_other_without_gaps_and_begin_on_the_clock(
    zone: str, start_s: int, length_s: int, by: By
) -> None:
    start, end = start_s * 1000, (start_s + length_s) * 1000
    found = list(periods(start, end, by, ZONES[zone]))
    ends = [start, *(each.end_ms for each in found)]
    assert [each.start_ms for each in found] == ends[:-1]
    assert ends[-1] == end
    assert all(each.start_ms < each.end_ms for each in found)
    for each in found[1:]:
        at = local(each.start_ms, ZONES[zone])
        if by is By.HALF_HOUR:  # as the meter counts them, whatever the minute is here
            assert each.start_ms % HALF_HOUR_MS == 0
        elif zone != "Australia/Lord_Howe":  # whose clock goes back by half an hour
            assert (at.minute, at.second) == (0, 0)
        if by is By.MONTH:
            assert at.day == 1


@pytest.mark.usefixtures("unmeasured")  # a property
@given(
    zone=zones,
    start_s=starts,
    half_hours=st.integers(1, 48 * 12),
    counts=st.lists(st.integers(0, 99), min_size=1, max_size=48),
)
def test_hours_days_and_months_have_the_same_sum_when_nothing_is_missing(
    zone: str, start_s: int, half_hours: int, counts: list[int]
) -> None:
    first = half_hour_from(start_s * 1000)
    registers, counter = [], 0
    for number in range(half_hours + 1):
        at = first + number * HALF_HOUR_MS
        registers.append(Registers(at, Decimal(counter) / 10, Decimal(counter) / 1000))
        counter += counts[number % len(counts)]
    whole = Period(first, registers[-1].time_ms)
    for by in By:
        rows, report = report_of(registers, whole, by, ZONES[zone])
        assert report.total is not None
        assert (report.total.bought, report.total.sold) == (
            registers[-1].bought,
            registers[-1].sold,
        )
        assert sum(row.bought or 0 for row in rows) == registers[-1].bought
        assert sum(row.sold or 0 for row in rows) == registers[-1].sold
        assert all(not row.missing and not row.missing_sold for row in [*rows, report.total])
        assert report.gaps == []


@given(
    zone=zones,
    by=bys,
    start_s=starts,
    known=st.lists(st.booleans(), min_size=1, max_size=48 * 4),
    until=st.integers(0, 48 * 4),
)
def test_no_gap_is_guessed(zone: str, by: By, start_s: int, known: list[bool], until: int) -> None:
    """A row has just what the registers in it say, computed here in the plainest way."""
    first = half_hour_from(start_s * 1000)
    registers = [
        Registers(first + number * HALF_HOUR_MS, Decimal(number) / 10)
        for number, is_known in enumerate(known)
        if is_known
    ]
    whole = Period(first, first + len(known) * HALF_HOUR_MS)
    now_ms = first + until * HALF_HOUR_MS
    rows, report = report_of(registers, whole, by, ZONES[zone], now_ms)
    passed = max([now_ms, *(each.time_ms for each in registers)])
    assert report.total is not None
    for row in [*rows, report.total]:
        inside = [
            each.time_ms
            for each in registers
            if row.period.first_ms <= each.time_ms <= row.period.last_ms
        ]
        flowed = Decimal((inside[-1] - inside[0]) // HALF_HOUR_MS) / 10 if inside[1:] else None
        assert row.bought == flowed
        end = min(row.period.last_ms, passed)
        half_hours = range(row.period.first_ms, end, HALF_HOUR_MS)
        assert row.missing == sum(
            not {start, start + HALF_HOUR_MS} <= set(inside) for start in half_hours
        )
        assert (row.state is State.GAP) == (bool(row.missing) and flowed is None)
        assert (row.state is State.PARTIAL) == (bool(row.missing) and flowed is not None)
        assert (row.sold, row.missing_sold) == (None, None)
    assert sum(row.missing for row in rows) == report.total.missing
    assert sum(gap.half_hours for gap in report.gaps) == report.total.missing
    assert all(gap.kwh is None or gap.half_hours > 1 for gap in report.gaps)
