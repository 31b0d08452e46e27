"""What flowed between two registers, and when nobody can tell."""

from decimal import Decimal

import pytest

from kei.energy.registers import HALF_HOUR_MS, range_kwh, step

RANGE = range_kwh(Decimal(6), Decimal(1), Decimal("0.1"))


def flowed(
    old: str, new: str, half_hours: int = 1, range_: Decimal | None = RANGE
) -> Decimal | None:
    between = step((0, Decimal(old)), (half_hours * HALF_HOUR_MS, Decimal(new)), range_)
    assert between.half_hours == half_hours
    return between.kwh


def test_the_range_of_a_register_is_that_of_its_digits_times_coefficient_and_unit() -> None:
    assert RANGE == 100_000
    assert range_kwh(Decimal(8), Decimal(20), Decimal("0.0001")) == 200_000


@pytest.mark.parametrize("range_", [RANGE, None])
def test_what_flowed_is_the_exact_difference(range_: Decimal | None) -> None:
    assert str(flowed("10934.9", "10935.0", range_=range_)) == "0.1"
    assert str(flowed("10934.9", "10934.9", range_=range_)) == "0.0"


def test_a_register_that_rolls_over_goes_on() -> None:
    assert flowed("99999.8", "0.3") == Decimal("0.5")
    assert flowed("99990.0", "90.0", half_hours=48) == Decimal(100)


def test_without_the_number_of_digits_nobody_can_tell_a_roll_over_from_another_meter() -> None:
    assert flowed("99999.8", "0.3", range_=None) is None


@pytest.mark.parametrize(
    ("old", "new", "half_hours"),
    [
        ("35293.3", "0.0", 1),  # far from the end of its range
        ("60000.0", "12.3", 48 * 99),  # however long ago
        ("99900.0", "0.0", 1),  # more than a supply can carry
        ("135293.3", "0.0", 1),  # a register that this meter cannot have had
        ("0.0", "35293.3", 1),  # a used meter in the place of a new one, or back from a wrong 0
    ],
)
def test_no_difference_is_computed_between_two_meters(old: str, new: str, half_hours: int) -> None:
    assert flowed(old, new, half_hours) is None


def test_a_long_gap_may_have_any_consumption() -> None:
    assert flowed("0.0", "35293.3", half_hours=48 * 99) == Decimal("35293.3")
