"""The sender of one target: batches from the queues to the server, and on only after success.

What an answer means is a `Verdict`; what is done about it:

- Accepted: the cursor moves.
- Later (no answer, 408, 425, 429, 503, redirects that are not followed): the same batch again after
  a while.
- Failed (other 5xx, a keilog `Error`): the same; but if it goes on, one row may be the reason: the
  batch is halved until a single row is left. If that fails on, it is the suspect row, and the row
  behind it is sent as probe row. If that is accepted, the suspect row is set aside. If not, the
  server is down, or that row is bad, too: the suspect row goes again after a while, and then
  another probe row.
- Refused (other 4xx): the batch is halved until a single row is refused; that row is set aside.
  After ten of them without one that is accepted, whole batches are.
- Too large (413): the same, and later batches are smaller from the start.
- Doubtful (401, 403, 404 and the like): one bad row, or a wrong address or key. A single row that
  is refused like that is a suspect row, too. If its probe row is refused as well, the server
  refuses everything: whole batches are set aside, a POST for each, until one is accepted.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from traceback import format_tb
from typing import Protocol

import structlog
from structlog.stdlib import BoundLogger

from kei.core.clock import Clock
from kei.core.errors import Stopping, StoreError
from kei.settings.upload import UploadTarget, What
from kei.store.database import Database
from kei.store.dead_letters import DeadLetters
from kei.store.queue import UploadQueue
from kei.store.rows import Row
from kei.upload.batching import Batch, Origin, RowSelector
from kei.upload.formats import FORMATS
from kei.upload.health import Health, HealthReport
from kei.upload.http import Answer, Http, PostFailed
from kei.upload.posting import Poster
from kei.upload.retry import Verdict, new_backoff, wait_s
from kei.upload.traffic import Report, Traffic, UploadStatus, joined

ROW_MIN_BYTES = 24  # `2026/01/01 00:00,A,B,1` and its LF, the shortest row of all formats
REFUSED_ROWS_TOLD = 3  # without one that is accepted; a sensor with a wrong name has others between
REFUSED_ROWS_MAX = 10  # searched for; a batch of 2,000 bad rows would cost 20,000 POSTs
ROWS_MAX = 2_000  # a batch of 64 KiB has fewer; bounds memory when max_bytes is large


class _Queue(Protocol):
    """What a sender uses of `UploadQueue` and `DeadLetters`, where it is described."""

    def pending(self, target: str, what: What, limit: int) -> list[Row]: ...
    def in_flight(self, target: str, what: What) -> int | None: ...
    def sending(self, target: str, what: What, last_id: int) -> None: ...
    def shorten(self, target: str, what: What) -> int: ...
    def advance(self, target: str, what: What, last_id: int) -> None: ...
    def set_aside(self, target: str, what: What, rows: Sequence[Row], reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class _QueueState:
    """A queue, and what is remembered of the batches made from it."""

    queue: _Queue
    selector: RowSelector
    is_retry: bool  # its rows have been refused once already
    is_resumed: bool = False  # what the database has as in flight is known
    in_flight: int | None = None  # the last row of the batch that the database has as sent
    is_last: bool = False  # nothing waits behind the batch under way
    is_done: bool = False  # for this flush


class Sender:
    """Empties one target's part of the queues; the target is already registered there.

    `flush` is called by one thread at a time; `stop` and `status` by any.

    Args:
        target: where to.
        queues: where from, the queue of what is new last; the others are of rows that were refused
            once and are to be tried again, and go first as long as the server takes them.
        origin: this kei.
        http: used by this sender alone.
        clock: wall and monotonic time.
        random: for the jitter of the waits.
        log: for what a person should know.
    """

    def __init__(
        self,
        target: UploadTarget,
        queues: Sequence[_Queue],
        origin: Origin,
        http: Http,
        *,
        clock: Clock,
        random: Random,
        log: BoundLogger,
    ) -> None:
        self._target = target
        self._part = target.name, target.what  # of each queue
        self._queues = [
            _QueueState(queue, RowSelector(target.max_bytes), is_retry=queue is not queues[-1])
            for queue in queues
        ]
        self._current = self._queues[-1]  # of the batch under way
        spec = FORMATS[target.format]
        self._format = spec.build(target, origin)
        self._http = http
        self._clock = clock
        log = log.bind(target=target.name)
        self._report = Report(log, clock)
        self._traffic = Traffic(log, clock)
        self._backoff = new_backoff(random)
        self._fetch_rows = min(ROWS_MAX, target.max_bytes // ROW_MIN_BYTES + 2)
        self._stopping = threading.Event()
        self._poster = Poster(target, spec, http, self._traffic, clock)
        self._not_before = clock.monotonic()
        self._health = origin.health
        self._only_health_fails = False
        self._cycles_before = self._cycles()
        self._last_success_ms: int | None = None
        self._last_error: str | None = None

    def flush(self) -> None:
        """Send what waits, until that is done, something fails or the cycle is nearly over.

        What is recorded during its last POST is for the next flush: or else, on a slow line, each
        row of a busy sensor would have a POST and a commit of its own.

        Returns at once while the server is to be left alone. Never raises: whatever goes wrong,
        the server's fault or kei's own, is a failed attempt.
        """
        # A POST that begins at the last moment should end before the next flush is due.
        cycle_s = self._target.cycle_s
        end = self._clock.monotonic() + max(cycle_s / 2, cycle_s - self._target.timeout_s)
        try:
            if self._rows_are_due():
                for state in self._queues:
                    self._prepare(state)
                while self._may_post(end) and self._send_next():
                    pass
            if self._health is not None and self._health.is_due() and self._may_post(end):
                self._send_health(self._health.make())
        except StoreError as error:
            if not self._stopping.is_set():  # or else it may well be closed by now
                self._postpone("database", str(error))
        except Stopping:
            pass  # what was under way stays in the queue
        except Exception as error:  # noqa: BLE001 - or else the same again a second later, for ever
            self._postpone(
                f"a fault of kei: {type(error).__name__}", trace=format_tb(error.__traceback__)
            )
        finally:
            self._report.log_rows(last=self._stopping.is_set())

    def stop(self) -> None:
        """Let no other flush or POST begin; waits for nothing.

        A POST that is under way goes on to its answer or time-out. If it is accepted, its rows
        count as delivered as long as the database is open. Otherwise they stay in the queue, and
        the next sender of the target sends them again.
        """
        self._stopping.set()
        self._http.stop()
        self._report.log_rows(last=True)

    @property
    def name(self) -> str:
        """Of the target."""
        return self._target.name

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed; any thread."""
        return self._last_error is not None

    def status(self) -> UploadStatus:
        """Return how the target is doing."""
        return UploadStatus(
            target=self._target.name,
            last_success_ms=self._last_success_ms,
            last_error=self._last_error,
            failures=self._backoff.failures,
            refused=any(_refuses_all(state.selector) for state in self._queues),
            sent=self._traffic.sent(),
            posting_s=self._http.posting_s,
        )

    def _cycles(self) -> int:
        return int(self._clock.now_ms() / 1000 / self._target.cycle_s)  # since 1970

    def _rows_are_due(self) -> bool:
        """Tell whether this run is for rows, too, or one of those between, for health alone."""
        if self._target.run_cycle_s == self._target.cycle_s:
            return True
        before, self._cycles_before = self._cycles_before, self._cycles()
        return self._cycles_before != before

    def _may_post(self, end: float) -> bool:
        """Tell whether a POST may begin; waits for `min_interval` if there is time for that."""
        now = self._clock.monotonic()
        begin = max(now, self._poster.next_at)
        if now < self._not_before or begin >= end:
            return False
        return not self._stopping.wait(begin - now)

    def _prepare(self, state: _QueueState) -> None:
        state.is_done = False
        if not state.is_resumed:
            state.in_flight = state.queue.in_flight(*self._part)
            if state.in_flight is not None:
                state.selector.resume(state.in_flight)
            state.is_resumed = True
        if dropped := state.queue.shorten(*self._part):
            state.in_flight = None
            state.selector.cancel_probe()
            self._report.dropped(dropped)

    def _send_next(self) -> bool:
        """Send one batch; return whether to go on."""
        for state in [state for state in self._queues if not state.is_done]:
            self._current, selector = state, state.selector
            rows = state.queue.pending(*self._part, self._fetch_rows)
            batch = self._format.batch(selector.select(rows), selector.max_bytes)
            if batch is not None:
                is_rest = len(rows) < self._fetch_rows
                state.is_last = is_rest and batch.rows[-1].id == rows[-1].id
                return self._send(batch)
            if selector.suspect is not None:  # its probe row has yet to be recorded
                selector.cancel_probe()
                self._postpone("refused", self._last_error or "")
                return False
        return False

    def _send(self, batch: Batch) -> bool:
        """Send a batch of the current queue; return whether to go on."""
        self._note_in_flight(batch.rows[-1].id)
        selector, sent = self._current.selector, batch
        try:
            if self._health is not None and not selector.is_searching:
                sent = self._format.with_health(batch, self._health.make())
            return self._act_on(self._poster.post(sent), batch)
        except PostFailed as error:
            selector.unknown(batch.rows)
            self._postpone(str(error))
            return False
        except Exception:  # the server may have them, and the database not know that
            selector.unknown(batch.rows)
            raise

    def _send_health(self, health: Health) -> None:
        """Send health alone: nothing waits, or not for this run. It is never sent again."""
        rows_fail = self._last_error is not None and not self._only_health_fails
        try:
            answer = self._poster.post(self._format.with_health(None, health))
        except PostFailed as error:
            self._postpone(str(error))
        else:
            if self._format.judge(answer.status, answer.body) is not Verdict.ACCEPTED:
                self._postpone(*self._poster.said(answer), answer.retry_after_s)
            elif not rows_fail:
                self._succeeded()
        self._only_health_fails = not rows_fail and self._last_error is not None

    def _note_in_flight(self, last_id: int) -> None:
        """Have the database know what is sent, so that a restart repeats just that.

        Not so for a probe row: the suspect row before it is not sent.
        """
        if self._current.selector.suspect is None and last_id != self._current.in_flight:
            self._current.queue.sending(*self._part, last_id)
            self._current.in_flight = last_id

    def _act_on(self, answer: Answer, batch: Batch) -> bool:
        verdict = self._format.judge(answer.status, answer.body)
        if verdict is Verdict.ACCEPTED:
            self._deliver(batch)
            return True
        cause, detail = self._poster.said(answer)
        if verdict is Verdict.LATER:
            self._current.selector.unknown(batch.rows)
        elif verdict is Verdict.FAILED:
            if self._searches(batch, joined(cause, detail)):
                return True
        elif self._current.selector.suspect is not None and self._current.selector.suspect_failed:
            self._current.selector.probe_not_taken()
        else:
            self._refuse(batch, verdict, joined(cause, detail))
            return True
        self._postpone(cause, detail, answer.retry_after_s)
        return False

    def _searches(self, batch: Batch, reason: str) -> bool:
        """After a failure of the server: tell whether a bad row is to be looked for at once."""
        selector = self._current.selector
        if selector.suspect is not None:  # it was its probe row
            selector.probe_not_taken()
            return False
        if not selector.failed(batch.rows):
            return False
        self._last_error = reason
        if len(batch.rows) == 1 and self._current.is_retry:  # it has had its second chance
            self._set_aside(batch.rows, reason)
            selector.cancel_probe()
            selector.set_aside()
        return True

    def _deliver(self, batch: Batch) -> None:
        current, suspect = self._current, self._current.selector.suspect
        if suspect is not None:
            self._set_aside([suspect], self._last_error or "refused")
        if suspect is None or current.selector.reach == 1:
            current.queue.advance(*self._part, batch.rows[-1].id)
        # Or else rows between the two have yet to be sent: the probe row goes once more.
        current.in_flight = None
        current.is_done = current.is_last and suspect is None
        current.selector.accepted(batch.rows)
        self._succeeded()

    def _succeeded(self) -> None:
        self._last_success_ms = self._clock.now_ms()
        self._last_error = None
        self._backoff.reset()
        self._report.recovered()

    def _refuse(self, batch: Batch, verdict: Verdict, reason: str) -> None:
        selector, is_single = self._current.selector, len(batch.rows) == 1
        if selector.suspect is not None:  # it was its probe row
            first_reason = self._last_error or "refused"
            self._set_aside([selector.suspect], first_reason)
            selector.probe_refused()
            self._report.refuses_all(first_reason)
            return
        self._last_error = reason
        tells_nothing_new = (
            selector.refuses_all or self._current.is_retry
            if verdict is Verdict.DOUBTFUL
            else verdict is Verdict.REFUSED and selector.refused_rows >= REFUSED_ROWS_MAX
        )
        if tells_nothing_new:
            self._set_aside(batch.rows, reason)
            selector.set_aside()
            return
        if verdict is Verdict.DOUBTFUL and is_single:
            selector.start_probe(batch.rows[0])
            return
        if is_single:
            self._set_aside(batch.rows, reason)
        if verdict is Verdict.TOO_LARGE:
            selector.too_large(batch.rows, batch.data_bytes)
        else:
            selector.refused(batch.rows)
            if _refuses_all(selector):
                self._report.refuses_all(reason)

    def _set_aside(self, rows: Sequence[Row], reason: str) -> None:
        self._current.queue.set_aside(*self._part, rows, reason)
        self._current.in_flight = None
        self._report.set_aside(rows, reason)

    def _postpone(
        self,
        cause: str,
        detail: str = "",
        retry_after_s: float | None = None,
        trace: Sequence[str] = (),
    ) -> None:
        """Leave the server alone for a while."""
        self._last_error = joined(cause, detail)
        # What fails for the moment, rows that are tried again, say, lets the others go first.
        self._queues = sorted(self._queues, key=lambda state: state is self._current)
        self._not_before = self._clock.monotonic() + wait_s(self._backoff, retry_after_s)
        self._report.failed(cause, detail, trace)


def _refuses_all(selector: RowSelector) -> bool:
    return selector.refuses_all or selector.refused_rows >= REFUSED_ROWS_TOLD


def build_sender(
    target: UploadTarget,
    origin: Origin,
    database: Database,
    commit: Callable[[], object],
    *,
    clock: Clock,
    rng: Random,
    look: Callable[[], Health],
) -> Sender:
    """Return the sender of a target, and register the target in the queue of the database."""
    log = structlog.stdlib.get_logger("kei.upload")
    queue = UploadQueue(database, commit, recovered=target.recovered)
    try:
        queue.register(target.name, target.what, target.since_ms(clock.zone))
    except StoreError as error:  # one that is known already has its place in the queue
        log.warning("upload_not_registered", target=target.name, reason=str(error))
    if target.health:
        origin = replace(origin, health=HealthReport(look, queue, target, clock))
    return Sender(
        target,
        [DeadLetters(database), queue],
        origin,
        Http(clock),
        clock=clock,
        random=rng,
        log=log,
    )
