"""One target's flush job: batches from the queue to the server, and on only after success.

What an answer means is said by `kei.upload.verdict`; what is done about it, here:

- Accepted: the cursor moves.
- Later (no answer, 408, 425, 429, 5xx, a keilog `Error`, redirects that are not followed): the same
  batch again after a while.
- Refused (other 4xx): the batch is halved until a single row is refused; that row is set aside.
- Too large (413): the same, and later batches are smaller from the start.
- Doubtful (401, 403, 404 and the like): one row, or a wrong address or key. A single row that is
  refused like that is set aside if the server accepts the row behind it. If it refuses that one,
  too, no row is to blame: whole batches are set aside, a POST for each, until one is accepted.
"""

import gzip
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock
from kei.core.errors import Stopping, StoreError
from kei.settings.upload import What
from kei.store.rows import Row
from kei.upload.batch import Batch, Format
from kei.upload.http import Answer, Http, PostFailed, excerpt
from kei.upload.report import Report, joined
from kei.upload.retry import Backoff
from kei.upload.target import Compression, Target
from kei.upload.traffic import Sent, Traffic
from kei.upload.verdict import Verdict
from kei.upload.window import Window

ROW_MIN_BYTES = 24  # `2026/01/01 00:00,A,B,1` and its LF, the shortest row of all formats
ROWS_MAX = 2_000  # a batch of 64 KiB has fewer; bounds memory when max_bytes is large


class Queue(Protocol):
    """What a sender needs of the upload queue in the database."""

    def pending(self, target: str, what: What, limit: int) -> list[Row]:
        """Return the rows behind the cursor, in the order of their ids."""

    def backlog(self, target: str, what: What) -> int:
        """Return how many rows are behind the cursor."""

    def in_flight(self, target: str, what: What) -> int | None:
        """Return the last row of a batch that was sent, and of which no answer is known."""

    def sending(self, target: str, what: What, last_id: int) -> None:
        """Remember, for good, that a batch from the cursor to this row is about to be sent."""

    def shorten(self, target: str, what: What) -> int:
        """Give up the oldest rows if too many wait; return how many."""

    def advance(self, target: str, what: What, last_id: int) -> None:
        """Move the cursor, for good, so that this row is delivered."""

    def set_aside(self, target: str, what: What, rows: Sequence[Row], reason: str) -> None:
        """Note rows from the front as undeliverable and move the cursor past them, in one step."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a target is doing.

    Attributes:
        target: its name.
        backlog: rows that wait.
        last_success_ms: wall clock when a batch was accepted last; None if not since the start.
        last_error: why the last attempt failed; None if it did not.
        failures: failed attempts in a row.
        refused: whether it refuses everything, so that all is set aside.
        bytes_sent: of requests since the start, headers included.
        sent: the same by the day.
        set_aside: rows set aside since the start.
    """

    target: str
    backlog: int
    last_success_ms: int | None
    last_error: str | None
    failures: int
    refused: bool
    bytes_sent: int
    sent: Sent
    set_aside: int


class _Lane:
    """A queue, and what is remembered of the batches that were made of it."""

    def __init__(self, queue: Queue, max_bytes: int, *, was_refused: bool) -> None:
        self.queue = queue
        self.was_refused = was_refused
        self.window = Window(max_bytes)
        self.sent_until: int | None = None  # what the database knows to be in flight
        self.is_resumed = False


