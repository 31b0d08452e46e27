"""The nightly job that keeps the database from growing without bound."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.jobs.kinds import (
    AfterWindows,
    Event,
    Executor,
    Job,
    JobContext,
    JobKind,
    Planned,
    duration,
)
from kei.settings.config import Config

if TYPE_CHECKING:
    from kei.store.database import Database

log = structlog.stdlib.get_logger("kei.upkeep")

DAY_S = 86_400
# 03:17, off the full hour when everybody's jobs run; an hour off on the day of a clock change.
PRUNE_AT_S = 3 * 3600 + 17 * 60
CAUTIOUS_MS = 2 * 86_400_000  # recorded time that goes in a night: more than a day brings
_EVER_MS = -(1 << 53)  # no reading is older
STEP = 500  # rows deleted at once: some milliseconds in which a new reading has to wait
STATE_KEY = "pruned"  # when that was done last, milliseconds since 1970
SUMMARIES_KEPT_S = 10 * 366 * 86_400.0  # some 30 MB a year at the default requests


class _Table(Protocol):
    def prune(self, before_ms: int, limit: int) -> int: ...


class Monitor(Protocol):
    """What is known of the wall clock."""

    @property
    def synchronised(self) -> bool:
        """Whether a time service keeps it right."""


class Gate(Protocol):
    """How far the wall clock may be relied on."""

    @property
    def is_trusted(self) -> bool:
        """Whether what is too old by it may be removed."""


class Pruner:
    """Deletes rows that are older than the owner wants to keep in the database.

    Args:
        database: what they are deleted from.
        monitor: says whether the clock is kept right.
        gate: says whether it has been trusted for long enough.
        retention_s: how long readings and dead letters stay, seconds.
        clock: by which rows are too old.
    """

    def __init__(
        self, database: Database, monitor: Monitor, gate: Gate, retention_s: float, clock: Clock
    ) -> None:
        from kei.store.blocks import BlockTable  # noqa: PLC0415
        from kei.store.dead_letters import DeadLetters  # noqa: PLC0415
        from kei.store.reading_table import ReadingTable  # noqa: PLC0415
        from kei.store.summary_table import SummaryTable  # noqa: PLC0415

        self._database = database
        self._clock = clock
        self._monitor = monitor
        self._gate = gate
        self._retention_ms = round(retention_s * 1000)
        self._readings = ReadingTable(database)
        self._tables: tuple[tuple[str, _Table, int], ...] = (
            ("readings", self._readings, self._retention_ms),
            ("dead_letters", DeadLetters(database), self._retention_ms),
            ("summaries", SummaryTable(database), round(SUMMARIES_KEPT_S * 1000)),
            ("blocks", BlockTable(database), round(SUMMARIES_KEPT_S * 1000)),
        )
        self._incidents = Incidents(log, clock)

    def run(self) -> None:
        """Delete what is too old, once a night, in small steps.

        A night on which that failed, or the clock was set meanwhile, is made up for when this is
        called again: the next night, or when the clock has been trusted for long enough.
        """
        try:
            begun_ms = self._clock.now_ms()
            if not (self._gate.is_trusted and self._is_due(begun_ms)):
                return
            now_ms = self._cautious_now_ms()
            for name, table, kept_ms in self._tables:
                total = 0
                while removed := self._prune(table, now_ms - kept_ms):
                    total += removed
                if total:
                    log.info("pruned", table=name, count=total)
            if self._gate.is_trusted:
                self._database.set_state(STATE_KEY, str(begun_ms))
        except StoreError as error:
            self._incidents.raised("prune_failed", reason=str(error))
        else:
            self._incidents.ended("prune_failed")

    def _prune(self, table: _Table, before_ms: int) -> int:
        # Looked at after the clock was read, and before each step.
        return table.prune(before_ms, STEP) if self._gate.is_trusted else 0

    def _is_due(self, now_ms: int) -> bool:
        """Return whether this has not been done since 03:17 of today, or of yesterday before that.

        A time of the future is of a clock that was ahead.
        """
        from kei.store.database import load_number  # noqa: PLC0415
        from kei.store.summaries import window_around  # noqa: PLC0415

        night_ms = PRUNE_AT_S * 1000
        midnight_ms, _ = window_around(now_ms - night_ms, self._clock.zone, DAY_S)
        with self._database.access() as connection:
            done_ms = load_number(connection, STATE_KEY)
        return not midnight_ms + night_ms <= done_ms <= now_ms

    def _cautious_now_ms(self) -> int:
        """Return milliseconds since 1970, never more than the wall clock shows.

        A clock that nothing keeps right may be ahead by years, and everything would be too old by
        it. By this one only the oldest readings, of two days, are too old in any night. That is
        enough for the database not to grow, and leaves months to put the clock right.

        Raises:
            StoreError: the readings cannot be looked at.
        """
        now_ms = self._clock.now_ms()
        if self._monitor.synchronised:
            return now_ms
        oldest_ms = self._readings.next_ms(_EVER_MS)
        if oldest_ms is None:
            return now_ms
        return min(now_ms, oldest_ms + CAUTIOUS_MS + self._retention_ms)


def _plan(config: Config) -> Iterator[Planned]:
    retention_s = config.recorder.retention_s
    yield Planned(
        id="prune",
        what=f"remove readings older than {duration(retention_s)}",
        schedule=AfterWindows(DAY_S, PRUNE_AT_S),
        executor=Executor.UPKEEP,
        origin=config.recorder,
        build=partial(_build, retention_s),
        also_after=Event.TRUSTED,  # a machine that is off at night, or booted shortly before
    )


def _build(retention_s: float, context: JobContext) -> Job:
    return Job(
        Pruner(context.database, context.monitor, context.gate, retention_s, context.clock).run
    )


KIND = JobKind(_plan)
