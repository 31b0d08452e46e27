"""The write queue: readings on their way to text and database, and the state of these two sinks."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import structlog

from kei.core.reading import Reading

log = structlog.stdlib.get_logger("kei.store")


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """The state of one of the two sinks, text or database.

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
    """The state of recording.

    Attributes:
        text: the daily text files.
        database: the database.
    """

    text: SinkStatus
    database: SinkStatus


@dataclass(frozen=True, slots=True)
class Item:
    """A reading in the write queue.

    Attributes:
        reading: what is recorded.
        offset_ms: wall clock minus monotonic clock when it was taken, if its time is that of a
            wall clock that was not synchronised; else None.
    """

    reading: Reading
    offset_ms: int | None = None


class Sink:
    """Counters and the present fault of text or database."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.written = 0
        self.dropped = 0
        self.fault: str | None = None
        self.is_sync_failing = False
        self._dropped_before = 0  # until the present fault began

    def failed(self, reason: str, *, alone: bool) -> None:
        """Set the fault; log the first of a row, as an error only if the other sink works."""
        if self.fault is None:
            self._dropped_before = self.dropped
            tell = log.error if alone else log.warning
            tell("recording_failing", to=self.name, reason=reason)
        self.fault = reason

    def drop(self, count: int) -> bool:
        """Count readings that were given up; return whether they are the first of this fault."""
        is_first = self.dropped == self._dropped_before
        self.dropped += count
        return is_first

    def works(self) -> None:
        """Clear the fault, as everything that waited has been written."""
        if self.fault is not None and not self.is_sync_failing:
            self.fault = None
            dropped = self.dropped - self._dropped_before
            self._dropped_before = self.dropped
            log.info("recording_resumed", to=self.name, dropped=dropped)

    def status(self, waiting: int) -> SinkStatus:
        """Return the present state."""
        return SinkStatus(self.written, waiting if self.fault else 0, self.dropped, self.fault)


@dataclass(frozen=True, slots=True)
class Overflow:
    """Numbers of readings that were removed from a full write queue.

    Attributes:
        lost: they were in neither sink.
        in_text: they were in the text only.
        in_database: they were in the database only.
    """

    lost: int
    in_text: int
    in_database: int

    def __add__(self, other: "Overflow") -> "Overflow":
        return Overflow(
            self.lost + other.lost,
            self.in_text + other.in_text,
            self.in_database + other.in_database,
        )


NO_OVERFLOW = Overflow(0, 0, 0)


class WriteQueue:
    """Readings that are not in both sinks yet, the oldest first.

    Each sink takes them in order, so that one counter for each says which ones it has.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._in_text = 0
        self._in_database = 0

    def __len__(self) -> int:
        """Return how many readings are not in both sinks."""
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
        """How many are in neither sink."""
        return len(self._items) - max(self._in_text, self._in_database)

    def add(self, items: Sequence[Item]) -> None:
        """Append items."""
        self._items.extend(items)

    def next_lines(self, limit: int) -> list[Item]:
        """Return the first items that are not in the text, at most so many."""
        return list(islice(self._items, self._in_text, self._in_text + limit))

    def rows(self) -> list[Item]:
        """Return the items that are not in the database."""
        return list(islice(self._items, self._in_database, None))

    def written(self, *, lines: int = 0, rows: int = 0) -> None:
        """Count items that have been written to the text or the database."""
        self._in_text += lines
        self._in_database += rows
        self._remove(min(self._in_text, self._in_database))

    def recovered(self) -> None:
        """Regard what one sink has as being in both, as recovery has seen to that."""
        self._remove(max(self._in_text, self._in_database))

    def shorten(self, bound: int) -> Overflow:
        """Remove the oldest items if there are more than so many."""
        excess = max(0, len(self._items) - bound)
        lost = max(0, excess - max(self._in_text, self._in_database))
        only_text = min(excess, self._in_text) - min(excess, self._in_database)
        self._remove(excess)
        return Overflow(lost, max(0, only_text), max(0, -only_text))

    def change(self, function: Callable[[Item], Item]) -> None:
        """Replace each item by what a function returns for it."""
        self._items = deque(map(function, self._items))

    def _remove(self, count: int) -> None:
        for _ in range(count):
            self._items.popleft()
        self._in_text = max(0, self._in_text - count)
        self._in_database = max(0, self._in_database - count)
