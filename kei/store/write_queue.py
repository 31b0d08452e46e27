"""Readings on their way to two places, in order; and how each of the two is doing."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import structlog

from kei.core.reading import Reading

log = structlog.stdlib.get_logger("kei.store")


@dataclass(frozen=True, slots=True)
class OutletStatus:
    """How one of the two places that readings go to is doing.

    Attributes:
        written: readings written since the start.
        waiting: readings that are not there because the disk does not take them.
        dropped: readings given up since the start, because too many waited.
        fault: why writing fails at present, None when all is well.
    """

    written: int
    waiting: int
    dropped: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How recording is going.

    Attributes:
        text: the daily text files.
        database: the database.
    """

    text: OutletStatus
    database: OutletStatus


@dataclass(frozen=True, slots=True)
class Item:
    """A reading on its way.

    Attributes:
        reading: what is recorded.
        offset_ms: wall clock less monotonic clock when it was taken, if the wall clock had not
            been set by then and the time of the reading is the wall clock's; else None.
    """

    reading: Reading
    offset_ms: int | None = None


class Outlet:
    """How one of the two places is doing.

    Args:
        name: for the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.written = 0
        self.dropped = 0
        self.fault: str | None = None
        self.is_sync_failing = False
        self._dropped_before = 0  # until the present fault began

    def failed(self, reason: str, *, alone: bool) -> None:
        """Take note of a fault; only the first of a row is told, and loudly unless both fail."""
        if self.fault is None:
            self._dropped_before = self.dropped
            tell = log.error if alone else log.warning
            tell("recording_failing", to=self.name, reason=reason)
        self.fault = reason

    def lost(self, count: int) -> bool:
        """Take note of readings that were given up; return whether they are the first."""
        is_first = self.dropped == self._dropped_before
        self.dropped += count
        return is_first

    def works(self) -> None:
        """Take note that writing works, and that nothing waits any more."""
        if self.fault is not None and not self.is_sync_failing:
            self.fault = None
            dropped = self.dropped - self._dropped_before
            self._dropped_before = self.dropped
            log.info("recording_resumed", to=self.name, dropped=dropped)

    def status(self, waiting: int) -> OutletStatus:
        """Return how it is doing."""
        return OutletStatus(self.written, waiting if self.fault else 0, self.dropped, self.fault)


@dataclass(frozen=True, slots=True)
class Excess:
    """What was given up of a spool.

    Attributes:
        lost: readings that nobody has.
        in_text: readings that the text has, and the database does not.
        in_database: the other way round.
    """

    lost: int
    in_text: int
    in_database: int

    def and_more(self, other: "Excess") -> "Excess":
        """Return both together."""
        return Excess(
            self.lost + other.lost,
            self.in_text + other.in_text,
            self.in_database + other.in_database,
        )


NOTHING_MORE = Excess(0, 0, 0)


class Spool:
    """Readings that are not in both places yet, the oldest first.

    What one of the places has is the front of it: so two counts say it all.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._in_text = 0
        self._in_database = 0

    def __len__(self) -> int:
        """Return how many readings are not in both places."""
        return len(self._items)

    @property
    def without_line(self) -> int:
        """How many are not in the text."""
        return len(self._items) - self._in_text

    @property
    def without_row(self) -> int:
        """How many are not in the database."""
        return len(self._items) - self._in_database

    @property
    def in_neither(self) -> int:
        """How many are in neither of the two."""
        return len(self._items) - max(self._in_text, self._in_database)

    def add(self, items: Sequence[Item]) -> None:
        """Add items at the end."""
        self._items.extend(items)

    def next_lines(self, limit: int) -> list[Item]:
        """Return the first of those that are not in the text."""
        return list(islice(self._items, self._in_text, self._in_text + limit))

    def rows(self) -> list[Item]:
        """Return those that are not in the database."""
        return list(islice(self._items, self._in_database, None))

    def lines_written(self, count: int) -> None:
        """Take note that so many more are in the text."""
        self._in_text += count
        self._drop_done()

    def rows_written(self, count: int) -> None:
        """Take note that so many more are in the database."""
        self._in_database += count
        self._drop_done()

    def agreed(self) -> None:
        """Take note that both places have what one of them has."""
        self._in_text = self._in_database = max(self._in_text, self._in_database)
        self._drop_done()

    def shorten(self, bound: int) -> Excess:
        """Give up the oldest, if there are more than so many."""
        excess = max(0, len(self._items) - bound)
        lost = max(0, excess - max(self._in_text, self._in_database))
        only_text = min(excess, self._in_text) - min(excess, self._in_database)
        for _ in range(excess):
            self._items.popleft()
        self._in_text = max(0, self._in_text - excess)
        self._in_database = max(0, self._in_database - excess)
        return Excess(lost, max(0, only_text), max(0, -only_text))

    def replace(self, items: Sequence[Item]) -> None:
        """Put as many others in the place of all."""
        self._items = deque(items)

    def all(self) -> list[Item]:
        """Return all of them."""
        return list(self._items)

    def _drop_done(self) -> None:
        done = min(self._in_text, self._in_database)
        for _ in range(done):
            self._items.popleft()
        self._in_text -= done
        self._in_database -= done
