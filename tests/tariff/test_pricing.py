"""What half-hours cost, what the next kWh costs, and what the period will cost."""

from decimal import ROUND_DOWN, Decimal

import pytest
from fakes import TOKYO
from hypothesis import given, settings
from hypothesis import strategies as st
from tariffs import BASE, STEPS, Home, at, bill_of, tariff

from kei.core.clock import local
from kei.energy.registers import HALF_HOUR_MS
from kei.energy.report import Gap
from kei.settings.months import month
from kei.settings.tariff import Tariff
from kei.tariff.bill import Forecast, Price
from kei.tariff.pricing import Pricing
from kei.tariff.use import Use

FIGURES = "[tariff.fuel]\n2026-11 = -1.25\n2026-12 = 2\n[tariff.levy]\n2026-05 = 4.18"
KANSAI = (
    'base = { minimum = 522.58, includes = "15kWh" }\n'
    "steps = [{ to = 120, price = 20.21 }, { to = 300, price = 25.61 }, { price = 28.59 }]"
)
ZONES = (
    'zones = [{ hours = "23-7", price = 10 }, { steps = [{ to = 9, price = 20 }, { price = 30 }] }]'
)


def cost_of(home: Home, start: str, end: str) -> Decimal | None:
    period = home.pricing.period_at(at(start))
    assert period.start_ms <= at(start)
    return home.pricing.cost(home.use(), at(start), at(end)).amount


def test_an_interval_costs_what_it_adds_to_the_bill() -> None:
    used = {"2026-10-02 10:00": "110", "2026-10-03 10:00": "20", "2026-10-03 12:00": "1"}
    home = Home(tariff(f"{BASE}\n{STEPS}", FIGURES), used=used)
    per_kwh = Decimal("4.18") - Decimal("1.25")
    assert cost_of(home, "2026-10-03", "2026-10-03 11:00") == (
        10 * Decimal("29.80") + 10 * Decimal("36.40") + 20 * per_kwh
    )
    assert cost_of(home, "2026-10-03 11:30", "2026-10-04") == Decimal("36.40") + per_kwh
    assert cost_of(home, "2026-10-04", "2026-10-05") == 0
    assert home.pricing.cost(home.use(), at("2026-10-03"), at("2026-10-03 11:00")).kwh == 20


@pytest.mark.parametrize(
    ("plan", "price", "is_known_without"),
    [
        (STEPS, "36.40", False),
        (KANSAI, "25.61", False),
        ("steps = [{ price = 30 }]", "30", True),
        ('zones = [{ hours = "0-9", price = 10 }, { price = 20 }]', "20", True),
        (ZONES, "20", False),
    ],
)
def test_a_price_that_goes_by_the_kwh_before_it_is_not_known_without_any_of_them(
    plan: str, price: str, *, is_known_without: bool
) -> None:
    start, now = at("2026-10-01"), at("2026-10-20 12:00")
    nothing = Use(start, now, {}, (Gap(start, now, None),))
    some = Use(start, now, {start: Decimal(130)}, (Gap(start + HALF_HOUR_MS, now, None),))
    pricing = Pricing(tariff(plan), TOKYO)
    found = pricing.price_at(some, now)
    assert found is not None
    assert found.energy == Decimal(price)
    assert (pricing.price_at(nothing, now) is not None) is is_known_without
    assert pricing.price_at(nothing, start) is not None, "as of the first half-hour"


def test_what_a_minimum_charge_includes_costs_nothing() -> None:
    used = {"2026-10-02 10:00": "10", "2026-10-03 10:00": "10"}
    home = Home(tariff(KANSAI, FIGURES), used=used)
    assert cost_of(home, "2026-10-02", "2026-10-03") == 0
    assert cost_of(home, "2026-10-03", "2026-10-04") == 5 * (Decimal("20.21") + Decimal("2.93"))


def test_an_interval_may_lie_in_two_periods() -> None:
    plan = tariff("steps = [{ to = 10, price = 1 }, { price = 2 }]", FIGURES)
    pricing = Pricing(plan, TOKYO)
    first, last = at("2026-10-31 23:30"), at("2026-11-01")
    use = Use(at("2026-10-01"), at("2026-11-02"), {first: Decimal(11), last: Decimal(11)})
    found = pricing.cost(use, first, last + HALF_HOUR_MS)
    each = 10 + 2 + 11 * Decimal("4.18")
    assert found.amount == 2 * each + 11 * (Decimal(2) - Decimal("1.25"))
    assert found.kwh == 22


def test_an_interval_names_what_is_missing_in_it() -> None:
    gap = Gap(at("2026-10-02 07:00"), at("2026-10-02 09:00"), None)
    home = Home(tariff(STEPS, FIGURES), used={"2026-10-02 10:00": "1"}, gaps=(gap,))
    found = home.pricing.cost(home.use(), at("2026-10-02 08:00"), at("2026-10-02 11:00"))
    assert found.missing == 2
    assert found.kwh == 1
    assert found.amount is not None
    all_of_it = home.pricing.cost(home.use(), at("2026-10-02 08:00"), at("2026-10-02 09:00"))
    assert (all_of_it.missing, all_of_it.kwh, all_of_it.amount) == (2, None, None)


