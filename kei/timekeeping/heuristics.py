"""The rule for when a clock that no time service has set is likely to be wrong. No I/O."""

from datetime import UTC, datetime, time

from kei import RELEASED
from kei.core.clock import epoch_ms
from kei.timekeeping.linux import ClockSources

_RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))


def likely_wrong(
    *, synchronised: bool, sources: ClockSources, now_ms: int, newest_ms: int | None
) -> bool:
    """Return whether it is better to wait for the clock to be set than to use its time.

    It is better where the clock will be set, as on a Raspberry Pi without a battery clock, and
    where it cannot be right, because it shows a time that has passed already.

    Args:
        synchronised: whether a time service has set the clock.
        sources: from what the machine knows the time.
        now_ms: what the clock shows, milliseconds since 1970.
        newest_ms: the time of the newest record when kei was started; None if there was none.
    """
    if synchronised:
        return False
    if sources.time_service and not sources.battery_clock:
        return True
    return now_ms < _RELEASED_MS or (newest_ms is not None and now_ms < newest_ms)
