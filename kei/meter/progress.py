"""How far the record of the meter has been made complete, for people."""

from dataclasses import dataclass, replace

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.history")


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """How far the record has been made complete.

    Attributes:
        filled: values that were made good since the start, one-minute values included.
        missing: half-hour values that are missing still, as far as the meter may have them.
        days_left: the days that they are of.
        doing: what is done now, or what it waits for, for a person.
    """

    filled: int
    missing: int
    days_left: int
    doing: str


class Progress:
    """How far the record has been made complete; told by one thread, read by any.

    Args:
        clock: monotonic time.

    Attributes:
        status: a snapshot.
        incidents: what is in the way.
    """

    def __init__(self, clock: Clock) -> None:
        self.incidents = Incidents(log, clock)
        self.status = HistoryStatus(0, 0, 0, "waiting to begin")

    def tell(self, doing: str) -> None:
        """Tell what is done now, or what it waits for, in words for a person."""
        self.status = replace(self.status, doing=doing)

    def left(self, missing: int, days: int) -> None:
        """Tell how many values of how many days are missing still."""
        self.status = replace(self.status, missing=missing, days_left=days)

    def filled(self, count: int) -> None:
        """Tell that so many values have been made good."""
        self.status = replace(self.status, filled=self.status.filled + count)
