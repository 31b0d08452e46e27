"""The meter's own clock (EPC 97 and 98), compared with the machine's."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import Malformed
from kei.core.incidents import Incidents
from kei.echonet.meter_class import METER_ZONE
from kei.echonet.superclass import EPC_DATE, EPC_TIME, clock_of
from kei.meter.stamps import ClockTrust

log = structlog.stdlib.get_logger("kei.meter")

METER_UTC_OFFSET = "+09:00"
TOLERANCE_S = 300
ASK_EVERY_S, ASK_AGAIN_S = 86_400.0, 3600.0  # after an answer; after none
_DATE_MAX_AGE_S = 60.0  # of the date, when it comes in another answer than the time
_HALF_MINUTE_MS = 30_000  # the clock shows whole minutes: on average it is half a minute later
_MINUTE_S = 60
_DATE_TIME_CHARS = 16  # 2026-11-23T07:02, before the offset


@dataclass(frozen=True, slots=True)
class MeterClockStatus:
    """How the meter's time compares with this machine's.

    Attributes:
        ahead_s: how far the meter's clock is ahead of the machine's, to half a minute; negative
            for behind, None while it is not known.
        utc_offset: of local time on this machine, `METER_UTC_OFFSET` where it is the meter's too.
    """

    ahead_s: int | None
    utc_offset: str


class MeterClock:
    """Asks for the meter's clock after each join and once a day, and says when it is off.

    It is compared with a machine's clock that a time service has set, and with no other. Both may
    change: what the meter has said is kept with the monotonic time, and compared anew all the time.
    Thread-safe.

    Args:
        clock: wall and monotonic time.
        trust: whether the former is synchronised.
    """

    def __init__(self, clock: Clock, trust: ClockTrust) -> None:
        self._clock = clock
        self._trust = trust
        self._incidents = Incidents(log, clock)
        self._due = 0.0
        self._date: tuple[bytes, float] | None = None  # and when it came, monotonic
        self._offset_ms: int | None = None  # the meter's clock minus monotonic time
        self._lock = threading.Lock()

    def joined(self) -> None:
        """Have the clock asked for soon, as a meter has been joined."""
        with self._lock:
            self._due, self._offset_ms, self._date = 0.0, None, None

    def due(self, readable: frozenset[int] | None, at_once: int) -> tuple[tuple[int, ...], ...]:
        """Return what is to be asked now, one frame each; the caller asks it.

        Args:
            readable: the property map of the meter; None while it is not known.
            at_once: how many properties this meter answers in one frame.
        """
        self._compare()
        if readable is None or not readable.issuperset((EPC_DATE, EPC_TIME)):
            return ()
        with self._lock:
            now = self._clock.monotonic()
            if now < self._due:
                return ()
            self._due = now + ASK_AGAIN_S
        return ((EPC_DATE, EPC_TIME),) if at_once > 1 else ((EPC_DATE,), (EPC_TIME,))

    def take(self, properties: Mapping[int, bytes]) -> None:
        """Take date and time from an answer that has just come, as far as it has them."""
        with self._lock:
            now = self._clock.monotonic()
            if EPC_DATE in properties:
                self._date = properties[EPC_DATE], now
            if EPC_TIME not in properties or self._date is None:
                return
            date_edt, date_at = self._date
            if now - date_at > _DATE_MAX_AGE_S:
                return
            try:
                shown = clock_of(date_edt, properties[EPC_TIME], METER_ZONE)
            except Malformed as error:
                self._incidents.raised("meter_clock_malformed", reason=str(error))
                return
            self._incidents.ended("meter_clock_malformed")
            if EPC_DATE not in properties and not (shown.hour or shown.minute > 1):
                return  # it may have been midnight in between
            self._due = now + ASK_EVERY_S
            self._offset_ms = epoch_ms(shown) + _HALF_MINUTE_MS - round(now * 1000)
        self._compare()

    @property
    def status(self) -> MeterClockStatus:
        """How the meter's time compares with the machine's at present; any thread."""
        return MeterClockStatus(self._ahead_s(), utc_offset(self._clock))

    def _ahead_s(self) -> int | None:
        offset_ms = self._offset_ms
        if offset_ms is None:
            return None
        return round((offset_ms + self._clock.monotonic() * 1000 - self._clock.now_ms()) / 1000)

    def _compare(self) -> None:
        ahead_s = self._ahead_s()
        if ahead_s is None or not self._trust.status.synchronised:
            return
        if abs(ahead_s) <= TOLERANCE_S:
            self._incidents.ended("meter_clock_differs")
            return
        self._incidents.raised(
            "meter_clock_differs",
            by=f"{round(ahead_s / _MINUTE_S):+d} min",
            hint="the times of half-hour values are the meter's; its clock is the power company's",
        )


def utc_offset(clock: Clock) -> str:
    """Return how far local time is ahead of UTC at present: `+09:00`."""
    here = local(clock.now_ms(), clock.zone)
    return here.isoformat(timespec="minutes")[_DATE_TIME_CHARS:]
