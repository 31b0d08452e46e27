"""How many bytes a target costs a day: whoever pays a SIM card by the byte wants to know."""

from dataclasses import dataclass
from datetime import date
from threading import Lock

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock, local


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to a target.

    Attributes:
        today_bytes: since local midnight, or since the start if that was later.
        yesterday_bytes: on the day before; None if kei was started today.
    """

    today_bytes: int
    yesterday_bytes: int | None


class Traffic:
    """Counts the bytes of requests by the local day, and tells of each day once. Thread-safe.

    Args:
        log: where to.
        clock: for the day.
    """

    def __init__(self, log: BoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._day = self._today()
        self._bytes = self._posts = 0
        self._before: tuple[date, int] | None = None

    def add(self, sent_bytes: int) -> None:
        """Count a request and its bytes."""
        with self._lock:
            self._turn()
            self._bytes += sent_bytes
            self._posts += 1

    def sent(self) -> Sent:
        """Return what was sent today and yesterday."""
        with self._lock:
            self._turn()
            before = self._before
            is_yesterday = before is not None and (self._day - before[0]).days == 1
            return Sent(self._bytes, before[1] if before and is_yesterday else None)

    def _turn(self) -> None:
        """Begin a new day if there is one; a clock that was set back does not end a day twice."""
        today = self._today()
        if today <= self._day:
            return
        self._log.info(
            "upload_traffic", day=self._day.isoformat(), sent_bytes=self._bytes, posts=self._posts
        )
        self._before = (self._day, self._bytes)
        self._day, self._bytes, self._posts = today, 0, 0

    def _today(self) -> date:
        return local(self._clock.now_ms(), self._clock.zone).date()
