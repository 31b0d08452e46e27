"""The sums that people want to see: today and the billing period, in kWh and yen."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from kei.core.clock import Clock, epoch_ms, local
from kei.energy.periods import By
from kei.meter.recorded import RecordedMeter


@dataclass(frozen=True, slots=True)
class Sum:
    """What a range of time has brought so far.

    Attributes:
        start_ms: its beginning, milliseconds since 1970 in UTC; None if it is not known.
        end_ms: its end; the same.
        kwh: bought; None if it is not known.
        cost: yen; None if it is not known.
        forecast: yen at its end; None if it is not known.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    kwh: Decimal | None = None
    cost: Decimal | None = None
    forecast: Decimal | None = None


UNKNOWN = Sum()


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums; None for what is not known."""

    today: Sum = UNKNOWN
    period: Sum = UNKNOWN
    price: Decimal | None = None


def figures_of(meter: RecordedMeter, clock: Clock) -> Figures:
    """Return the sums at present.

    Args:
        meter: what was recorded of it.
        clock: for the present.

    Raises:
        StoreError: the registers cannot be read.
    """
    now_ms = clock.now_ms()
    at = local(now_ms, clock.zone)
    midnight = datetime(at.year, at.month, at.day, tzinfo=clock.zone)
    first = midnight.replace(day=1)
    return Figures(
        today=_energy(meter, By.DAY, epoch_ms(midnight), now_ms),
        period=_energy(meter, By.MONTH, epoch_ms(first), now_ms),
    )


def _energy(meter: RecordedMeter, by: By, from_ms: int, now_ms: int) -> Sum:
    report, rows = meter.report(from_ms, now_ms + 1, by, now_ms)
    (row,) = rows
    return Sum(from_ms, report.whole.end_ms, row.bought)
