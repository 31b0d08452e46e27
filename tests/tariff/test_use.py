"""Half-hours from registers, and what is missing of them."""

from collections.abc import Iterable
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tariffs import at

from kei.energy.registers import HALF_HOUR_MS
from kei.energy.report import Gap
from kei.tariff.use import Use, use_of

START = at("2026-10-01")


def registers(values: Iterable[tuple[int, str]]) -> list[tuple[int, Decimal]]:
    return [(START + number * HALF_HOUR_MS, Decimal(value)) for number, value in values]


def gap(first: int, last: int, kwh: str | None, *, is_other: bool = False) -> Gap:
    return Gap(
        START + first * HALF_HOUR_MS,
        START + last * HALF_HOUR_MS,
        None if kwh is None else Decimal(kwh),
        is_other,
    )


def used(values: Iterable[tuple[int, str]], count: int, range_: str = "1000000") -> Use:
    return use_of(registers(values), START, START + count * HALF_HOUR_MS, Decimal(range_))


def test_half_hours_are_between_registers() -> None:
    found = used([(0, "10"), (1, "10.1"), (2, "10.5")], 2)
    assert [*found.half_hours.values()] == [Decimal("0.1"), Decimal("0.4")]
    assert (found.kwh, found.gaps) == (Decimal("0.5"), ())


def test_gaps_within_and_at_both_ends() -> None:
    found = used([(2, "10"), (3, "10.1"), (6, "10.7")], 8)
    assert found.gaps == (gap(0, 2, None), gap(3, 6, "0.6"), gap(6, 8, None))
    assert (found.kwh, found.missing) == (Decimal("0.7"), 7)
    assert used([], 8).gaps == (gap(0, 8, None),)
    assert used([], 8).kwh is None


def test_another_meter_is_a_gap() -> None:
    found = used([(0, "5000"), (1, "5001"), (2, "0.5"), (3, "1.5")], 3)
    assert found.gaps == (gap(1, 2, None, is_other=True),)
    assert found.kwh == 2


def test_a_register_that_rolls_over_is_none() -> None:
    found = used([(0, "999999.9"), (1, "0.3")], 1)
    assert (found.kwh, found.gaps) == (Decimal("0.4"), ())


def test_a_gap_over_the_end_of_a_part_counts_for_neither_side() -> None:
    whole = used([(0, "10"), (1, "11"), (4, "14"), (5, "15")], 5)
    middle = START + 2 * HALF_HOUR_MS
    before, behind = whole.part(START, middle), whole.part(middle, whole.end_ms)
    assert (before.kwh, before.gaps) == (Decimal(1), (gap(1, 2, None),))
    assert (behind.kwh, behind.gaps) == (Decimal(1), (gap(2, 4, None),))
    assert whole.kwh == 5


def test_where_midnight_is_no_half_hour_of_the_meter_nothing_is_lost() -> None:
    midnight = at("2026-10-02", ZoneInfo("Asia/Kathmandu"))
    whole = used([(number, f"{number}") for number in range(100)], 99)
    before, behind = whole.part(0, midnight), whole.part(midnight, whole.end_ms)
    assert before.end_ms == behind.start_ms
    assert (before.kwh or 0) + (behind.kwh or 0) == whole.kwh


@pytest.mark.usefixtures("unmeasured")  # a property
@given(st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_known_and_missing_half_hours_are_all_of_them(known: set[int], cut: int) -> None:
    found = used([(number, f"{number}") for number in sorted(known)], 60)
    assert len(found.half_hours) + found.missing == 60
    middle = START + cut * HALF_HOUR_MS
    for part in (found.part(START, middle), found.part(middle, found.end_ms)):
        count = (part.end_ms - part.start_ms) // HALF_HOUR_MS
        assert len(part.half_hours) + part.missing == count
        known_kwh = part.kwh or 0
        assert known_kwh <= count
        assert len(part.half_hours) <= known_kwh
