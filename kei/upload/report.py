"""What the log gets to know of one target: faults once each, what is set aside in sums."""

from collections.abc import Sequence
from threading import Lock

from structlog.stdlib import BoundLogger

from kei.clock import Clock
from kei.store.queue import Row

ASIDE_EVERY_S = 3600.0  # a server that refuses everything gets a line an hour, not one a row
CAUSES_MAX = 8  # different causes told in one outage; a server that makes up new ones is cut short


class Report:
    """Tells of the outages of one target and of the rows that it lost.

    Args:
        log: where to.
        target: name of the target.
        clock: for durations.
    """

    def __init__(self, log: BoundLogger, target: str, clock: Clock) -> None:
        self._log = log.bind(target=target)
        self._clock = clock
        self._failures = 0
        self._since = 0.0
        self._causes: set[str] = set()
        self._lock = Lock()
        self._aside_total = 0
        self._aside_untold = 0
        self._aside_reason = ""
        self._aside_told: float | None = None

    @property
    def set_aside(self) -> int:
        """How many rows were set aside since the start."""
        return self._aside_total

    @property
    def failures(self) -> int:
        """How many attempts in a row have failed up to now."""
        return self._failures

    def failed(self, cause: str, detail: str = "") -> None:
        """Count a failed attempt; a cause that is new in this outage is logged.

        Args:
            cause: short and the same for the same fault (`status 503`).
            detail: the rest of what is known; may differ each time.
        """
        if self._failures == 0:
            self._since = self._clock.monotonic()
        self._failures += 1
        if cause not in self._causes and len(self._causes) < CAUSES_MAX:
            self._causes.add(cause)
            self._log.warning("upload_failing", reason=joined(cause, detail))

    def recovered(self) -> None:
        """Sum up the outage, if there was one."""
        if self._failures == 0:
            return
        duration_s = round(self._clock.monotonic() - self._since, 1)
        self._log.info("upload_recovered", failures=self._failures, duration_s=duration_s)
        self._failures = 0
        self._causes.clear()

    def aside(self, rows: Sequence[Row], reason: str) -> None:
        """Count rows that were set aside; `tell` logs them."""
        with self._lock:
            self._aside_total += len(rows)
            self._aside_untold += len(rows)
            self._aside_reason = reason

    def tell(self, *, last: bool = False) -> None:
        """Log what was set aside since the last time, at most once an hour. From any thread.

        Args:
            last: there may be no next time, so do not wait.
        """
        now = self._clock.monotonic()
        with self._lock:
            recent = self._aside_told is not None and now - self._aside_told < ASIDE_EVERY_S
            if not self._aside_untold or (recent and not last):
                return
            rows, self._aside_untold, self._aside_told = self._aside_untold, 0, now
        self._log.warning(
            "upload_set_aside", rows=rows, total=self._aside_total, reason=self._aside_reason
        )


def joined(cause: str, detail: str) -> str:
    """Return both as one text."""
    return f"{cause}: {detail}" if detail else cause
