"""The writer: where each reading is, and how it gets from there into the text and the database.

What holds at every instant, whatever fails and whenever the process or the power ends:

1. A row of `readings` has its line in the text, or had it until somebody else removed it.
2. The checkpoint in the database says up to which byte of each file the lines are rows. It is moved
   in the transaction that adds the rows, after the text up to there has been synced. So the
   database, which is synced for other reasons too, never claims a line that the disk may not have;
   and what is behind the checkpoint has no row.
3. A reading is in one of four places: in memory (`_fresh`, for less than a second while the
   database works), in the table `pending`, in the text behind the checkpoint (and in the committer,
   for its milliseconds), or in the text with its row.
4. A reading in `pending` gets its line like this: a transaction says which lines are about to be
   appended, and moves the checkpoint to where they begin; that is synced; the lines are appended;
   the next transaction that moves the checkpoint makes them rows and removes them from `pending`.
   Recovery finds those of which the text has the line already, however far it came.
5. Before the first line of a file that the checkpoint does not name, the checkpoint with the end of
   that file is saved and synced. So no line is ever in a file that recovery does not look into.
6. Lines are appended only while the time gate is open. What waits in `pending` is seen by no upload
   and in no average, so that they wait, too.
"""

import logging
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, islice

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError, TextError
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.store.committer import RETRY_S, Committer
from kei.store.line_maker import Line
from kei.store.pending import Item
from kei.store.sinks import RecorderStatus
from kei.timekeeping.gate import Trust

log = structlog.stdlib.get_logger("kei.store")

COMMIT_EVERY_S = 600.0  # of rows that have their line; the end of a window commits, too
COMMIT_SOON_S = 0.5  # of readings that have no line: a crash may cost a second
COMMIT_ROWS = 5000  # so many are committed at once, however soon they come
_LINES_AT_ONCE = 1000