class Sender:
    """Empties one target's part of the queues; the target is already registered there.

    `flush` is called by one thread at a time; `stop` and `status` by any.

    Args:
        target: where to.
        queues: where from, the queue of what is new last; the others are of rows that were refused
            once and are to be tried again, and go first as long as the server takes them.
        form: how a batch is written and an answer is read.
        http: used by this sender alone.
        clock: wall and monotonic time.
        random: for the jitter of the waits.
        log: for what a person should know.
    """

    def __init__(
        self,
        target: Target,
        queues: Sequence[Queue],
        form: Format,
        http: Http,
        *,
        clock: Clock,
        random: Random,
        log: BoundLogger,
    ) -> None:
        self._target = target
        self._lanes = [
            _Lane(queue, target.max_bytes, was_refused=queue is not queues[-1]) for queue in queues
        ]
        self._lane = self._lanes[-1]  # that is worked on
        self._format = form
        self._http = http
        self._clock = clock
        self._report = Report(log, target.name, clock)
        self._traffic = Traffic(log.bind(target=target.name), clock)
        self._backoff = Backoff(random)
        self._fetch_rows = min(ROWS_MAX, target.max_bytes // ROW_MIN_BYTES + 2)
        self._secrets = target.secrets()
        self._stopping = threading.Event()
        self._not_before = clock.monotonic()
        self._next_post = clock.monotonic()
        self._last_success_ms: int | None = None
        self._last_error: str | None = None

    def flush(self) -> None:
        """Send what waits, until nothing does, something fails or the cycle is nearly over.

        Returns at once while the server is to be left alone. Never raises because of the server
        or a database that fails for the moment.
        """
        # A POST that begins at the last moment should end before the next flush is due.
        cycle_s = self._target.cycle_s
        end = self._clock.monotonic() + max(cycle_s / 2, cycle_s - self._target.timeout_s)
        try:
            for lane in self._lanes:
                self._prepare(lane)
            while self._may_post(end) and self._step():
                pass
        except StoreError as error:
            if not self._stopping.is_set():  # or else it may well be closed by now
                self._postpone("database", str(error))
        except Stopping:
            pass  # what was under way stays in the queue
        finally:
            self._report.tell(last=self._stopping.is_set())

    def stop(self) -> None:
        """Let no other flush or POST begin; waits for nothing.

        A POST that is under way goes on to its answer or time-out. If it is accepted, its rows
        count as delivered as long as the database is open. Otherwise they stay in the queue, and
        the next sender of the target sends them again.
        """
        self._stopping.set()
        self._http.stop()
        self._report.tell(last=True)

    @property
    def name(self) -> str:
        """Of the target."""
        return self._target.name

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed; any thread."""
        return self._last_error is not None

    def status(self) -> Status:
        """Return how the target is doing.

        Raises:
            StoreError: the database cannot be read.
        """
        return Status(
            target=self._target.name,
            backlog=sum(
                lane.queue.backlog(self._target.name, self._target.kind) for lane in self._lanes
            ),
            last_success_ms=self._last_success_ms,
            last_error=self._last_error,
            failures=self._backoff.failures,
            refused=any(lane.window.refuses_all for lane in self._lanes),
            bytes_sent=self._http.sent_bytes,
            sent=self._traffic.sent(),
            set_aside=self._report.set_aside,
        )

    def _may_post(self, end: float) -> bool:
        """Say whether a POST may begin now; waits for `min_interval` if there is time for that."""
        now = self._clock.monotonic()
        begin = max(now, self._next_post)
        if now < self._not_before or begin >= end:
            return False
        return not self._stopping.wait(begin - now)

    def _prepare(self, lane: _Lane) -> None:
        name, kind = self._target.name, self._target.kind
        if not lane.is_resumed:
            lane.sent_until = lane.queue.in_flight(name, kind)
            if lane.sent_until is not None:
                lane.window.resume(lane.sent_until)
            lane.is_resumed = True
        if dropped := lane.queue.shorten(name, kind):
            lane.sent_until = None
            self._report.dropped(dropped)

    def _step(self) -> bool:
        """Send one batch; return whether to go on."""
        for lane in self._lanes:
            self._lane = lane
            rows = lane.queue.pending(self._target.name, self._target.kind, self._fetch_rows)
            batch = self._format.batch(lane.window.choose(rows), lane.window.max_bytes)
            if batch is not None:
                return self._send(batch, rows)
            if lane.window.accused is not None:
                self._give_up_witness()
                return False
        return False

    def _send(self, batch: Batch, rows: Sequence[Row]) -> bool:
        self._note(batch)
        before = self._http.sent_bytes
        try:
            answer = self._post(batch)
        except PostFailed as error:
            self._lane.window.unknown(batch.rows)
            self._postpone(str(error))
            return False
        finally:
            self._traffic.add(self._http.sent_bytes - before)
        return self._act(batch, answer, rows)

    def _note(self, batch: Batch) -> None:
        """Have the database know what is sent, so that a restart repeats just that.

        Not so for a witness: the rows before it are not sent.
        """
        last_id = batch.rows[-1].id
        if self._lane.window.accused is None and last_id != self._lane.sent_until:
            self._lane.queue.sending(self._target.name, self._target.kind, last_id)
            self._lane.sent_until = last_id

    def _post(self, batch: Batch) -> Answer:
        headers = dict(batch.headers)
        body = batch.body
        if self._format.compressible and self._target.compression is Compression.GZIP:
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers.update(self._target.headers)
        self._next_post = self._clock.monotonic() + self._target.min_interval_s
        return self._http.post(self._target.url, body, headers, self._target.timeout_s)

    def _act(self, batch: Batch, answer: Answer, rows: Sequence[Row]) -> bool:
        verdict = self._format.judge(answer.status, answer.body)
        cause = f"status {answer.status}"
        detail = excerpt(answer.body, self._secrets)
        if verdict is Verdict.ACCEPTED:
            self._deliver(batch, rows)
            return True
        if verdict is Verdict.LATER:
            self._lane.window.unknown(batch.rows)
            self._postpone(cause, detail, answer.retry_after_s)
            return False
        if self._lane.window.accused is not None:
            self._refuse_all(rows)
        else:
            self._refuse(batch, verdict, joined(cause, detail))
        return True

    def _deliver(self, batch: Batch, rows: Sequence[Row]) -> None:
        accused = [row for row in rows if row.id == self._lane.window.accused]
        try:
            if accused:
                self._set_aside(accused, self._last_error or "refused")
            self._lane.queue.advance(self._target.name, self._target.kind, batch.rows[-1].id)
            self._lane.sent_until = None
        except StoreError:
            self._lane.window.unknown(batch.rows)
            raise
        self._lane.window.accepted(batch.rows)
        self._last_success_ms = self._clock.now_ms()
        self._last_error = None
        self._backoff.reset()
        self._report.recovered()

    def _refuse(self, batch: Batch, verdict: Verdict, reason: str) -> None:
        self._last_error = reason
        no_witness = self._lane.window.refuses_all or self._lane.was_refused
        if verdict is Verdict.DOUBTFUL and no_witness:
            self._set_aside(batch.rows, reason)
            self._lane.window.gone()
            return
        alone = len(batch.rows) == 1
        if alone and verdict is Verdict.DOUBTFUL:
            self._lane.window.accuse(batch.rows[0])
            return
        if alone:
            self._set_aside(batch.rows, reason)
        if verdict is Verdict.TOO_LARGE:
            self._lane.window.too_large(batch.rows, batch.data_bytes)
        else:
            self._lane.window.refused(batch.rows)

    def _refuse_all(self, rows: Sequence[Row]) -> None:
        accused = [row for row in rows if row.id == self._lane.window.accused]
        reason = self._last_error or "refused"
        self._set_aside(accused, reason)
        self._lane.window.all_refused()
        self._report.refused(reason)

    def _set_aside(self, rows: Sequence[Row], reason: str) -> None:
        self._lane.queue.set_aside(self._target.name, self._target.kind, rows, reason)
        self._lane.sent_until = None
        self._report.aside(rows, reason)

    def _give_up_witness(self) -> None:
        """Wait for the row that is to follow an accused one."""
        self._lane.window.acquit()
        self._postpone("refused", self._last_error or "")

    def _postpone(self, cause: str, detail: str = "", retry_after_s: float | None = None) -> None:
        """Leave the server alone for a while."""
        self._last_error = joined(cause, detail)
        # What fails for the moment, rows that are tried again, say, lets the others go first.
        self._lanes = sorted(self._lanes, key=lambda lane: lane is self._lane)
        wait_s = self._backoff.after_failure(retry_after_s)
        self._not_before = self._clock.monotonic() + wait_s
        self._report.failed(cause, detail)
