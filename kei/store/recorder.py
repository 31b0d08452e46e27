"""The recorder: takes readings from any thread, and has the writer write them in time."""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace

from kei.core.clock import Clock, offset_ms
from kei.core.errors import StoreError
from kei.core.heartbeat import Heartbeat
from kei.core.reading import Reading
from kei.store.committer import RETRY_S, Committer
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.pending import Item
from kei.store.sinks import RecorderStatus
from kei.store.text import DailyFile
from kei.store.writer import Writer
from kei.timekeeping.gate import TimeGate, Trust

DEFAULT_BOUND = 10_000  # readings, a day of the default requests; some 4 MB


class Recorder:
    """Writes readings to text and database, in the order they came. Thread-safe.

    The line of a reading is appended at once; rows are committed together every ten minutes, as
    each commit wears the card. Readings that cannot have a line yet are committed soon. What
    neither sink takes is kept in memory, bounded, and the fault is logged once.

    `run` is for a thread of its own, which does what is due without a new reading.

    Args:
        database: stays open when the recorder is closed; it has other users.
        text: the daily files of readings; written by this recorder only.
        gate: says when lines may be written, and which time is right.
        clock: wall and monotonic time.
        boot: name of the present boot of the machine, to which its monotonic time belongs.
        sync_s: seconds of readings that a power cut may cost.
        bound: how many readings are kept in memory; beyond it the oldest is given up.

    Attributes:
        heartbeat: of the thread that runs `run`.
    """

    def __init__(
        self,
        database: Database,
        text: DailyFile,
        gate: TimeGate,
        *,
        clock: Clock,
        boot: str,
        sync_s: float = 60.0,
        bound: int = DEFAULT_BOUND,
    ) -> None:
        self._clock = clock
        self._committer = Committer(database, text, gate, clock=clock, boot=boot, sync_s=sync_s)
        self._writer = Writer(self._committer, clock, bound)
        self._lock = threading.Lock()
        self._gate = gate
        self._wake = threading.Event()
        self._commit_at = math.inf
        self._retry_at = self._looks_at = clock.monotonic()
        self._stopping = False
        self.heartbeat = Heartbeat(clock)

    def start(self) -> None:
        """Recover what an earlier end of the process left in the text only."""
        with self._lock:
            self._settle(commit=True)

    def record(self, readings: Sequence[Reading]) -> None:
        """Record readings timed by the wall clock. A failing disk is logged, not raised."""
        with self._lock:
            items = []
            for each in readings:
                made_ms = each.monotonic_ms
                offset = offset_ms(self._clock) if made_ms is None else each.time_ms - made_ms
                # A setting that nobody comes to know had been ended before the next look at it.
                items.append(Item(each, offset, Trust.WRONG))
            self._add(items)

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Record those readings whose series has none of that time and value yet.

        For values with the meter's own time, which may arrive more than once. When the database
        cannot be asked, they are recorded: a line twice is better than none.
        """
        with self._lock:
            self._add(self._writer.fresh_of(readings))

    def recover(self, readings: Sequence[Reading]) -> int:
        """Record values that were made good later, as `record_once`, with their mark.

        Returns:
            how many were new.

        Raises:
            StoreError: database or text fail at present; none of them is recorded, or some in part.
        """
        with self._lock:
            self._settle(commit=True)
            count = self._writer.recover(readings)
            self._settle(commit=True)
            return count

    def commit(self) -> bool:
        """Write everything recorded so far that has its line to the database.

        Returns:
            whether that is all, and nothing waits for the clock or the text.

        Raises:
            StoreError: that fails at present.
        """
        with self._lock:
            self._settle(commit=True)
            if reason := self._writer.why_not_committed:
                raise StoreError(reason)
            return self._writer.is_complete

    def sync(self) -> None:
        """Write what waits, and sync everything to the disk."""
        with self._lock:
            self._settle(commit=True)
            self._committer.sync()

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - the time gate knows it
        """Do the same as `synchronised`: what was wrong may be right by now."""
        self.synchronised()

    def synchronised(self) -> None:
        """Correct what the clock had wrong, and write what has waited for it.

        With `stepped`, for the clock monitor, which has told the time gate before.
        """
        with self._lock:
            self._committer.clock_changed()
            self._settle(commit=False)
        self._wake.set()

    def status(self) -> RecorderStatus:
        """Return the state of both sinks; returns at once, even if the disk stalls."""
        left_s = self._commit_at - self._clock.monotonic()
        in_s = round(left_s, 1) if left_s < math.inf else None
        return replace(self._writer.status(), commit_in_s=in_s)

    @property
    def is_complete(self) -> bool:
        """Whether every reading so far has its line; returns at once."""
        return self._writer.is_complete

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the sinks that fail at present; returns at once, even if the disk stalls."""
        return self._committer.sinks.failing

    def close(self) -> None:
        """Try a last time to write what waits, and close the text files; raises nothing.

        What waits for the clock stays in the database, and gets its line after the next start.
        """
        with self._lock:
            self._writer.close()

    def run(self) -> None:
        """Do what is due without a new reading, until `stop`."""
        while not self._stopping:
            with self._lock:
                now = self._clock.monotonic()
                self._looks_at = min(self._next_due, now + CHECK_EVERY_S)
            self.heartbeat.beat()  # no write hangs: the lock was free
            self._wake.wait(self._clock.wait_s(self._looks_at - now))
            self._wake.clear()
            if not self._stopping:
                self.tick()

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping = True
        self._wake.set()

    def tick(self) -> None:
        """Do what is due now."""
        with self._lock:
            now, committer = self._clock.monotonic(), self._committer
            is_changed = committer.look()
            has_waited = self._gate.look()
            if self._commit_at <= now:
                self._settle(commit=True)
            elif is_changed or has_waited or (committer.has_to_retry and self._retry_at <= now):
                self._settle(commit=committer.sinks.database.fault is not None)
            if committer.sync_due <= now:
                committer.sync()

    @property
    def _next_due(self) -> float:
        """When `tick` is due, monotonic; infinite if nothing is."""
        committer, waits_until = self._committer, self._gate.waits_until
        retry_at = self._retry_at if committer.has_to_retry else math.inf
        waited_at = math.inf if waits_until is None else waits_until
        return min(self._commit_at, committer.sync_due, retry_at, waited_at)

    def _settle(self, items: Sequence[Item] = (), *, commit: bool) -> None:
        """Have written what can be written now, and plan the next commit."""
        now = self._clock.monotonic()
        self._retry_at = now + RETRY_S
        if commit:
            self._commit_at = math.inf
        self._writer.settle(items, commit=commit)
        within_s = self._writer.commit_within_s
        self._commit_at = math.inf if within_s is None else min(self._commit_at, now + within_s)

    def _add(self, items: Sequence[Item]) -> None:
        """Have items written; wake the thread if something is due before it looks by itself."""
        self._settle(items, commit=self._commit_at <= self._clock.monotonic())
        if self._next_due < self._looks_at:
            self._wake.set()
