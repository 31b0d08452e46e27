"""The nightly job that keeps the database from growing without bound."""

import structlog

from kei.clock import Clock
from kei.errors import StoreError
from kei.faults import Faults
from kei.store.database import Database

log = structlog.stdlib.get_logger("kei.upkeep")

STEP = 500  # readings deleted at once: some milliseconds in which a new reading has to wait


class Pruner:
    """Removes readings that are older than the owner wants to keep in the database.

    Args:
        database: where they are.
        retention_s: how long they stay, seconds.
        clock: the wall clock.
    """

    def __init__(self, database: Database, retention_s: float, clock: Clock) -> None:
        self._database = database
        self._retention_ms = round(retention_s * 1000)
        self._clock = clock
        self._faults = Faults(log, clock)

    def run(self) -> None:
        """Remove what is too old, in small steps; after a failure the next night tries again."""
        before_ms = self._clock.now_ms() - self._retention_ms
        total = 0
        try:
            while (removed := self._database.prune(before_ms, STEP)) == STEP:
                total += removed
            total += removed
        except StoreError as error:
            self._faults.raised("prune_failed", reason=str(error))
            return
        self._faults.ended("prune_failed")
        if total:
            log.info("readings_pruned", count=total)
