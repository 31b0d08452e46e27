"""Whether the meter answers."""

from kei.core.clock import Clock
from kei.wisun.interfaces import SessionStatus

SILENT_CYCLES, SILENT_MIN_S, SILENT_MAX_S = 3, 15.0, 45.0  # contract


class Presence:
    """Whether the meter answers: for so many cycles of the fastest request it may be silent.

    The upper limit holds only when a request was not answered, or there is no session: who asks
    every five minutes must not find it gone in between. Used by one thread, which looks every few
    seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answered = self._failed = 0
        self._heard_at: float | None = None

    def look(self, session: SessionStatus, cycle_s: float) -> bool:
        """Return whether the meter is there.

        Args:
            session: as it is now.
            cycle_s: of the fastest request that this meter can answer.
        """
        now, failed = self._clock.monotonic(), session.missed + session.held_back
        if session.answered > self._answered:
            self._heard_at, self._failed = now, failed
        elif session.answered < self._answered:  # another session, which counts anew
            self._failed = 0
        self._answered = session.answered
        if self._heard_at is None:
            return False
        limit_s = max(SILENT_MIN_S, SILENT_CYCLES * cycle_s)
        if failed > self._failed or not session.joined:
            limit_s = min(SILENT_MAX_S, limit_s)
        return now - self._heard_at < limit_s
