"""Whether the dongle may send now."""

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.wisun.interfaces import EventNumber

RENEWAL_S = 75.0  # EVENT 29 to 25: median 2 s, longest seen 42 s
LIMIT_S = 3660.0  # the limit is on the sum of an hour (ARIB STD-T108): EVENT 33 was missed
TRANSMISSION_LIMIT = "transmission_limit"  # the fault


class SendGate:
    """Whether the dongle may send. Any thread.

    Args:
        clock: monotonic time.
        incidents: has the transmission limit while it lasts.
    """

    def __init__(self, clock: Clock, incidents: Incidents) -> None:
        self._clock = clock
        self._incidents = incidents
        self._renewing_since: float | None = None
        self._limited_since: float | None = None

    def open(self) -> None:
        """Let everything pass, as after a reset."""
        self._renewing_since = None
        self.end_limit()

    def end_limit(self) -> None:
        """Let requests pass again; do nothing if they do."""
        self._limited_since = None
        self._incidents.ended(TRANSMISSION_LIMIT)

    def end_renewal(self) -> None:
        """Stop waiting for the end of a renewal, because a join replaces it."""
        self._renewing_since = None

    def on_event(self, number: int) -> None:
        """Follow an event of the dongle."""
        match number:
            case EventNumber.LIFETIME_EXPIRED:
                if self._renewing_since is None:  # a dongle may try again and again in vain
                    self._renewing_since = self._clock.monotonic()
            case EventNumber.JOINED:
                self._renewing_since = None
            case EventNumber.LIMIT_ON:
                self._limited_since = self._clock.monotonic()
                self._incidents.raised(
                    TRANSMISSION_LIMIT,
                    hint="the dongle's transmission time of this hour is used up: ask less often",
                )
            case EventNumber.LIMIT_OFF:
                self.end_limit()

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
