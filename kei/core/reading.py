"""Readings and summaries, the data of kei; and how their numbers are written."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from kei.core.clock import Clock

MAX_PLACES = 4  # decimals of any number in a file or an upload
_SMALLEST = Decimal(1).scaleb(-MAX_PLACES)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one series.

    Attributes:
        time_ms: when it was measured, milliseconds since 1970 in UTC.
        unit: UnitID of the files (`BR` for the meter).
        sensor: SensorID of the files (`E7`).
        value: finite; its exponent says how many decimals it is written with, at most 4.
        data_id: DataID of the files (`x` for the meter).
        monotonic_ms: the monotonic clock at that moment, milliseconds, read together with the wall
            clock: it tells later by which setting of the wall clock `time_ms` was taken. None if
            the source does not know, or did not take the time from this machine.
        recovered: whether it was made good later from what the meter remembers.
    """

    time_ms: int
    unit: str
    sensor: str
    value: Decimal
    data_id: str
    monotonic_ms: int | None = field(default=None, compare=False)
    recovered: bool = field(default=False, compare=False)

    def age_s(self, clock: Clock) -> float:
        """Return how old it is; by the wall clock only where nothing else is known."""
        if self.monotonic_ms is None:
            return (clock.now_ms() - self.time_ms) / 1000
        return clock.monotonic() - self.monotonic_ms / 1000


class Completeness(StrEnum):
    """Whether the summary of a window covers all readings that it should have."""

    COMPLETE = "complete"
    PARTIAL = "partial"  # fewer than 90 % of the expected readings, or a gap
    RECOVERED = "recovered"  # computed again: readings came late, or their time was corrected


@dataclass(frozen=True, slots=True)
class Summary:
    """Average, minimum and maximum of one series in one window.

    Attributes:
        start_ms: start of the window, milliseconds since 1970 in UTC.
        unit: UnitID.
        sensor: SensorID.
        average: mean of the readings whose time lies in the window, at most 4 decimals.
        minimum: the smallest of them.
        maximum: the largest of them.
        count: how many there were, at least 1.
        state: whether all expected readings were there.
        recovered: whether any of them was made good later from what the meter remembers.
    """

    start_ms: int
    unit: str
    sensor: str
    average: Decimal
    minimum: Decimal
    maximum: Decimal
    count: int
    state: Completeness = Completeness.COMPLETE
    recovered: bool = field(default=False, compare=False)


def to_places(value: Decimal) -> Decimal:
    """Round to at most 4 decimals (half to even) and write whole multiples of ten out.

    Args:
        value: any finite number.

    Returns:
        the same number with an exponent in -4..0, so that it never prints with an `E`; a zero,
        rounded to or not, has no sign.
    """
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "not a finite number"
    if exponent < -MAX_PLACES:
        value = value.quantize(_SMALLEST, ROUND_HALF_EVEN)
    elif exponent > 0:
        value = value.quantize(Decimal(1))
    return value or value.copy_abs()


def trimmed(value: Decimal) -> Decimal:
    """Round as `to_places`, then drop zeros at the end: 512.5000 is 512.5, and 512.0000 is 512."""
    return to_places(to_places(value).normalize())


def plain(value: Decimal) -> str:
    """Return the number as files and uploads have it: digits, at most 4 decimals, no exponent."""
    return format(to_places(value), "f")
