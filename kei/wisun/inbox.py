"""What the dongle has said and nobody has read yet: bounded, whatever the dongle does."""

import threading
from collections import deque

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.wisun.interfaces import Inbound

log = structlog.stdlib.get_logger("kei.session")

# A conversation reads at once what it gets; the longest reply has some 30 lines. Between two
# conversations, an hour apart perhaps, nobody reads, and nobody will need what came.
INBOX_MAX = 1000  # messages of 4 kB at most, usually 0.2 kB
CALM_AFTER_S = 600.0  # without a dropped message


class Inbox:
    """A queue between the reader's thread and the conversation in progress.

    When it is full the oldest message is dropped; that is counted, and told once until it has been
    over for ten minutes. `get` and `clear` are for one thread at a time, the rest for any.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._news = threading.Condition()
        self._messages: deque[Inbound] = deque(maxlen=INBOX_MAX)
        self._woken = False
        self._dropped_at: float | None = None

    def put(self, message: Inbound) -> None:
        """Add a message."""
        with self._news:
            is_full = len(self._messages) == INBOX_MAX
            self._messages.append(message)
            self._news.notify()
        if is_full:
            self._dropped_at = self._clock.monotonic()
            self._incidents.raised(
                "dongle_messages_dropped",
                at_once=INBOX_MAX,
                hint="the dongle says more than kei asks for: does another program use it, too?",
            )

    def wake(self) -> None:
        """Make one `get`, the one in progress or the next, return without a message."""
        with self._news:
            self._woken = True
            self._news.notify()

    def get(self, timeout_s: float) -> Inbound | None:
        """Return the next message; None if none comes in time, or if woken."""
        with self._news:
            self._news.wait_for(lambda: self._messages or self._woken, timeout_s)
            self._woken = False
            return self._messages.popleft() if self._messages else None

    def clear(self) -> None:
        """Drop all messages, which is no fault: nobody needs them any more."""
        with self._news:
            self._messages.clear()
        dropped_at = self._dropped_at
        if dropped_at is not None and self._clock.monotonic() - dropped_at > CALM_AFTER_S:
            self._dropped_at = None
            self._incidents.ended("dongle_messages_dropped")
