"""When a clock is likely to be wrong: a rule without I/O."""

from dataclasses import dataclass
from datetime import UTC, datetime, time

from kei import RELEASED
from kei.core.clock import epoch_ms
from kei.timekeeping.linux import Hardware

_RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a clock.

    Attributes:
        synchronised: whether a time service has set it.
        hardware: what the machine has to know the time by.
        now_ms: what it shows, milliseconds since 1970.
        newest_ms: the time of the newest record when kei was started; None if there was none.
    """

    synchronised: bool
    hardware: Hardware
    now_ms: int
    newest_ms: int | None


def likely_wrong(evidence: Evidence) -> bool:
    """Return whether it is better to wait for the clock to be set than to believe it.

    That is so only where it will be set, as on a Raspberry Pi without a battery clock, or where
    it cannot be right, as it shows a time that has passed already.
    """
    if evidence.synchronised:
        return False
    hardware = evidence.hardware
    if hardware.time_service and not hardware.battery_clock:
        return True
    if evidence.now_ms < _RELEASED_MS:
        return True
    return evidence.newest_ms is not None and evidence.now_ms < evidence.newest_ms
