"""The nightly job that keeps the database from growing without bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from kei.clock import Clock
from kei.errors import StoreError
from kei.faults import Faults

log = structlog.stdlib.get_logger("kei.upkeep")

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


class Pruner:
    """Removes what is older than the owner wants to keep in the database.

    Args:
        tables: what to look at.
        clock: the wall clock.
    """

    def __init__(self, tables: Sequence[Kept], clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._faults = Faults(log, clock)

    def run(self) -> None:
        """Remove what is too old, in small steps; after a failure the next night tries again."""
        try:
            for each in self._tables:
                self._prune(each)
        except StoreError as error:
            self._faults.raised("prune_failed", reason=str(error))
        else:
            self._faults.ended("prune_failed")

    def _prune(self, kept: Kept) -> None:
        before_ms = self._clock.now_ms() - round(kept.for_s * 1000)
        total = 0
        while removed := kept.table.prune(before_ms, STEP):
            total += removed
        if total:
            log.info("pruned", table=kept.name, count=total)