def test_an_interval_without_a_plan_or_a_price_has_no_cost() -> None:
    home = Home(tariff(f"from = 2027-01-01\n{STEPS}"), used={"2026-10-02 10:00": "1"})
    found = home.pricing.cost(home.use(), at("2026-10-02"), at("2026-10-03"))
    assert found.amount is None
    assert found.problems[0].startswith("no plan for 2026-11")
    home = Home(tariff(STEPS, "[tariff.fuel]\n2026-10 = 1"), used={"2026-10-02 10:00": "1"})
    assert cost_of(home, "2026-10-02", "2026-10-03") is None


def test_before_the_first_and_behind_the_last_day_nothing_has_a_price() -> None:
    top = "first_day = 2026-10-05\nlast_day = 2026-10-20"
    pricing = Pricing(tariff("steps = [{ price = 2 }]", top=top), TOKYO)
    days = {at(f"2026-10-{day:02} 12:00"): Decimal(1) for day in range(1, 32)}
    use = Use(at("2026-10-01"), at("2026-11-10"), days)
    inside = pricing.cost(use, at("2026-10-05"), at("2026-10-21"))
    assert inside.amount == 32
    for start, end in (("2026-10-04", "2026-10-06"), ("2026-10-20", "2026-11-05")):
        found = pricing.cost(use, at(start), at(end))
        assert found.amount is None, start
        assert found.kwh
    prices = [pricing.price_at(use, at(f"2026-10-{day}")) for day in ("04", "05", "20", "21")]
    assert [price is None for price in prices] == [True, False, False, True]


@pytest.mark.parametrize(
    ("plan", "kwh", "now", "energy", "what"),
    [
        (STEPS, "0", "2026-10-02 12:00", "29.80", "to 120 kWh"),
        (STEPS, "119.9", "2026-10-02 12:00", "29.80", "to 120 kWh"),
        (STEPS, "120", "2026-10-02 12:00", "36.40", "to 300 kWh"),
        (STEPS, "300.1", "2026-10-02 12:00", "40.49", "above 300 kWh"),
        (ZONES, "5", "2026-10-02 23:59", "10", "23:00-07:00"),
        (ZONES, "5", "2026-10-02 12:00", "20", "other hours to 9 kWh"),
        (ZONES, "9", "2026-10-02 12:00", "30", "other hours above 9 kWh"),
        (KANSAI, "15", "2026-10-02 12:00", "20.21", "to 120 kWh"),
        ("steps = [{ to = 9, price = 1 }]", "9", "2026-10-02 12:00", None, "above 9 kWh"),
    ],
)
def test_the_price_of_the_next_kwh(
    plan: str, kwh: str, now: str, energy: str | None, what: str
) -> None:
    home = Home(tariff(plan, FIGURES), used={"2026-10-01 12:00": kwh})
    found = home.pricing.price_at(home.use(now[:-2] + "00"), at(now))
    price = None if energy is None else Decimal(energy)
    assert found == Price(price, Decimal("-1.25"), Decimal("4.18"), what)
    assert found.total == (None if price is None else price + Decimal("2.93"))


def test_the_next_kwh_may_be_included_or_have_no_plan() -> None:
    home = Home(tariff(KANSAI, FIGURES), used={"2026-10-01 12:00": "14.9"})
    found = home.pricing.price_at(home.use("2026-10-02"), at("2026-10-02"))
    assert found is not None
    assert found.total == 0
    assert "included" in found.what
    home = Home(tariff(f"from = 2027-01-01\n{STEPS}"))
    assert home.pricing.price_at(home.use(), at("2026-10-02")) is None


def test_sold_energy_is_a_statement_of_its_own() -> None:
    home = Home(tariff(STEPS, "[tariff.sell]\nprice = 16.5"))
    period = home.pricing.period(month("2026-11"))
    sold = Use(period.start_ms, period.end_ms, {period.start_ms: Decimal("10.5")})
    found = home.pricing.sold(period, sold)
    assert found is not None
    assert (found.kwh, found.amount) == (Decimal(11), Decimal(181))
    assert home.bill().total == 0
    assert Home(tariff(STEPS)).pricing.sold(period, sold) is None


def days_of(kwh: str, start: str, end: str) -> dict[int, Decimal]:
    """Return the same use of each half-hour from noon to evening."""
    return {
        each: Decimal(kwh) if 12 <= local(each, TOKYO).hour < 18 else Decimal(0)
        for each in range(at(start), at(end), HALF_HOUR_MS)
    }


