"""Bills and costs of what was recorded of the meter."""

from dataclasses import dataclass

from kei.core.clock import Clock
from kei.meter.recorded import RecordedMeter
from kei.settings.months import Month
from kei.settings.tariff import Tariff
from kei.tariff.bill import Bill, Cost, Forecast, Price, Sold
from kei.tariff.forecast import DAY_MS, LOOK_BACK_DAYS
from kei.tariff.market import read_all
from kei.tariff.periods import BillingPeriod, period_at, period_of
from kei.tariff.pricing import Pricing
from kei.tariff.use import Use


@dataclass(frozen=True, slots=True)
class Billed:
    """A billing period.

    Attributes:
        bill: what it costs, or has cost so far.
        forecast: what it will probably cost; None if it is over, or nobody can tell.
        sold: what was sold; None without a price for it, or a register.
    """

    bill: Bill
    forecast: Forecast | None
    sold: Sold | None


@dataclass(frozen=True, slots=True)
class Present:
    """What electricity costs at present.

    Attributes:
        billed: the running period.
        since: what a part of it, up to now, has cost.
        price: of the next kWh; None without a plan.
    """

    billed: Billed
    since: Cost
    price: Price | None


class Billing:
    """What electricity costs, by what was recorded.

    Args:
        tariff: the prices.
        meter: what was recorded.
        clock: for the present and the local time zone.

    Raises:
        ConfigError: every method, where the library of national holidays is needed and missing.
        StoreError: every method, where the registers cannot be read.
    """

    def __init__(self, tariff: Tariff, meter: RecordedMeter, clock: Clock) -> None:
        self._tariff = tariff
        self._meter = meter
        self._clock = clock

    def billed(self, month: Month | None = None) -> Billed:
        """Return a billing month, by default the one that is running."""
        now_ms, zone = self._clock.now_ms(), self._clock.zone
        if month is None:
            return self._billed(period_at(now_ms, self._tariff, zone), now_ms)[0]
        return self._billed(period_of(month, self._tariff, zone), now_ms)[0]

    def present(self, since_ms: int) -> Present:
        """Return the running period, and what was added to it since an instant."""
        now_ms = self._clock.now_ms()
        period = period_at(now_ms, self._tariff, self._clock.zone)
        billed, pricing, bought = self._billed(period, now_ms)
        since = pricing.cost(bought, since_ms, now_ms)
        return Present(billed, since, pricing.price_at(bought, now_ms))

    def cost(self, from_ms: int, to_ms: int) -> Cost:
        """Return what the half-hours that begin in a range have added to bills."""
        now_ms, zone = self._clock.now_ms(), self._clock.zone
        start_ms = min(from_ms, period_at(from_ms, self._tariff, zone).start_ms)
        bought, _ = self._meter.use(start_ms, to_ms, now_ms)
        return self._pricing(start_ms, to_ms).cost(bought, from_ms, min(to_ms, bought.end_ms))

    def _billed(self, period: BillingPeriod, now_ms: int) -> tuple[Billed, Pricing, Use]:
        start_ms = period.start_ms
        if period.end_ms > now_ms:
            start_ms = min(start_ms, now_ms) - LOOK_BACK_DAYS * DAY_MS
        bought, sold = self._meter.use(start_ms, period.end_ms, now_ms)
        pricing = self._pricing(start_ms, period.end_ms)
        of_sold = None if sold is None else pricing.sold(period, sold)
        billed = Billed(pricing.bill(period, bought), pricing.forecast(period, bought), of_sold)
        return billed, pricing, bought

    def _pricing(self, from_ms: int, to_ms: int) -> Pricing:
        return Pricing(self._tariff, self._clock.zone, read_all(self._tariff, from_ms, to_ms))
