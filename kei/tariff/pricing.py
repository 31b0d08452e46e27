"""A tariff at work: bills, what half-hours cost, what the next kWh costs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo
from decimal import ROUND_DOWN, Decimal

from kei.core.clock import local
from kei.core.printable import counted
from kei.core.times import written
from kei.energy.periods import half_hour_from
from kei.energy.registers import HALF_HOUR_MS
from kei.settings.months import Month
from kei.settings.tariff import Market, Plan, Tariff
from kei.tariff.bill import Bill, Cost, Forecast, Price, Sold
from kei.tariff.charges import YEN, Charges
from kei.tariff.energy import PlanPrices, Quantities, includes, whole_kwh
from kei.tariff.forecast import completed
from kei.tariff.holidays import is_weekday_of
from kei.tariff.market import MarketFile
from kei.tariff.periods import BillingPeriod, is_outside, period_at, period_of, plan_of
from kei.tariff.rates import Rates
from kei.tariff.use import Use


class Pricing:
    """What electricity costs in a household.

    Args:
        tariff: the prices.
        zone: the local time zone, whose days and hours count.
        market: what the files with market prices say; see `kei.tariff.market.read_all`.
    """

    def __init__(
        self, tariff: Tariff, zone: tzinfo, market: Mapping[Market, MarketFile] | None = None
    ) -> None:
        self.tariff = tariff
        self._zone = zone
        self._market = {} if market is None else market
        self._plans: dict[Plan, PlanPrices] = {}

    def period(self, month: Month) -> BillingPeriod:
        """Return the period of a billing month."""
        return period_of(month, self.tariff, self._zone)

    def period_at(self, time_ms: int) -> BillingPeriod:
        """Return the period that holds an instant, milliseconds since 1970 in UTC."""
        return period_at(time_ms, self.tariff, self._zone)

    def bill(self, period: BillingPeriod, use: Use) -> Bill:
        """Return what a period costs, or has cost so far.

        Args:
            period: which.
            use: what was bought in it; what lies outside does not count.

        Raises:
            ConfigError: the library that knows the national holidays is needed and missing.
        """
        plan = plan_of(period, self.tariff)
        used = use.part(period.start_ms, period.end_ms)
        if plan is None:
            return self._without_plan(period, used)
        return self._bill(self._prices(plan), period, used)

    def forecast(self, period: BillingPeriod, use: Use) -> Forecast | None:
        """Return what a running period will probably cost; None if it is over, or nobody can tell.

        Args:
            period: which.
            use: what was bought in it so far, and in the seven days before now.

        Raises:
            ConfigError: as for `bill`.
        """
        plan = plan_of(period, self.tariff)
        if plan is None or not period.start_ms <= use.end_ms < period.end_ms:
            return None
        whole = completed(use, period.start_ms, period.end_ms)
        if whole is None:
            return None
        prices = self._prices(plan).with_expected_market(use.end_ms, period.end_ms)
        bill = self._bill(prices, period, whole)
        return None if bill.kwh is None else Forecast(bill.kwh, bill.total, bill.known)

    def cost(self, use: Use, start_ms: int, end_ms: int) -> Cost:
        """Return what half-hours have added to the bill: energy, fuel and levy, no base.

        For prices that go by steps it counts what was used in the period before; where half-hours
        are missing there, the cost may be too low. It is not cut to yen.

        Args:
            use: what was bought, from the beginning of the period that holds `start_ms` on.
            start_ms: the beginning; a half-hour belongs to the range in which it begins.
            end_ms: the end; it may lie in another period.

        Raises:
            ConfigError: as for `bill`.
        """
        costs = [self._cost_within(*each) for each in self._by_period(use, start_ms, end_ms)]
        whole = use.part(start_ms, end_ms)
        known = [each.amount for each in costs if each.amount is not None]
        is_known = bool(known) and len(known) == len(costs)
        problems = dict.fromkeys(problem for each in costs for problem in each.problems)
        amount = sum(known, Decimal(0)) if is_known else None
        return Cost(whole.kwh, amount, whole.missing, tuple(problems))

    def price_at(self, use: Use, time_ms: int) -> Price | None:
        """Return what the next kWh costs at an instant; None if nobody can tell.

        There is no plan for it, or it goes by what was used before, of which nothing is known.

        Args:
            use: what was bought in the period so far, for prices that go by steps.
            time_ms: the instant, milliseconds since 1970 in UTC.

        Raises:
            ConfigError: as for `bill`.
        """
        period = self.period_at(time_ms)
        plan = self._plan_at(period, time_ms)
        if plan is None:
            return None
        prices, before = self._prices(plan), use.part(period.start_ms, time_ms)
        if plan.goes_by_kwh and before.gaps and before.kwh is None:
            return None
        so_far = prices.quantities(before)
        if so_far.kwh < period.scaled_kwh(includes(plan)):
            return Price(Decimal(0), Decimal(0), Decimal(0), "included in the minimum charge")
        energy, what = prices.next_kwh(so_far, period, time_ms - time_ms % HALF_HOUR_MS)
        rates = Rates(self.tariff, period.month)
        fuel, levy = rates.fuel, rates.levy
        return Price(
            energy,
            fuel if rates.has_fuel else Decimal(0),
            levy if rates.has_levy else Decimal(0),
            what,
        )

    def sold(self, period: BillingPeriod, use: Use) -> Sold | None:
        """Return what was sold in a period; None if the tariff has no price for it.

        Args:
            period: which.
            use: what was sold, of the register of the reverse direction.
        """
        if self.tariff.sell is None:
            return None
        sold = use.part(period.start_ms, period.end_ms)
        kwh = None if sold.kwh is None else whole_kwh(sold.kwh)
        price = self.tariff.sell.price
        amount = None if kwh is None else (kwh * price).quantize(YEN, ROUND_DOWN)
        return Sold(kwh, price, amount, sold.gaps)

    def _bill(self, prices: PlanPrices, period: BillingPeriod, used: Use) -> Bill:
        plan = prices.plan
        is_running = used.end_ms < half_hour_from(period.end_ms)
        exact = prices.quantities(used)
        quantities = None if used.kwh is None else exact.rounded()
        rates = Rates(self.tariff, period.month)
        charges = Charges(plan, self.tariff, period, rates, quantities)
        lines = charges.lines(is_final=not is_running and not used.gaps)
        levy = charges.levy()
        amounts = [line.amount for line in lines]
        amounts += [] if levy is None else [levy.amount]
        known = sum((each for each in amounts if each is not None), Decimal(0))
        total = known.quantize(YEN, ROUND_DOWN) + 0  # which makes 0 of -0
        return Bill(
            period=period,
            plan=plan.name,
            is_running=is_running,
            kwh=None if quantities is None else quantities.kwh,
            lines=tuple(lines),
            levy_line=levy,
            known=total,
            total=None if None in amounts else total,
            gaps=used.gaps,
            problems=(
                *(
                    ["no half-hour of the period can be known yet"]
                    if used.start_ms == used.end_ms
                    else []
                ),
                *rates.problems(has_included=bool(includes(plan))),
                *self._problems(plan, exact),
            ),
        )

    def _prices(self, plan: Plan) -> PlanPrices:
        if plan not in self._plans:
            file = None if plan.market is None else self._market.get(plan.market)
            prices = {} if file is None else file.prices
            self._plans[plan] = PlanPrices(plan, self._zone, is_weekday_of(plan), prices)
        return self._plans[plan]

    def _without_plan(self, period: BillingPeriod, used: Use) -> Bill:
        first = min(plan.begins for plan in self.tariff.plan)
        reason = f"the first [[tariff.plan]] is from {first}"
        if is_outside(period, self.tariff):
            reason = "it is before first_day or behind last_day"
        return Bill(
            period=period,
            plan="",
            is_running=used.end_ms < half_hour_from(period.end_ms),
            kwh=None if used.kwh is None else whole_kwh(used.kwh),
            lines=(),
            levy_line=None,
            known=Decimal(0),
            total=None,
            gaps=used.gaps,
            problems=(f"no plan for {period.month}: {reason}",),
        )

    def _by_period(
        self, use: Use, start_ms: int, end_ms: int
    ) -> Iterator[tuple[BillingPeriod, Use, Use]]:
        """Yield each period of a range, what was used in it before, and what within the range."""
        while start_ms < end_ms:
            period = self.period_at(start_ms)
            bounds = (period.start_ms, period.end_ms, self.period(period.month.moved(1)).start_ms)
            end = min(end_ms, *(each for each in bounds if each > start_ms))
            yield period, use.part(period.start_ms, start_ms), use.part(start_ms, end)
            start_ms = end

    def _plan_at(self, period: BillingPeriod, time_ms: int) -> Plan | None:
        """Return the plan at an instant; None before the first and behind the last day."""
        is_within = period.start_ms <= time_ms < period.end_ms
        return plan_of(period, self.tariff) if is_within else None

    def _cost_within(self, period: BillingPeriod, before: Use, use: Use) -> Cost:
        plan = self._plan_at(period, use.start_ms)
        if plan is None:
            return Cost(use.kwh, None, use.missing, (f"no plan for {period.month}",))
        if use.kwh is None:
            return Cost(None, None, use.missing)
        prices, rates = self._prices(plan), Rates(self.tariff, period.month)
        begin = replace(prices.quantities(before), unpriced={})
        within = prices.quantities(use)
        low, high = (
            Charges(plan, self.tariff, period, rates, each).variable()
            for each in (begin, begin + within)
        )
        problems = (
            *rates.problems(has_included=bool(includes(plan))),
            *self._problems(plan, within),
        )
        amount = None if low is None or high is None else high - low
        return Cost(use.kwh, amount, use.missing, problems)

    def _problems(self, plan: Plan, quantities: Quantities) -> Iterator[str]:
        if plan.market is not None and plan.market in self._market:
            yield from self._market[plan.market].problems
        if quantities.without_hours:
            yield (
                f"{quantities.without_hours:f} kWh have no price here: the half-hours in which"
                " they flowed are missing"
            )
        if quantities.unpriced:
            first, last = min(quantities.unpriced), max(quantities.unpriced) + HALF_HOUR_MS
            start, end = (written(local(ms, self._zone)) for ms in (first, last))
            half_hours = counted(len(quantities.unpriced), "half-hour")
            yield f"no market price for {half_hours} between {start} and {end}"
