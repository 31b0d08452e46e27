"""Clocks: the only module that reads the machine's time; every other one is given a `Clock`."""

import math
import os
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_READ_LIMIT_S = 0.05  # in which both clocks have to be read
_READ_TRIES = 5


class Clock(Protocol):
    """Wall-clock time, monotonic time and the local time zone."""

    def now_ms(self) -> int:
        """Return the wall clock, milliseconds since 1970 in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""

    def wait_s(self, seconds: float) -> float:
        """Return for how many real seconds to wait until so many have passed on this clock."""

    @property
    def zone(self) -> tzinfo:
        """The local time zone, in which the files are written."""


class SystemClock:
    """The machine's clock.

    Args:
        zone: the local time zone; the machine's if None.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone or local_zone()

    def now_ms(self) -> int:
        """Return the wall clock, milliseconds since 1970 in UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        return time.monotonic()

    def wait_s(self, seconds: float) -> float:
        """Return the seconds themselves, at least 0."""
        return max(0.0, seconds)

    @property
    def zone(self) -> tzinfo:
        """The local time zone, in which the files are written."""
        return self._zone


def local_zone() -> tzinfo:
    """Return the time zone of `TZ` or of this machine, or its present offset if it has no name."""
    name = os.environ.get("TZ", "").lstrip(":")
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return _present_offset()
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return _present_offset()


def _present_offset() -> tzinfo:
    offset = datetime.now(UTC).astimezone().utcoffset()
    return timezone(offset or timedelta(0))


class Instant(NamedTuple):
    """A moment by both clocks, read together.

    Attributes:
        time_ms: wall clock, milliseconds since 1970 in UTC.
        monotonic_ms: monotonic clock; None if it is not known.
    """

    time_ms: int
    monotonic_ms: int | None = None


def instant(clock: Clock) -> Instant:
    """Return the present moment."""
    return Instant(clock.now_ms(), round(clock.monotonic() * 1000))


def offset_ms(clock: Clock) -> int:
    """Return wall clock minus monotonic clock; of several tries if the thread is held up.

    Linux slews both alike (adjtime, NTP), so this changes only when the wall clock is set, or when
    the machine wakes from suspend.
    """
    best_s, offset = math.inf, 0
    for _ in range(_READ_TRIES):
        before = clock.monotonic()
        wall_ms = clock.now_ms()
        took_s = clock.monotonic() - before
        if took_s < best_s:
            best_s, offset = took_s, wall_ms - round((before + took_s / 2) * 1000)
        if took_s <= _READ_LIMIT_S:
            break
    return offset


def local(time_ms: int, zone: tzinfo) -> datetime:
    """Return an instant (milliseconds since 1970) as aware local time."""
    return datetime.fromtimestamp(time_ms / 1000, zone)


def epoch_ms(moment: datetime) -> int:
    """Return an aware time as milliseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
