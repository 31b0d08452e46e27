"""Whether a time stamp of the meter can be right. No I/O."""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol

from kei import RELEASED
from kei.core.clock import Clock, epoch_ms, local
from kei.echonet.meter_class import METER_ZONE
from kei.timekeeping.monitor import ClockStatus

AHEAD_MS = 300_000  # what the meter's clock, or this machine's, may be off by
DAYS_REMEMBERED = 99  # before today: the range of EPC E5
_RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))


class ClockTrust(Protocol):
    """Knows whether the machine's clock can be trusted."""

    @property
    def status(self) -> ClockStatus:
        """Whether it can be trusted at present."""


class Doubt(StrEnum):
    """Why a time stamp cannot be right."""

    IMPOSSIBLE = "impossible"  # no such time, which the codec finds out
    IN_FUTURE = "in_the_future"
    TOO_OLD = "too_old"


HINTS = {
    Doubt.IMPOSSIBLE: "the meter's own mistake; no line is written for it",
    Doubt.IN_FUTURE: "no line is written for it; is the meter's clock ahead, or this one behind?",
    Doubt.TOO_OLD: "the meter remembers 99 days; no line is written for it",
}


def doubt_about(at: datetime, clock: Clock, trust: ClockTrust) -> Doubt | None:
    """Return why a time stamp cannot be right; None if it can be.

    It is judged by the machine's clock while that is trusted. While it is not, the meter's stamp
    is the better of the two, and needs no correction later. Then only what is too old by any
    account is refused: older than the meter can remember, and that both at the time which the
    clock shows and when this version of kei was released, which is in the past for certain.

    Args:
        at: the time stamp, aware.
        clock: the machine's.
        trust: whether that can be trusted.
    """
    at_ms, now_ms = epoch_ms(at), clock.now_ms()
    if trust.status.likely_wrong:
        now_ms = min(now_ms, _RELEASED_MS)
    elif at_ms > now_ms + AHEAD_MS:
        return Doubt.IN_FUTURE
    today = local(now_ms, METER_ZONE).date()
    is_too_old = at.astimezone(METER_ZONE).date() < today - timedelta(days=DAYS_REMEMBERED)
    return Doubt.TOO_OLD if is_too_old else None
