"""From which day to which a bill is, and which plan it has."""

from datetime import date

import pytest
from fakes import TOKYO
from tariffs import BASE, STEPS, at, bill_of, lines, tariff

from kei.settings.months import Month, month
from kei.tariff.periods import period_at, period_of, plan_of


def days(name: str, top: str) -> tuple[date, date]:
    period = period_of(month(name), tariff(STEPS, top=top), TOKYO)
    return period.first, period.last


@pytest.mark.parametrize(
    ("metering_day", "name", "first", "last"),
    [
        (1, "2026-11", "2026-10-01", "2026-10-31"),
        (10, "2026-11", "2026-10-10", "2026-11-09"),
        (10, "2026-01", "2025-12-10", "2026-01-09"),
        (29, "2026-03", "2026-02-28", "2026-03-28"),
        (30, "2024-03", "2024-02-29", "2024-03-29"),
        (31, "2026-02", "2026-01-31", "2026-02-27"),
        (31, "2026-05", "2026-04-30", "2026-05-30"),
    ],
)
def test_a_period_ends_before_the_metering_day_of_its_month(
    metering_day: int, name: str, first: str, last: str
) -> None:
    found = days(name, f"metering_day = {metering_day}")
    assert found == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize("metering_day", [1, 10, 28, 29, 30, 31])
def test_every_day_is_in_one_period(metering_day: int) -> None:
    prices = tariff(STEPS, top=f"metering_day = {metering_day}")
    name = Month(2023, 12)
    before = period_of(name, prices, TOKYO)
    for _ in range(50):
        name = name.moved(1)
        period = period_of(name, prices, TOKYO)
        assert period.first == before.end
        for instant in (period.start_ms, period.end_ms - 1):
            assert period_at(instant, prices, TOKYO) == period
        assert not period.is_scaled
        before = period


@pytest.mark.parametrize(
    ("top", "name", "first", "last", "is_scaled"),
    [
        ("first_day = 2026-10-14", "2026-11", "2026-10-14", "2026-11-09", False),
        ("first_day = 2026-10-15", "2026-11", "2026-10-15", "2026-11-09", True),
        ("first_day = 2026-10-10", "2026-11", "2026-10-10", "2026-11-09", False),
        ("last_day = 2026-10-24", "2026-11", "2026-10-10", "2026-10-24", True),
        ("last_day = 2026-11-09", "2026-11", "2026-10-10", "2026-11-09", False),
    ],
)
def test_the_first_and_the_last_period_are_shorter(
    top: str, name: str, first: str, last: str, *, is_scaled: bool
) -> None:
    prices = tariff(STEPS, top=f"metering_day = 10\n{top}")
    period = period_of(month(name), prices, TOKYO)
    assert (str(period.first), str(period.last)) == (first, last)
    assert period.is_scaled is is_scaled


def test_of_a_short_period_the_widths_of_the_steps_are_scaled() -> None:
    top = 'metering_day = 1\nfirst_day = 2026-11-16\ncontract = "40A"'  # 15 of 30 days
    kansai = f'base = {{ minimum = 522.59, includes = "15kWh" }}\n{STEPS}'
    found = bill_of(tariff(kansai, top=top), "200", "2026-12")
    assert [(line.what, f"{line.quantity}") for line in found.lines] == [
        ("minimum charge, 8 kWh, 15 of 30 days", "1"),
        ("energy to 61 kWh", "53"),
        ("energy to 151 kWh", "90"),
        ("energy above 151 kWh", "49"),
    ]
    assert f"{found.lines[0].amount}" == "261.29"  # cut, not rounded
    found = bill_of(tariff(f"{BASE}\n{STEPS}\nminimum_bill = 700", top=top), "1", "2026-12")
    assert list(lines(found))[:1] == [("base, 15 of 30 days", "623.50")]
    assert found.total == 653


def test_a_plan_counts_from_the_period_on_that_holds_its_day() -> None:
    second = "[[tariff.plan]]\nfrom = 2026-11-10\nsteps = [{ price = 2 }]"
    first = "from = 2026-10-09\nsteps = [{ price = 1 }]"
    prices = tariff(first, second, "metering_day = 10")
    amounts = {
        name: bill_of(prices, "10", name).total for name in ("2026-10", "2026-11", "2026-12")
    }
    assert amounts == {"2026-10": 10, "2026-11": 10, "2026-12": 20}
    found = bill_of(prices, "10", "2026-09")
    assert (found.total, found.lines) == (None, ())
    assert found.problems == ("no plan for 2026-09: the first [[tariff.plan]] is from 2026-10-09",)


def test_there_is_no_plan_outside_the_contract() -> None:
    prices = tariff(STEPS, top="first_day = 2026-10-01\nlast_day = 2026-11-15")
    has_plan = {
        name: plan_of(period_of(month(name), prices, TOKYO), prices) is not None
        for name in ("2026-10", "2026-11", "2026-12", "2027-01")
    }
    assert has_plan == {"2026-10": False, "2026-11": True, "2026-12": True, "2027-01": False}
    assert "outside" not in str(bill_of(prices, "1", "2026-10").problems)
    assert bill_of(prices, "1", "2026-10").problems == (
        "no plan for 2026-10: it is before first_day or behind last_day",
    )


def test_a_day_of_another_zone_begins_at_its_own_midnight() -> None:
    prices = tariff(STEPS, top="metering_day = 10")
    period = period_of(Month(2026, 11), prices, TOKYO)
    assert (period.start_ms, period.end_ms) == (at("2026-10-10"), at("2026-11-10"))
