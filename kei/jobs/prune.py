"""The nightly job that keeps the database from growing without bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.upkeep")

CAUTIOUS_MS = 2 * 86_400_000  # recorded time that goes in a night: more than a day brings
_EVER_MS = -(1 << 53)  # no reading is older
STEP = 500  # rows deleted at once: some milliseconds in which a new reading has to wait
SUMMARIES_KEPT_S = 10 * 366 * 86_400.0  # some 30 MB a year at the default requests


class Prunable(Protocol):
    """A table that grows."""

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete so many rows at most that are older; return how many went, 0 if none are left."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A table and how long its rows stay.

    Attributes:
        name: for the log.
        table: what is pruned.
        for_s: how long a row stays, seconds.
    """

    name: str
    table: Prunable
    for_s: float


class Trust(Protocol):
    """What is known of the wall clock."""

    @property
    def synchronised(self) -> bool:
        """Whether something keeps it right."""


class Readings(Protocol):
    """The readings that there are."""

    def next_ms(self, from_ms: int) -> int | None:
        """Return the time of the earliest one at or after an instant, None if there is none."""


class CautiousNow:
    """The present, as far as it can be relied on when something is to be deleted for its age.

    A clock that nothing keeps right may be ahead by years, and everything would be too old by it.
    By this one only the oldest readings, of two days, are too old in any night. That is enough
    for the database not to grow, and leaves months to put the clock right.

    Args:
        clock: the wall clock.
        trust: how far it can be relied on.
        readings: what there is.
        retention_s: how long readings stay, seconds.
    """

    def __init__(self, clock: Clock, trust: Trust, readings: Readings, retention_s: float) -> None:
        self._clock = clock
        self._trust = trust
        self._readings = readings
        self._retention_ms = round(retention_s * 1000)

    def now_ms(self) -> int:
        """Return milliseconds since 1970, never more than the wall clock shows.

        Raises:
            StoreError: the readings cannot be looked at.
        """
        now_ms = self._clock.now_ms()
        if self._trust.synchronised:
            return now_ms
        oldest_ms = self._readings.next_ms(_EVER_MS)
        if oldest_ms is None:
            return now_ms
        return min(now_ms, oldest_ms + CAUTIOUS_MS + self._retention_ms)


class Pruner:
    """Removes what is older than the owner wants to keep in the database.

    Args:
        tables: what to look at.
        present: by which rows are too old.
        clock: for how long faults last.
    """

    def __init__(self, tables: Sequence[Kept], present: CautiousNow, clock: Clock) -> None:
        self._tables = tables
        self._present = present
        self._incidents = Incidents(log, clock)

    def run(self) -> None:
        """Remove what is too old, in small steps; after a failure the next night tries again."""
        try:
            now_ms = self._present.now_ms()
            for each in self._tables:
                self._prune(each, now_ms)
        except StoreError as error:
            self._incidents.raised("prune_failed", reason=str(error))
        else:
            self._incidents.ended("prune_failed")

    def _prune(self, kept: Kept, now_ms: int) -> None:
        before_ms = now_ms - round(kept.for_s * 1000)
        total = 0
        while removed := kept.table.prune(before_ms, STEP):
            total += removed
        if total:
            log.info("pruned", table=kept.name, count=total)
