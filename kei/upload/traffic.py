"""Log and counters of one target: outages, rows that were not delivered, bytes of each day."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from threading import Lock

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock, local
from kei.core.incidents import Incidents
from kei.store.rows import Row

ASIDE_EVERY_S = 3600.0  # a server that refuses everything gets a line an hour, not one a row


class Report:
    """Logs the outages of one target, once for each cause, and its undelivered rows, in sums."""

    def __init__(self, log: BoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._aside = _RowCount()
        self._dropped = _RowCount()

    def failed(self, cause: str, detail: str = "", trace: Sequence[str] = ()) -> None:
        """Log a failed attempt if its cause is new in this outage, or else count it.

        Args:
            cause: short and the same for the same fault (`status 503`).
            detail: the rest of what is known; may differ each time.
            trace: where in kei, for its engineers, if the fault is kei's own.
        """
        reason = joined(cause, detail)
        level = logging.ERROR if trace else logging.WARNING
        more = {"trace": "".join(trace)} if trace else {}
        self._incidents.raised(
            "upload_failing", key=cause, level=level, cause=cause, reason=reason, **more
        )

    def refuses_all(self, reason: str) -> None:
        """Log that the server refuses everything, once until it is over."""
        hint = "is target_url right, and the key? what is refused is set aside"
        self._incidents.raised("upload_refused", reason=reason, hint=hint)

    def recovered(self) -> None:
        """Log the sums of each cause of the outage, if there was one."""
        self._incidents.all_ended()

    def set_aside(self, rows: Sequence[Row], reason: str) -> None:
        """Count rows that were set aside, for `log_rows`."""
        self._aside.add(len(rows), reason)

    def dropped(self, rows: int) -> None:
        """Count rows that will never be sent, as too many waited, for `log_rows`."""
        self._dropped.add(rows, "too many wait, or they are older than recorder.retention")

    def log_rows(self, *, last: bool = False) -> None:
        """Log how many rows were set aside or dropped, each at most once an hour. Any thread.

        Args:
            last: there may be no next time, so do not wait.
        """
        now = self._clock.monotonic()
        for event, count in (("upload_set_aside", self._aside), ("upload_dropped", self._dropped)):
            if fields := count.due(now, last=last):
                self._log.warning(event, **fields)


class _RowCount:
    """Counts rows that were set aside, or dropped, for one line of the log. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._total = 0
        self._unlogged = 0
        self._reason = ""
        self._logged_at: float | None = None

    def add(self, rows: int, reason: str) -> None:
        """Count some."""
        with self._lock:
            self._total += rows
            self._unlogged += rows
            self._reason = reason

    def due(self, now: float, *, last: bool) -> dict[str, object]:
        """Return the fields of the line to log now; empty if there is none."""
        with self._lock:
            recent = self._logged_at is not None and now - self._logged_at < ASIDE_EVERY_S
            if not self._unlogged or (recent and not last):
                return {}
            rows, self._unlogged, self._logged_at = self._unlogged, 0, now
            return {"rows": rows, "total": self._total, "reason": self._reason}


def joined(cause: str, detail: str) -> str:
    """Return both as one text."""
    return f"{cause}: {detail}" if detail else cause


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to a target.

    Attributes:
        today_bytes: since local midnight, or since the start if that was later.
        yesterday_bytes: on the day before; None if kei was started today.
    """

    today_bytes: int
    yesterday_bytes: int | None


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How an upload target is doing.

    Attributes:
        target: its name.
        last_success_ms: wall clock when a batch was accepted last; None if not since the start.
        last_error: why the last attempt failed; None if it did not.
        failures: failed attempts in a row.
        refused: whether it refuses everything, so that all is set aside.
        sent: bytes of requests by the day, headers included.
        posting_s: for how long the POST under way has been, seconds; None if there is none.
    """

    target: str
    last_success_ms: int | None
    last_error: str | None
    failures: int
    refused: bool
    sent: Sent
    posting_s: float | None = None


class Traffic:
    """Counts the bytes of requests by the local day, and logs each day once. Thread-safe.

    For connections that are paid for by the byte. It outlives a sender that a reload replaces.

    Attributes:
        last_success_ms: when a batch was accepted last, by the wall clock; None if none was.
    """

    def __init__(self, log: BoundLogger, clock: Clock) -> None:
        self.last_success_ms: int | None = None
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._day = self._today()
        self._bytes = self._posts = 0
        self._before: tuple[date, int] | None = None

    def add(self, sent_bytes: int) -> None:
        """Count a request and its bytes."""
        with self._lock:
            self._change_day()
            self._bytes += sent_bytes
            self._posts += 1

    def sent(self) -> Sent:
        """Return what was sent today and yesterday."""
        with self._lock:
            self._change_day()
            before = self._before
            is_yesterday = before is not None and (self._day - before[0]).days == 1
            return Sent(self._bytes, before[1] if before and is_yesterday else None)

    def _change_day(self) -> None:
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
