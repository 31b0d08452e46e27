"""The energy of a bill: by steps of the period, by zones of the day, or at market prices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from operator import add
from typing import TypeAlias

from kei.core.clock import local
from kei.energy.registers import HALF_HOUR_MS
from kei.settings.tariff import Market, Plan, PriceStep, Zone
from kei.settings.tariff_texts import Days, Hours
from kei.tariff.bill import Line
from kei.tariff.forecast import Profile
from kei.tariff.periods import SEN, BillingPeriod
from kei.tariff.use import Use

Prices: TypeAlias = Mapping[int, Decimal]  # yen/kWh of half-hours, by their beginning in ms
KWH = "kWh"
_WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Quantities:
    """How much flowed when, as far as the prices of a plan tell it apart.

    Attributes:
        kwh: all of it.
        of_zones: the kWh of each zone; empty without zones.
        at_market: the kWh of half-hours with a market price.
        market_cost: what those cost, in yen.
        unpriced: the half-hours with energy whose market price is not known.
        without_hours: the kWh of which the half-hours are not known, in a plan that needs them.
    """

    kwh: Decimal
    of_zones: tuple[Decimal, ...] = ()
    at_market: Decimal = Decimal(0)
    market_cost: Decimal = Decimal(0)
    unpriced: Mapping[int, Decimal] = field(default_factory=dict)
    without_hours: Decimal = Decimal(0)

    def __add__(self, other: "Quantities") -> "Quantities":
        return Quantities(
            self.kwh + other.kwh,
            tuple(map(add, self.of_zones, other.of_zones)),
            self.at_market + other.at_market,
            self.market_cost + other.market_cost,
            {**self.unpriced, **other.unpriced},
            self.without_hours + other.without_hours,
        )

    def rounded(self) -> "Quantities":
        """Return the quantities that are billed: whole kWh, half up; at market prices exact."""
        return replace(
            self,
            kwh=whole_kwh(self.kwh),
            of_zones=tuple(map(whole_kwh, self.of_zones)),
        )


def whole_kwh(kwh: Decimal) -> Decimal:
    """Return whole kWh, half up."""
    return kwh.quantize(_WHOLE, ROUND_HALF_UP)


class PlanPrices:
    """The prices of energy in a plan.

    Args:
        plan: which.
        zone: the local time zone, whose hours and days count.
        is_weekday: tells whether a day is one.
        market: the market prices; empty without `market`.
    """

    def __init__(
        self, plan: Plan, zone: tzinfo, is_weekday: Callable[[date], bool], market: Prices
    ) -> None:
        self.plan = plan
        self._zone = zone
        self._is_weekday = is_weekday
        self._market = market

    def quantities(self, use: Use) -> Quantities:
        """Return how much was used at which price."""
        kwh = use.kwh or Decimal(0)
        if self.plan.zones:
            of_zones = [Decimal(0)] * len(self.plan.zones)
            for start_ms, each in use.half_hours.items():
                of_zones[self.zone_at(start_ms)] += each
            return Quantities(kwh, tuple(of_zones), without_hours=use.of_gaps)
        if self.plan.market is not None:
            return self._at_market(kwh, self.plan.market, use)
        return Quantities(kwh)

    def zone_at(self, start_ms: int) -> int:
        """Return the index of the zone in which a half-hour is; every one has a zone."""
        at = local(start_ms, self._zone)
        found = self.plan.zone_at(
            at.hour * 2 + at.minute // 30, is_weekday=self._is_weekday(at.date()), month=at.month
        )
        assert found is not None, "the settings have a zone for every half-hour"
        return found

    def with_expected_market(self, start_ms: int, end_ms: int) -> "PlanPrices":
        """Return the same with expected market prices where they are not known in a range."""
        profile = Profile(self._market, start_ms)
        if self.plan.market is None or not profile.is_usable:
            return self
        expected = dict(profile.spread(range(start_ms, end_ms, HALF_HOUR_MS)))
        return PlanPrices(self.plan, self._zone, self._is_weekday, {**expected, **self._market})

    def next_kwh(
        self, so_far: Quantities, period: BillingPeriod, start_ms: int
    ) -> tuple[Decimal | None, str]:
        """Return the price of the energy that comes next, and the name of its step or zone.

        Args:
            so_far: what was used in the period.
            period: which.
            start_ms: the beginning of the half-hour in which it comes.

        Returns:
            yen/kWh, or None if it is not known.
        """
        plan = self.plan
        if plan.market is not None:
            price = self._market.get(start_ms)
            return None if price is None else _with_margin(plan.market, price), "market"
        if plan.steps:
            span = _next_span(spans(plan.steps, period, includes(plan)), so_far.kwh)
            return span.price, span.name
        number = self.zone_at(start_ms)
        zone = plan.zones[number]
        if zone.price is not None:
            return zone.price, zone_name(zone)
        span = _next_span(spans(zone.steps, period), so_far.of_zones[number])
        return span.price, f"{zone_name(zone)} {span.name}"

    def _at_market(self, kwh: Decimal, market: Market, use: Use) -> Quantities:
        priced, cost, unpriced = Decimal(0), Decimal(0), {}
        for start_ms, each in use.half_hours.items():
            price = self._market.get(start_ms)
            if price is not None:
                priced += each
                cost += each * _with_margin(market, price)
            elif each:
                unpriced[start_ms] = each
        return Quantities(
            kwh,
            at_market=priced,
            market_cost=cost,
            unpriced=unpriced,
            without_hours=use.of_gaps,
        )


def _with_margin(market: Market, price: Decimal) -> Decimal:
    return price * market.factor + market.add


def energy_lines(plan: Plan, quantities: Quantities, period: BillingPeriod) -> Iterator[Line]:
    """Yield the lines for these quantities in a period."""
    if plan.steps:
        yield from _of_steps("energy", plan.steps, quantities.kwh, period, includes(plan))
    elif plan.zones:
        for zone, kwh in zip(plan.zones, quantities.of_zones, strict=True):
            name = zone_name(zone)
            if zone.price is not None:
                yield Line(name, kwh, KWH, zone.price, kwh * zone.price)
            else:
                yield from _of_steps(name, zone.steps, kwh, period)
    else:
        yield from _of_market(quantities)


def includes(plan: Plan) -> Decimal:
    """Return the kWh of a month that a minimum charge includes; 0 without one."""
    return Decimal(0) if plan.base is None else plan.base.includes or Decimal(0)


@dataclass(frozen=True, slots=True)
class Span:
    """A price step in a period, as scaled there.

    Attributes:
        begin: kWh above which it applies.
        end: the last kWh to which it does; None if it has no end.
        price: yen/kWh; None behind the last step that the plan has.
    """

    begin: Decimal
    end: Decimal | None
    price: Decimal | None

    def of(self, kwh: Decimal) -> Decimal:
        """Return how much of a period's energy is in it."""
        return max(Decimal(0), (kwh if self.end is None else min(kwh, self.end)) - self.begin)

    @property
    def name(self) -> str:
        """What a bill calls it."""
        return f"above {self.begin} kWh" if self.end is None else f"to {self.end} kWh"


