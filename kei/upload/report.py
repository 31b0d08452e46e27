"""What the log gets to know of one target: faults once each, what is set aside in sums."""

from collections.abc import Sequence
from threading import Lock

from structlog.stdlib import BoundLogger

from kei.clock import Clock
from kei.faults import Faults
from kei.store.queue import Row

ASIDE_EVERY_S = 3600.0  # a server that refuses everything gets a line an hour, not one a row


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
        self._faults = Faults(self._log, clock)
        self._lock = Lock()
        self._aside_total = 0
        self._aside_untold = 0
        self._aside_reason = ""
        self._aside_told: float | None = None

    @property
    def set_aside(self) -> int:
        """How many rows were set aside since the start."""
        return self._aside_total

    def failed(self, cause: str, detail: str = "") -> None:
        """Tell of a failed attempt, if the cause is new in this outage, or else count it.

        Args:
            cause: short and the same for the same fault (`status 503`).
            detail: the rest of what is known; may differ each time.
        """
        reason = joined(cause, detail)
        self._faults.raised("upload_failing", key=cause, cause=cause, reason=reason)

    def recovered(self) -> None:
        """Sum up each cause of the outage, if there was one."""
        self._faults.all_ended()

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
