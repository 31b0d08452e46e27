"""What a meter seems not to have: a refusal says little, as a busy meter refuses everything."""

from collections import Counter
from datetime import date, timedelta
from math import inf

from kei.core.clock import Clock
from kei.core.printable import counted
from kei.meter.history import Way

REFUSALS_MAX = 3  # until one is believed
REVERSE_MISSES_MAX = 3  # days in a row without a value of E4: older ones have none either
BELIEVED_S = 86_400.0  # then it is asked for again


class Beliefs:
    """What is not asked for at present. One thread.

    Args:
        clock: monotonic time.

    Attributes:
        differing: the days of which the meter tells others than are recorded, and by how many hours
            the times of these are too late; None if it is not that.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.differing: dict[date, int | None] = {}
        self._refusals = Counter[date]()
        self._without_reverse: list[date] = []  # in a row
        # Since when each is believed, monotonic.
        self._ways: dict[Way, float] = {}
        self._days: dict[date, float] = {}
        self._oldest: tuple[date, float] | None = None
        self._reverse_from: tuple[date, float] | None = None

    def way_refused(self, way: Way) -> None:
        """Note that the meter cannot be asked in a way."""
        self._ways[way] = self._clock.monotonic()

    def is_refused(self, way: Way) -> bool:
        """Return whether that is believed."""
        return self._is_believed(self._ways.get(way, -inf))

    def begins_at(self, day: date) -> None:
        """Note that the meter tells of no day before one."""
        self._oldest = day, self._clock.monotonic()

    @property
    def oldest(self) -> date | None:
        """The first day that the meter tells of; None if it may tell of all."""
        is_believed = self._oldest is not None and self._is_believed(self._oldest[1])
        return self._oldest[0] if self._oldest is not None and is_believed else None

    def day_refused(self, day: date) -> None:
        """Count that the meter does not tell of a day."""
        self._refusals[day] += 1
        if self._refusals[day] == REFUSALS_MAX:
            self._days[day] = self._clock.monotonic()
            del self._refusals[day]

    def day_told(self, day: date) -> None:
        """Note that it does."""
        self._refusals.pop(day, None)

    def is_left_alone(self, day: date) -> bool:
        """Return whether a day differs, or has been refused again and again."""
        return day in self.differing or self._is_believed(self._days.get(day, -inf))

    def how_they_differ(self) -> str:
        """Return what is wrong with the days that differ, for a person."""
        days = counted(len(self.differing), "day")
        hours_off, *others = set(self.differing.values())
        if others or hours_off is None:
            return f"the meter tells other values of {days} than are recorded, which are not filled"
        how = f"{abs(hours_off)} h too {'late' if hours_off > 0 else 'early'}"
        return f"the times of {days} were recorded {how}, which are not filled"

    def reverse_told(self, day: date, *, has_values: bool) -> None:
        """Note whether a day has any sold energy; after some without, older ones have none."""
        self._without_reverse = [] if has_values else [*self._without_reverse, day]
        if len(self._without_reverse) == REVERSE_MISSES_MAX:
            first = max(self._without_reverse) + timedelta(days=1)
            self._reverse_from, self._without_reverse = (first, self._clock.monotonic()), []

    def may_have_reverse(self, day: date) -> bool:
        """Return whether the meter may have sold energy of a day."""
        if self._reverse_from is None or not self._is_believed(self._reverse_from[1]):
            return True
        return day >= self._reverse_from[0]

    def _is_believed(self, since: float) -> bool:
        return self._clock.monotonic() - since < BELIEVED_S