class Writer:
    """Holds the readings that are not in both sinks, and writes them. Raises no `StoreError`.

    Used under the lock of the recorder; `status` and `is_complete` by any thread.

    Args:
        committer: writes to text and database.
        clock: for the log.
        bound: how many readings are kept in memory; beyond it the oldest is given up.
    """

    def __init__(self, committer: Committer, clock: Clock, bound: int) -> None:
        self._committer = committer
        self._maker, self._pending = committer.maker, committer.pending
        self._sinks = committer.sinks
        self._text, self._database = self._sinks.text, self._sinks.database
        self._bound = bound
        self._incidents = Incidents(log, clock)
        self._fresh: deque[Item] = deque()  # neither a line nor in `pending`
        self._limit = _LINES_AT_ONCE

    def fresh_of(self, readings: Sequence[Reading]) -> list[Item]:
        """Return those readings, with times of their own, that their series does not have yet.

        One of the same time with another value is another: an older kei in another zone than Japan
        stamped values by up to 9 hours ahead, which are there when the right ones come.
        """
        known = {_identity(item.reading) for item in self._fresh if item.offset_ms is None}
        known |= {_identity(line.reading) for line in self._committer.unsaved}
        fresh: list[Item] = []
        for reading in readings:
            item = self._maker.storable(Item(reading, None, Trust.SURE))
            if item is None or _identity(reading) in known or self._committer.has(reading):
                continue
            known.add(_identity(reading))
            fresh.append(item)
        return fresh

    def recover(self, readings: Sequence[Reading]) -> int:
        """Save those of these readings that their series does not have yet in `pending`.

        So the mark that they were made good later, which the text does not have, outlives a crash.
        Those whose line is there, or whose file is put away, become rows at once.

        Returns:
            how many they are.

        Raises:
            StoreError: the database or the text fails at present.
        """
        if (reason := self._sinks.fault) or not self._committer.is_recovered:
            raise StoreError(reason or "the database has not been recovered yet")
        with_line: list[Item] = []
        without: list[Reading] = []
        lines = [line for item in self.fresh_of(readings) if (line := self._maker.line(item))]
        for day, of_day in groupby(lines, lambda line: line.day):
            due = list(of_day)
            there = self._committer.lines_without_row(day, {line.text for line in due})
            if there is None:
                without += [line.item.reading for line in due]
                continue
            for line in due:
                if there[line.text]:
                    there[line.text] -= 1
                    without.append(line.item.reading)
                else:
                    with_line.append(line.item)
        if without:
            self._committer.add_rows(without)
        if with_line:
            self._pending.add(with_line)
            self._committer.touched()
        return len(with_line) + len(without)

    @property
    def commit_within_s(self) -> float | None:
        """Within how many seconds to commit; None if there is nothing to be committed."""
        if not (self._committer.has_to_commit or self._fresh):
            return None
        if self._database.fault is not None:
            return RETRY_S
        return COMMIT_SOON_S if self._fresh else COMMIT_EVERY_S

    @property
    def why_not_committed(self) -> str | None:
        """Why lines have no row although all was tried; None if they have."""
        if self._committer.behind or not self._committer.is_recovered:
            return self._sinks.fault or "the database does not take readings"
        return None

    @property
    def is_complete(self) -> bool:
        """Whether every reading so far has its line; returns at once."""
        return not self._fresh and self._pending.count == 0

    def status(self) -> RecorderStatus:
        """Return the state of both sinks; returns at once."""
        waiting = len(self._fresh) + (self._pending.count or 0)
        return RecorderStatus(
            self._text.status(waiting),
            self._database.status(len(self._fresh) + self._committer.behind),
            waiting,
            self._maker.set_aside,
            self._committer.behind,
        )

    def close(self) -> None:
        """Try a last time to write what waits, and close the text files."""
        self._committer.recover_at_once()
        self.settle(commit=True)
        if self._fresh and self._database.fault:
            self._write_lines(at_any_price=True)  # a line that may be wrong is better than none
        self._committer.close()
        if self._fresh:
            log.error("readings_lost", count=len(self._fresh), reason=self._sinks.fault)

    def settle(self, items: Sequence[Item] = (), *, commit: bool) -> None:
        """Take readings, and write what can be written now: lines, and rows if `commit` is set."""
        self._fresh.extend(items)
        try:
            self._committer.keep_in_step()
            self._write_lines()
            if commit or len(self._committer.unsaved) >= min(COMMIT_ROWS, self._bound):
                self._commit_all()
            self._shorten()
        except Exception as error:  # noqa: BLE001 - whatever it is, recording goes on
            self._incidents.raised(
                "recorder_failed", level=logging.ERROR, reason=repr(error), exc_info=True
            )
        else:
            self._incidents.ended("recorder_failed")

    def _write_lines(self, *, at_any_price: bool = False) -> None:
        """Append the lines of what has none, first of what is in `pending`.

        Args:
            at_any_price: with times that may be wrong, and where recovery may not find them.
        """
        if not (self._fresh or self._pending.count or self._text.fault):
            return
        if not (self._maker.look() or at_any_price):
            return
        if not self._committer.is_recovered and self._database.fault is None:
            return  # recovery comes first
        self._limit = 1 if self._text.fault else _LINES_AT_ONCE  # to see whether the fault is over
        try:
            if self._pending.count and self._committer.is_recovered:
                self._write_pending()
            self._write_fresh(at_any_price=at_any_price)
        except TextError as error:
            self._sinks.failed(error)
        else:
            if self._text.fault is not None and self._committer.is_recovered:
                self._text.works()

    def _write_fresh(self, *, at_any_price: bool) -> None:
        """Append the lines of what came last; TextError if the disk does not take them."""
        deferred: list[Item] = []
        try:
            while self._fresh:
                batch = self._batch(list(islice(self._fresh, self._limit)))
                if not batch:
                    continue  # all were set aside
                is_known = self._committer.begin(batch[0].day) or at_any_price
                if is_known:
                    self._committer.append(batch)
                    self._limit = _LINES_AT_ONCE
                for line in batch:
                    assert self._fresh[0] is line.item, "in order"
                    self._fresh.popleft()
                if not is_known:
                    deferred += [line.item for line in batch]
        finally:
            self._fresh.extendleft(reversed(deferred))

    def _batch(self, items: Sequence[Item]) -> list[Line]:
        """Return the lines of the first items, as far as they belong to the same daily file.

        Items of which no line can be made are set aside.
        """
        batch: list[Line] = []
        for item in items:
            line = self._maker.line(item)
            if line is None and item.id is None:
                self._fresh.remove(item)
            elif line is None:
                self._pending.settled(item.id or 0)
            elif batch and line.day != batch[0].day:
                break
            else:
                batch.append(line)
        return batch

    def _write_pending(self) -> None:
        """Append the lines of what is in `pending`, batch by batch; see the module, 4.

        If the database fails, they wait.

        Raises:
            TextError: the text does not take them; they stay prepared.
        """
        committer = self._committer
        try:
            while self._pending.count:
                if not committer.is_prepared:
                    committer.prepare(self._batch(self._pending.next_items(self._limit)))
                if committer.prepared:
                    committer.append(committer.prepared)
                    committer.prepared = ()
                    self._limit = _LINES_AT_ONCE
        except TextError:
            raise
        except StoreError as error:
            self._sinks.failed(error)

    def _commit_all(self) -> None:
        """Commit, and save what could not get a line in `pending`."""
        try:
            self._committer.commit()
        except StoreError as error:
            self._sinks.failed(error)
            if not isinstance(error, TextError):
                return
        fresh = [item for item in map(self._maker.storable, self._fresh) if item is not None]
        if not (fresh or self._database.fault):
            self._fresh.clear()
            return
        try:
            self._pending.add(fresh)
        except StoreError as error:
            self._sinks.failed(error)
            return
        self._fresh.clear()
        self._committer.touched()
        if self._committer.is_recovered:
            self._database.works()

    def _shorten(self) -> None:
        """Keep no more in memory than the bound allows."""
        if len(self._committer.unsaved) > self._bound:
            self._committer.forget()
        lost = len(self._fresh) - self._bound
        if lost > 0:
            for _ in range(lost):
                self._fresh.popleft()
            if self._sinks.drop(lost):
                log.warning("recording_spool_full", bound=self._bound)


def _identity(reading: Reading) -> tuple[str, str, int, Decimal]:
    return reading.unit, reading.sensor, reading.time_ms, reading.value
