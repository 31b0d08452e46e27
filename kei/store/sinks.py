"""The state of the two sinks of readings, text and database, as others see it."""

from dataclasses import dataclass

import structlog

from kei.core.errors import StoreError, TextError

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
        pending: readings that have no line yet: they wait for the clock, or for the text.
        set_aside: readings that cannot be written, whatever the disk does.
        uncommitted: readings that are in the text, and come into the database with the next
            commit; None of an older kei.
        commit_in_s: seconds until then; None while nothing is to be committed.
    """

    text: SinkStatus
    database: SinkStatus
    pending: int = 0
    set_aside: int = 0
    uncommitted: int | None = 0
    commit_in_s: float | None = None


class Sink:
    """Counters and the present fault of text or database.

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


class Sinks:
    """Text and database together."""

    def __init__(self) -> None:
        self.text, self.database = Sink("text"), Sink("database")

    def failed(self, error: StoreError) -> None:
        """Set the fault of the one that an error is of."""
        one, other = self.database, self.text
        if isinstance(error, TextError):
            one, other = other, one
        one.failed(str(error), alone=other.fault is None)

    def drop(self, count: int) -> bool:
        """Count readings that both have given up; return whether they are the first."""
        return self.text.drop(count) | self.database.drop(count)

    @property
    def fault(self) -> str | None:
        """A fault of one of them, if there is any."""
        return self.text.fault or self.database.fault

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of those that fail at present."""
        return tuple(sink.name for sink in (self.text, self.database) if sink.fault)
