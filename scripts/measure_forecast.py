#!/usr/bin/env python3
"""How far is the forecast of a bill from what the period cost in the end?

Simulated homes: every billing period of a year is forecast after some of its days, as `kei bill`
does it, by the steps of TEPCO's juryo dento B (40 A, from 2024-04, fuel adjustment left out).
Recorded days: those of one home (see compare_household.py), taken as a period of consecutive days,
which they are not: they are of all seasons, so this is the worst case.

    scripts/measure_forecast.py [--seeds N] [--look-back DAYS] [FOLDER]
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from _project import use_project

use_project()

from compare_household import quantile, real_day

from kei.core.clock import epoch_ms
from kei.energy.registers import HALF_HOUR_MS
from kei.settings.months import Month
from kei.settings.tariff import Base, Plan, PriceStep, Tariff
from kei.settings.tariff_texts import Rating
from kei.simulator.household.household import Household
from kei.tariff import forecast as rule
from kei.tariff.forecast import DAY_MS, completed
from kei.tariff.pricing import Pricing
from kei.tariff.use import Use

AFTER_DAYS = (1, 3, 7, 14, 21, 27)
TARIFF = Tariff(
    contract=Rating(Decimal(40), "A"),
    plan=(
        Plan(
            begins=date(2024, 4, 1),
            base=Base(per=Rating(Decimal(10), "A"), price=Decimal("311.75")),
            steps=(
                PriceStep(to=120, price=Decimal("29.80")),
                PriceStep(to=300, price=Decimal("36.40")),
                PriceStep(price=Decimal("40.49")),
            ),
        ),
    ),
    levy={Month(2025, 5): Decimal("3.98")},
)
MONTHS = [Month(2025, 6).moved(later) for later in range(12)]

HalfHours = Mapping[int, Decimal]
Errors = dict[int, list[tuple[float, float]]]


def simulated(seed: int, start_ms: int, end_ms: int) -> dict[int, Decimal]:
    """Return the half-hours of a home, kWh to 0.01 as a register has them; local time is UTC."""
    home = Household(seed)
    times = range(start_ms, end_ms + 1, HALF_HOUR_MS)
    registers = [Decimal(home.energy(each // 1000).normal // 36_000) / 100 for each in times]
    pairs = pairwise(registers)
    return {at: end - start for at, (start, end) in zip(times, pairs, strict=False)}


def up_to(half_hours: HalfHours, end_ms: int, start_ms: int) -> Use:
    """Return what was known at a time."""
    known = {at: kwh for at, kwh in half_hours.items() if start_ms <= at < end_ms}
    return Use(start_ms, end_ms, known)


def errors_of(seed: int) -> Errors:
    """Return by days how far kWh and yen were off, as shares, in each period of the year."""
    pricing = Pricing(TARIFF, UTC)
    periods = [pricing.period(month) for month in MONTHS]
    half_hours = simulated(
        seed, periods[0].start_ms - rule.LOOK_BACK_DAYS * DAY_MS, periods[-1].end_ms
    )
    found: Errors = {days: [] for days in AFTER_DAYS}
    for period in periods:
        bill = pricing.bill(period, up_to(half_hours, period.end_ms, period.start_ms))
        for days in AFTER_DAYS:
            now_ms = period.start_ms + days * DAY_MS
            use = up_to(half_hours, now_ms, period.start_ms - rule.LOOK_BACK_DAYS * DAY_MS)
            forecast = pricing.forecast(period, use)
            assert forecast is not None
            assert bill.kwh is not None
            pairs = ((forecast.kwh, bill.kwh), (forecast.known, bill.known))
            kwh, yen = (float(abs(guess - real) / real) for guess, real in pairs)
            found[days].append((kwh, yen))
    return found


def recorded(folder: Path) -> None:
    """Print how far off the sum of the recorded days was after each of them."""
    half_hours: dict[int, Decimal] = {}
    begin = epoch_ms(datetime(2025, 1, 1, tzinfo=UTC))
    days = [real_day(path) for path in sorted(folder.glob("*.csv"))]
    for number, day in enumerate(days):
        for slot in range(48):
            watts = [watt for at, watt in day.watts.items() if at // 30 == slot]
            if watts:
                at = begin + number * DAY_MS + slot * HALF_HOUR_MS
                half_hours[at] = Decimal(round(statistics.fmean(watts) / 2)) / 1000
    end = begin + len(days) * DAY_MS
    whole = kwh_of(Use(begin, end, half_hours), begin, end)
    print(f"\n{len(days)} recorded days, {whole:.1f} kWh together: how far the forecast was off")
    for number in range(1, len(days)):
        guess = kwh_of(up_to(half_hours, begin + number * DAY_MS, begin), begin, end)
        print(f"after {number:2} days: {guess:6.1f} kWh, {guess / whole - 1:+7.1%}")


def kwh_of(use: Use, begin: int, end: int) -> Decimal:
    """Return what is expected of a range."""
    expected = completed(use, begin, end)
    assert expected is not None
    assert expected.kwh is not None
    return expected.kwh


def table(errors: Sequence[Errors]) -> None:
    """Print the errors of simulated periods."""
    count = sum(len(each[AFTER_DAYS[0]]) for each in errors)
    print(f"{count} simulated periods, how far the forecast was off: median, 90 % at most")
    for days in AFTER_DAYS:
        pairs = [pair for each in errors for pair in each[days]]
        texts = (
            f"{statistics.median(column):6.1%} {quantile(column, 0.9):6.1%}"
            for column in zip(*pairs, strict=True)
        )
        print(f"after {days:2} days: kWh {next(texts)}   yen {next(texts)}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="with one CSV file for each real day")
    parser.add_argument("--seeds", type=int, default=10, help="how many homes (default: 10)")
    parser.add_argument(
        "--look-back", type=int, default=rule.LOOK_BACK_DAYS, help="days that the forecast looks at"
    )
    options = parser.parse_args()
    rule.LOOK_BACK_DAYS = options.look_back
    table([errors_of(seed) for seed in range(options.seeds)])
    if options.folder is not None:
        recorded(options.folder)


if __name__ == "__main__":
    main()
