"""What `kei check` says of a tariff that validates."""

from collections.abc import Iterator

from kei.core.clock import Clock
from kei.meter.meter_clock import METER_UTC_OFFSET, utc_offset
from kei.settings.tariff import Tariff
from kei.tariff.forecast import DAY_MS
from kei.tariff.market import read
from kei.tariff.periods import period_at, plan_of


def summary(tariff: Tariff, clock: Clock) -> str:
    """Return a line on the period that is running."""
    period = period_at(clock.now_ms(), tariff, clock.zone)
    plan = plan_of(period, tariff)
    name = "no plan" if plan is None else plan.name or f"the plan from {plan.begins}"
    return f"tariff: {name}, {period.first} to {period.last} will be the bill of {period.month}"


def zone_warning(clock: Clock) -> Iterator[str]:
    """Yield a warning where days and hours are not those by which bills in Japan go."""
    offset = utc_offset(clock)
    if offset != METER_UTC_OFFSET:
        yield (
            f"days and hours are this machine's, UTC{offset}, and those of a bill are Japan's,"
            f" UTC{METER_UTC_OFFSET}: timedatectl set-timezone Asia/Tokyo"
        )


def warnings(tariff: Tariff, clock: Clock) -> Iterator[str]:
    """Yield what a bill will lack."""
    now_ms = clock.now_ms()
    yield from (f"tariff: {each}" for each in zone_warning(clock))
    if tariff.levy is None:
        yield "tariff: no levy; households in Japan pay one, see [tariff.levy] in docs/tariffs.md"
    plan = plan_of(period_at(now_ms, tariff, clock.zone), tariff)
    if plan is None:
        return
    of_zones = (zone.steps for zone in plan.zones)
    for limit in filter(None, (steps[-1].to for steps in (plan.steps, *of_zones) if steps)):
        yield f"tariff: energy above {limit} kWh has no price, as the last step ends there"
    if plan.market is not None:
        file = read(plan.market, now_ms - DAY_MS, now_ms)
        yield from (f"tariff: {problem}" for problem in file.problems)
        if not file.prices and not file.problems:
            yield f"tariff: {plan.market.file} has no price of {plan.market.area} for the last day"
