"""What the log gets to know of one target: faults once each, what is set aside in sums."""

from collections.abc import Sequence
from threading import Lock

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.store.rows import Row

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
        self._incidents = Incidents(self._log, clock)
        self._aside = _Sum()
        self._dropped = _Sum()

    @property
    def set_aside(self) -> int:
        """How many rows were set aside since the start."""
        return self._aside.total

    def failed(self, cause: str, detail: str = "") -> None:
        """Tell of a failed attempt, if the cause is new in this outage, or else count it.

        Args:
            cause: short and the same for the same fault (`status 503`).
            detail: the rest of what is known; may differ each time.
        """
        reason = joined(cause, detail)
        self._incidents.raised("upload_failing", key=cause, cause=cause, reason=reason)

    def refused(self, reason: str) -> None:
        """Tell that the server refuses everything, once until it is over."""
        hint = "is target_url right, and the key? what is refused is set aside"
        self._incidents.raised("upload_refused", reason=reason, hint=hint)

    def recovered(self) -> None:
        """Sum up each cause of the outage, if there was one."""
        self._incidents.all_ended()

    def aside(self, rows: Sequence[Row], reason: str) -> None:
        """Count rows that were set aside; `tell` logs them."""
        self._aside.add(len(rows), reason)

    def dropped(self, rows: int) -> None:
        """Count rows that will never be sent, as too many waited; `tell` logs them."""
        self._dropped.add(rows, "too many wait, or they are older than recorder.retention")

    def tell(self, *, last: bool = False) -> None:
        """Log what was set aside or dropped since the last time, each at most once an hour.

        From any thread.

        Args:
            last: there may be no next time, so do not wait.
        """
        now = self._clock.monotonic()
        for event, rows in (("upload_set_aside", self._aside), ("upload_dropped", self._dropped)):
            if fields := rows.due(now, last=last):
                self._log.warning(event, **fields)


class _Sum:
    """Rows that something happened to: told now and then, all together. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.total = 0
        self._untold = 0
        self._reason = ""
        self._told: float | None = None

    def add(self, rows: int, reason: str) -> None:
        """Count some."""
        with self._lock:
            self.total += rows
            self._untold += rows
            self._reason = reason

    def due(self, now: float, *, last: bool) -> dict[str, object]:
        """Return what is to be told now, if anything is."""
        with self._lock:
            recent = self._told is not None and now - self._told < ASIDE_EVERY_S
            if not self._untold or (recent and not last):
                return {}
            rows, self._untold, self._told = self._untold, 0, now
            return {"rows": rows, "total": self.total, "reason": self._reason}


def joined(cause: str, detail: str) -> str:
    """Return both as one text."""
    return f"{cause}: {detail}" if detail else cause
