"""What a kei says of itself to the servers that ask for it: `health` of `[[upload]]`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kei.core.clock import Clock
from kei.settings.upload import HEALTH_EVERY_S, UploadTarget

if TYPE_CHECKING:  # loading the formats needs no SQLite
    from kei.store.queue import UploadQueue

LATE_S = 1.0  # by which a run of a job may be late


@dataclass(frozen=True, slots=True)
class Health:
    """How a kei is.

    Attributes:
        version: of the program.
        numbers: by the names that servers get, finite; truths are 0 or 1. None is left out: it
            cannot be told.
        time_ms: milliseconds since 1970 in UTC; None while the clock is likely to be wrong.
    """

    version: str
    numbers: Mapping[str, int | float | None]
    time_ms: int | None

    def known(self) -> dict[str, int | float]:
        """Return the numbers that can be told."""
        return {name: value for name, value in self.numbers.items() if value is not None}


class HealthReport:
    """The health of a kei for one target, with what waits for that. Used by one thread.

    Args:
        look: says how kei is, but for the target's rows.
        queue: has the rows.
        target: which has asked for it.
        clock: wall and monotonic time.
    """

    def __init__(
        self, look: Callable[[], Health], queue: "UploadQueue", target: UploadTarget, clock: Clock
    ) -> None:
        self._look = look
        self._queue = queue
        self._target = target
        self._clock = clock
        self._made_at = -math.inf

    def is_due(self) -> bool:
        """Tell whether the next run of the target's job would be too late for the next report."""
        next_at = self._clock.monotonic() + self._target.run_cycle_s + LATE_S
        return next_at - self._made_at > HEALTH_EVERY_S

    def make(self) -> Health:
        """Return the report, which is going to be sent; StoreError if the database fails."""
        self._made_at = self._clock.monotonic()
        now_ms = self._clock.now_ms()
        waiting = self._queue.waiting(self._target.name, self._target.what)
        oldest_ms = now_ms if waiting.oldest_ms is None else waiting.oldest_ms
        found = self._look()
        rows = {
            "backlog_rows": waiting.rows,
            "oldest_s": max(0, (now_ms - oldest_ms) // 1000),
            "dead_letters": waiting.set_aside,
        }
        return replace(found, numbers={**found.numbers, **rows})
