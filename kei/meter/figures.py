"""The sums that people want to see: today and the billing period, in kWh and yen."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from kei.core.clock import Clock, epoch_ms, local
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.billing import Billing
from kei.meter.recorded import BOUGHT, LATE_MS, SOLD, RecordedMeter, unit_of
from kei.settings.config import Config
from kei.settings.tariff import Tariff
from kei.store.half_hour_cache import HalfHourCache
from kei.store.text import DailyFile
from kei.tariff.periods import period_at


@dataclass(frozen=True, slots=True)
class Sum:
    """What a range of time has brought so far; None for what is not known.

    Attributes:
        start_ms: its beginning, milliseconds since 1970 in UTC.
        end_ms: its end.
        until_ms: the end of the last half-hour that is in it.
        missing: how many half-hours are missing in it.
        kwh: bought.
        sold_kwh: sold.
        cost: yen.
        forecast: yen at its end.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    until_ms: int | None = None
    missing: int | None = None
    kwh: Decimal | None = None
    sold_kwh: Decimal | None = None
    cost: Decimal | None = None
    forecast: Decimal | None = None


UNKNOWN = Sum()


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums, and yen for the next kWh; None if that is not known."""

    today: Sum = UNKNOWN
    period: Sum = UNKNOWN
    price: Decimal | None = None


class PresentFigures:
    """The sums at present, computed again only when they may have become others. Thread-safe.

    Args:
        config: returns the present configuration, which a reload replaces.
        clock: for the present.

    Raises:
        StoreError: the registers cannot be read; so every method.
    """

    def __init__(self, config: Callable[[], Config], clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._half_hours = HalfHourCache(clock, (BOUGHT, SOLD))
        self._known: tuple[object, Figures] | None = None

    def meter(self) -> RecordedMeter:
        """Return the meter's registers, which are read from memory."""
        return RecordedMeter(self._config(), self._clock.zone, self._half_hours.at_half_hours)

    def version(self) -> object:
        """Return what is another one when sums may be: after a register, or a half-hour."""
        config, zone = self._config(), self._clock.zone
        text = DailyFile(config.recorder.directory, config.recorder.fname_base, "", zone)
        recorded = self._half_hours.version(config.recorder.database, text, unit_of(config))
        return recorded, (self._clock.now_ms() - LATE_MS) // HALF_HOUR_MS

    def figures(self) -> Figures:
        """Return the sums; ConfigError if a library is missing that the prices need."""
        tariff = self._config().tariff
        of = self.version(), self._clock.now_ms() // HALF_HOUR_MS, tariff
        known = self._known
        if known is None or known[0] != of:
            self._known = known = of, _figures_of(tariff, self.meter(), self._clock)
        return known[1]


def _figures_of(tariff: Tariff | None, meter: RecordedMeter, clock: Clock) -> Figures:
    """Return the sums at present; without a tariff the period is the month."""
    now_ms, zone = clock.now_ms(), clock.zone
    at = local(now_ms, zone)
    midnight = datetime(at.year, at.month, at.day, tzinfo=zone)
    today_ms, tomorrow_ms = epoch_ms(midnight), epoch_ms(midnight + timedelta(days=1))
    if tariff is None:
        first = midnight.replace(day=1)
        month = (epoch_ms(first), epoch_ms((first + timedelta(days=32)).replace(day=1)))
        today = _sum(meter, now_ms, today_ms, tomorrow_ms)
        return Figures(today, _sum(meter, now_ms, *month))
    period = period_at(now_ms, tariff, zone)
    present = Billing(tariff, meter, clock).present(today_ms)
    billed, forecast = present.billed.bill, present.billed.forecast
    return Figures(
        _sum(meter, now_ms, today_ms, tomorrow_ms, cost=present.since.amount),
        _sum(
            meter,
            now_ms,
            period.start_ms,
            period.end_ms,
            cost=billed.total,
            forecast=None if forecast is None else forecast.total,
        ),
        None if present.price is None else present.price.total,
    )


def _sum(
    meter: RecordedMeter,
    now_ms: int,
    start_ms: int,
    end_ms: int,
    *,
    cost: Decimal | None = None,
    forecast: Decimal | None = None,
) -> Sum:
    bought, sold = meter.use(start_ms, end_ms, now_ms)
    known = [start + HALF_HOUR_MS for start in bought.half_hours]
    return Sum(
        start_ms,
        end_ms,
        max(known, default=None),
        bought.missing,
        bought.kwh,
        None if sold is None else sold.kwh,
        cost,
        forecast,
    )
