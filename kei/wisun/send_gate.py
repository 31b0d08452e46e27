"""When the dongle must not send: while it renews the session, and past its transmission limit."""

import logging

import structlog

from kei.core.clock import Clock
from kei.wisun.skstack import EventNumber

log = structlog.stdlib.get_logger("kei.session")

RENEWAL_S = 75.0  # EVENT 29 to 25: median 2 s, longest seen 42 s
LIMIT_S = 3660.0  # the limit is on the sum of an hour (ARIB STD-T108): EVENT 33 was missed


class Gate:
    """Open while the dongle may send. Events come from the reader's thread, looks from any.

    Args:
        clock: for how long it has been shut.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._renewing_since: float | None = None
        self._limited_since: float | None = None

    def open(self) -> None:
        """Let everything pass, as after a reset."""
        self._renewing_since = self._limited_since = None

    def end_renewal(self) -> None:
        """Wait no more for the end of a renewal, as a join takes its place."""
        self._renewing_since = None

    def take(self, number: int) -> None:
        """Follow an EVENT line."""
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
        """Whether the dongle authenticates anew: soon over, so worth waiting for."""
        return self._renewing_since is not None

    @property
    def is_limited(self) -> bool:
        """Whether the transmission time of this hour is used up: not worth waiting for."""
        since = self._limited_since
        return since is not None and self._clock.monotonic() < since + LIMIT_S

    def patience_s(self) -> float | None:
        """Return for how long a renewal may still go on, seconds; None if there is none."""
        since = self._renewing_since
        return None if since is None else since + RENEWAL_S - self._clock.monotonic()
