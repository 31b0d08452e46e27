"""The meter's half-hour registers, and what flowed between two of them."""

from dataclasses import dataclass
from decimal import Decimal

HALF_HOUR_MS = (
    1_800_000  # from one register to the next; they are at :00 and :30 of any full offset
)

# A low-voltage supply ends at a contract of 50 kW; this is twice that, for half an hour.
SUPPLY_MAX_KWH = Decimal(50)
# The share of a register's range that flows between two looks at it only if these are far apart.
RANGE_SHARE = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Registers:
    """Both registers of the meter at one instant.

    Attributes:
        time_ms: a full or half hour, milliseconds since 1970 in UTC.
        bought: kWh of the normal direction (EA) since the meter was installed; None if not known.
        sold: the same of the reverse direction (EB).
    """

    time_ms: int
    bought: Decimal | None = None
    sold: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What lies between two known registers of one direction that follow each other.

    Attributes:
        start_ms: time of the first, milliseconds since 1970 in UTC.
        end_ms: time of the second, later.
        kwh: what flowed between them, at least 0; None if they are not of the same meter.
    """

    start_ms: int
    end_ms: int
    kwh: Decimal | None

    @property
    def half_hours(self) -> int:
        """How many half-hours it has; more than one where registers between are missing."""
        return (self.end_ms - self.start_ms) // HALF_HOUR_MS


def range_kwh(digits: Decimal, coefficient: Decimal, unit: Decimal) -> Decimal:
    """Return at how many kWh a register begins again at 0.

    Args:
        digits: D7, how many digits its counter has, whole, 1 to 8.
        coefficient: D3.
        unit: E1, kWh.
    """
    return Decimal(10) ** int(digits) * coefficient * unit


def step(start: tuple[int, Decimal], end: tuple[int, Decimal], range_: Decimal | None) -> Step:
    """Return what lies between two known registers of one direction that follow each other.

    A register that has fallen has rolled over if it stood near the end of its range, and if no more
    has flowed than a supply can carry; else the meter is another one. So it is where one has risen
    by more than a supply can carry and by a good part of its range: a meter that has been used
    elsewhere, or one that comes back from a wrong 0.

    Args:
        start: time (ms) and kWh of the first.
        end: those of the second, later.
        range_: at how many kWh a register begins again at 0; None if that is not known: then one
            that has fallen is always that of another meter, and one that has risen never.
    """
    risen = end[1] - start[1]
    between = Step(start[0], end[0], risen)
    other_meter = Step(start[0], end[0], None)
    if range_ is None:
        return between if risen >= 0 else other_meter
    share = range_ * RANGE_SHARE
    carried = SUPPLY_MAX_KWH * between.half_hours
    if risen >= 0:
        return between if risen <= max(share, carried) else other_meter
    rolled = risen + range_
    if start[1] < range_ and rolled <= min(share, carried):
        return Step(start[0], end[0], rolled)
    return other_meter
