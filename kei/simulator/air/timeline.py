"""What is to happen, by the time at which it is due. No clock, no I/O."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

Action = Callable[[float], None]
"""Called with the time at which it is due (monotonic seconds)."""


class Group(Enum):
    """Kinds of actions, which are cancelled together."""

    COMMAND = auto()  # the reply to the command that is being carried out
    SCAN = auto()
    SESSION = auto()  # joining, renewing, leaving, the end of the lifetime
    AIR = auto()  # datagrams on their way
    LIMIT = auto()  # the transmission limit
    METER = auto()  # what the meter does by itself
    FAULT = auto()  # faults at a time


@dataclass(order=True, slots=True)
class _Entry:
    due: float
    number: int
    group: Group = field(compare=False)
    action: Action = field(compare=False)


class Timeline:
    """A queue of actions by due time; those due at the same time keep their order.

    It stays short: a command schedules a handful of actions, and one command runs at a time.

    Attributes:
        now: when it was last run, monotonic seconds; an action may get an earlier time.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._count = 0
        self.now = 0.0

    def at(self, due: float, action: Action, group: Group) -> None:
        """Schedule an action; a time in the past means as soon as possible."""
        self._count += 1
        heapq.heappush(self._entries, _Entry(due, self._count, group, action))

    def next_due(self) -> float | None:
        """Return when the next action is due, or None when there is none."""
        return self._entries[0].due if self._entries else None

    def run(self, now: float) -> None:
        """Run the actions that are due, including those that they schedule."""
        self.now = now
        while self._entries and self._entries[0].due <= now:
            entry = heapq.heappop(self._entries)
            entry.action(entry.due)

    def cancel(self, *groups: Group) -> None:
        """Drop the actions of these groups."""
        self._entries = [entry for entry in self._entries if entry.group not in groups]
        heapq.heapify(self._entries)