def forecast_of(prices: Tariff, half_hours: dict[int, Decimal], now: str) -> Forecast | None:
    pricing = Pricing(prices, TOKYO)
    period = pricing.period(month("2026-11"))
    gaps = [
        each for each in range(min(half_hours), at(now), HALF_HOUR_MS) if each not in half_hours
    ]
    use = Use(
        min(half_hours),
        at(now),
        half_hours,
        tuple(Gap(each, each + HALF_HOUR_MS, None) for each in gaps),
    )
    return pricing.forecast(period, use)


def test_days_that_are_all_alike_are_forecast_to_the_yen() -> None:
    prices = tariff(f"{BASE}\n{STEPS}", FIGURES)
    whole = bill_of(prices, str(31 * 12))
    for now in ("2026-10-01", "2026-10-01 13:00", "2026-10-20 07:30", "2026-10-31 23:00"):
        found = forecast_of(prices, days_of("1", "2026-09-20", now), now)
        assert found == Forecast(Decimal(372), whole.total, whole.known), now


def test_the_last_seven_days_are_looked_at() -> None:
    half_hours = days_of("9", "2026-09-01", "2026-10-04") | days_of("1", "2026-10-04", "2026-10-11")
    found = forecast_of(tariff("steps = [{ price = 1 }]", top=""), half_hours, "2026-10-11")
    assert found is not None
    assert found.kwh == 3 * 12 * 9 + 28 * 12


def test_what_is_missing_is_expected_to_be_as_the_rest() -> None:
    half_hours = days_of("1", "2026-09-20", "2026-10-11")
    for each in range(at("2026-10-05 13:00"), at("2026-10-05 16:00"), HALF_HOUR_MS):
        del half_hours[each]
    found = forecast_of(tariff("steps = [{ price = 1 }]", top=""), half_hours, "2026-10-11")
    assert found is not None
    assert found.kwh == 372


def test_nothing_is_forecast_of_less_than_a_day_or_of_what_is_over() -> None:
    prices = tariff(STEPS)
    assert (
        forecast_of(prices, days_of("1", "2026-10-01", "2026-10-01 23:30"), "2026-10-01 23:30")
        is None
    )
    assert forecast_of(prices, days_of("1", "2026-10-01", "2026-10-02"), "2026-10-02") is not None
    assert forecast_of(prices, days_of("1", "2026-10-01", "2026-11-01"), "2026-11-01") is None
    assert forecast_of(prices, days_of("1", "2026-09-20", "2026-09-30"), "2026-09-30") is None


PLANS = st.sampled_from(
    [
        f"{BASE}\n{STEPS}",
        KANSAI,
        ZONES,
        f"{BASE}\n{STEPS}\nminimum_bill = 335.34\nidle_base = 0.5",
        'base = { fixed = 100 }\nsteps = [{ price = 30 }]\nextra = [{ name = "d", price = -55 }]',
    ]
)
KWH = st.decimals(0, 2000, places=1)
POSITIVE = "[tariff.fuel]\n2026-11 = 1.23\n[tariff.levy]\n2026-05 = 4.18"
NOON = at("2026-10-05 12:00")


@pytest.mark.usefixtures("unmeasured")  # a property
@settings(deadline=None, max_examples=60)
@given(PLANS, KWH, KWH)
def test_the_total_is_the_sum_of_its_parts_and_rises_with_the_use(
    plan: str, kwh: Decimal, more: Decimal
) -> None:
    prices = tariff(plan, POSITIVE)
    pricing = Pricing(prices, TOKYO)
    period = pricing.period(month("2026-11"))
    bills = [
        pricing.bill(period, Use(period.start_ms, period.end_ms, {NOON: each}))
        for each in (kwh, kwh + more)
    ]
    for bill in bills:
        amounts = [line.amount for line in bill.lines if line.amount is not None]
        assert len(amounts) == len(bill.lines)
        assert bill.levy is not None
        assert bill.total == (sum(amounts) + bill.levy).quantize(Decimal(1), ROUND_DOWN)
    low, high = (bill.total for bill in bills)
    assert low is not None
    assert high is not None
    assert low <= high


@pytest.mark.usefixtures("unmeasured")  # a property
@settings(deadline=None, max_examples=60)
@given(PLANS, st.lists(st.tuples(st.integers(0, 1487), KWH), max_size=8), st.integers(0, 1488))
def test_the_parts_of_a_range_cost_what_it_costs_as_a_whole(
    plan: str, used: list[tuple[int, Decimal]], cut: int
) -> None:
    pricing = Pricing(tariff(plan, POSITIVE), TOKYO)
    period = pricing.period(month("2026-11"))
    half_hours = {period.start_ms + at * HALF_HOUR_MS: kwh for at, kwh in used}
    use = Use(period.start_ms, period.end_ms, half_hours)
    middle = period.start_ms + cut * HALF_HOUR_MS
    whole = pricing.cost(use, period.start_ms, period.end_ms).amount
    parts = [
        pricing.cost(use, start, end).amount or Decimal(0)
        for start, end in ((period.start_ms, middle), (middle, period.end_ms))
    ]
    assert sum(parts) == (whole or 0)
