"""The nightly job that keeps the database from growing without bound."""

from collections.abc import Callable

import structlog

from kei.clock import Clock
from kei.errors import StoreError
from kei.faults import Faults
from kei.store.database import Database

log = structlog.stdlib.get_logger("kei.upkeep")

STEP = 500  # readings deleted at once: some milliseconds in which a new reading has to wait
CAUTIOUS_MS = 2 * 86_400_000  # recorded time that goes in a night: more than a day brings


class Pruner:
    """Removes readings that are older than the owner wants to keep in the database.

    A clock that nobody has synchronised may be ahead by years, and all readings would be too old
    by it. So what goes in one night is bounded then: the oldest readings, of two days. That is
    enough for the database not to grow, and leaves months to put the clock right.

    Args:
        database: where they are.
        retention_s: how long they stay, seconds.
        clock: the wall clock.
        trusted: tells whether that clock is synchronised.
    """

    def __init__(
        self,
        database: Database,
        retention_s: float,
        clock: Clock,
        trusted: Callable[[], bool],
    ) -> None:
        self._database = database
        self._retention_ms = round(retention_s * 1000)
        self._clock = clock
        self._trusted = trusted
        self._faults = Faults(log, clock)

    def run(self) -> None:
        """Remove what is too old, in small steps; after a failure the next night tries again."""
        total = 0
        try:
            before_ms = self._before_ms()
            while (removed := self._database.prune(before_ms, STEP)) == STEP:
                total += removed
            total += removed
        except StoreError as error:
            self._faults.raised("prune_failed", reason=str(error))
            return
        self._faults.ended("prune_failed")
        if total:
            log.info("readings_pruned", count=total)

    def _before_ms(self) -> int:
        """Return the instant before which readings go."""
        before_ms = self._clock.now_ms() - self._retention_ms
        if self._trusted():
            return before_ms
        oldest_ms = self._database.next_reading_ms(_EVER_MS)
        return before_ms if oldest_ms is None else min(before_ms, oldest_ms + CAUTIOUS_MS)


_EVER_MS = -(1 << 62)  # no reading is older