def spans(
    steps: Sequence[PriceStep], period: BillingPeriod, included: Decimal = Decimal(0)
) -> Iterator[Span]:
    """Yield the steps behind the energy that a minimum charge includes; *widths* are scaled."""
    unscaled, begin = included, period.scaled_kwh(included)
    for each in steps:
        if each.to is None:
            yield Span(begin, None, each.price)
            return
        if each.to <= unscaled:
            continue
        end = begin + period.scaled_kwh(each.to - unscaled)
        yield Span(begin, end, each.price)
        begin, unscaled = end, Decimal(each.to)
    yield Span(begin, None, None)


def _next_span(found: Iterator[Span], kwh: Decimal) -> Span:
    return next(each for each in found if each.end is None or kwh < each.end)


def _of_steps(
    name: str,
    steps: Sequence[PriceStep],
    kwh: Decimal,
    period: BillingPeriod,
    included: Decimal = Decimal(0),
) -> Iterator[Line]:
    for span in spans(steps, period, included):
        if quantity := span.of(kwh):
            amount = None if span.price is None else quantity * span.price
            yield Line(f"{name} {span.name}", quantity, KWH, span.price, amount)


def _of_market(quantities: Quantities) -> Iterator[Line]:
    if quantities.at_market or not quantities.unpriced:
        average = None
        if quantities.at_market:
            average = (quantities.market_cost / quantities.at_market).quantize(SEN, ROUND_HALF_UP)
        amount = quantities.market_cost.quantize(SEN, ROUND_DOWN)
        yield Line("energy at market prices", quantities.at_market, KWH, average, amount)
    if quantities.unpriced:
        kwh = sum(quantities.unpriced.values(), Decimal(0))
        yield Line("energy without a market price", kwh, KWH, None, None)


def zone_name(zone: Zone) -> str:
    """Return what a bill calls a zone."""
    if zone.name:
        return zone.name
    parts = [] if zone.hours == Hours() else [str(zone.hours)]
    if zone.days is not Days.ALL:
        parts.append(f"{zone.days}s")
    if zone.months:
        parts.append(f"in month{'s' if len(zone.months) > 1 else ''} {_listed(zone.months)}")
    return " ".join(parts) or "other hours"


def _listed(months: Sequence[int]) -> str:
    return " ".join(map(str, months))
