"""When nothing may be sent: while the session is renewed, and past the transmission limit."""

import logging

import structlog

from kei.core.clock import Clock
from kei.wisun.messages import EventNumber

log = structlog.stdlib.get_logger("kei.session")

RENEWAL_S = 75.0  # EVENT 29 to 25: median 2 s, longest seen 42 s
LIMIT_S = 3660.0  # the limit is on the sum of an hour (ARIB STD-T108): EVENT 33 was missed


class SendGate:
    """Whether the dongle may send. `on_event` is for the reader's thread, the rest for any.

    Args:
        clock: for how long it has been closed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._renewing_since: float | None = None
        self._limited_since: float | None = None

    def open(self) -> None:
        """Let everything pass, as after a reset."""
        self._renewing_since = self._limited_since = None

    def end_renewal(self) -> None:
        """Stop waiting for the end of a renewal, because a join replaces it."""
        self._renewing_since = None

    def on_event(self, number: int) -> None:
        """Follow an event of the dongle."""
        match number:
            case EventNumber.LIFETIME_EXPIRED:
                self._renewing_since = self._clock.monotonic()
            case EventNumber.JOINED:
                self._renewing_since = None
            case EventNumber.LIMIT_ON | EventNumber.LIMIT_OFF:
                limited = number == EventNumber.LIMIT_ON
                self._limited_since = self._clock.monotonic() if limited else None
                level = logging.WARNING if limited else logging.INFO
                log.log(level, "transmission_limit", active=limited)

    @property
    def is_renewing(self) -> bool:
        """Whether the dongle is authenticating anew: over within seconds, so worth waiting for."""
        return self._renewing_since is not None

    @property
    def is_limited(self) -> bool:
        """Whether the transmission time of this hour is used up: not worth waiting for."""
        since = self._limited_since
        return since is not None and self._clock.monotonic() < since + LIMIT_S

    def renewal_left_s(self) -> float | None:
        """Return for how long a renewal may still go on, seconds; None if there is none."""
        since = self._renewing_since
        return None if since is None else since + RENEWAL_S - self._clock.monotonic()
