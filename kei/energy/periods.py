"""Local hours, days and months: the rows of an energy report, before anything is known of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import takewhile

from kei.core.clock import epoch_ms, local
from kei.energy.registers import HALF_HOUR_MS

_HOUR_S = 3600


class By(StrEnum):
    """What a row covers, by the clock on the wall."""

    HALF_HOUR = "half-hour"  # as the meter measures it
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    """A half-hour, or a local hour, day or month, or the part of it that is asked for.

    Attributes:
        start_ms: its beginning, milliseconds since 1970 in UTC.
        end_ms: its end.
        is_cut: whether it is only a part, at the beginning or the end of what is asked for.
    """

    start_ms: int
    end_ms: int
    is_cut: bool = False

    @property
    def first_ms(self) -> int:
        """The time of its first register: a half-hour belongs to the period in which it begins."""
        return half_hour_from(self.start_ms)

    @property
    def last_ms(self) -> int:
        """The time of its last register, which is the first of the next period."""
        return half_hour_from(self.end_ms)


def half_hour_from(time_ms: int) -> int:
    """Return the first full or half hour at or after an instant."""
    return -(-time_ms // HALF_HOUR_MS) * HALF_HOUR_MS


def periods(from_ms: int, to_ms: int, by: By, zone: tzinfo) -> Iterator[Period]:
    """Yield all of a range, the oldest first, without gaps; the first and the last may be cut.

    Args:
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant behind the range.
        by: what each covers. Days and months begin at local midnight, and last as long as the clock
            on the wall says: a day 23 or 25 hours, when daylight saving time begins or ends.
        zone: the local time zone.
    """
    start = _begin(from_ms, by, zone)
    while start < to_ms:
        end = _next(start, by, zone)
        yield Period(max(start, from_ms), min(end, to_ms), start < from_ms or to_ms < end)
        start = end


def begun(
    from_ms: int, to_ms: int, by: By, now_ms: int, zone: tzinfo
) -> tuple[Period, Iterator[Period]]:
    """Return what of a range has begun, and its periods; see `periods`.

    Args:
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant behind the range.
        by: what each covers.
        now_ms: the present; the period that holds it is the last.
        zone: the local time zone.
    """
    if from_ms >= now_ms:
        return Period(0, 0), iter(())
    found = takewhile(lambda each: each.start_ms < now_ms, periods(from_ms, to_ms, by, zone))
    if now_ms < to_ms:
        to_ms = next(periods(now_ms, to_ms, by, zone)).end_ms
    return Period(from_ms, to_ms), found


def _begin(time_ms: int, by: By, zone: tzinfo) -> int:
    """Return the beginning of the hour, day or month that holds an instant."""
    whole_ms = time_ms - time_ms % 1000
    at = local(whole_ms, zone)
    if by is By.HALF_HOUR:
        return whole_ms - whole_ms % HALF_HOUR_MS
    if by is By.HOUR:
        return whole_ms - 1000 * (at.minute * 60 + at.second)
    return _midnight(_first_day(at.date(), by), zone)


def _next(start_ms: int, by: By, zone: tzinfo) -> int:
    """Return the beginning of the next one."""
    at = local(start_ms, zone)
    if by is By.HALF_HOUR:
        return start_ms + HALF_HOUR_MS
    if by is By.HOUR:
        return start_ms + 1000 * (_HOUR_S - at.minute * 60 - at.second)
    day, end = at.date(), start_ms
    while end <= start_ms:  # where a zone has left out a day
        day = _first_day(day + timedelta(days=31), by) if by is By.MONTH else day + timedelta(1)
        end = _midnight(day, zone)
    return end


def _first_day(day: date, by: By) -> date:
    return day.replace(day=1) if by is By.MONTH else day


def _midnight(day: date, zone: tzinfo) -> int:
    return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=zone))
