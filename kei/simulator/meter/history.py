"""The meter's history: 99 days of half-hours by day (E5), and by segment (ED, EF)."""

from datetime import UTC, datetime

from kei.simulator.household.profile import SECONDS_PER_DAY
from kei.simulator.meter.counters import HALF_HOUR_S, NO_DATA, EnergyCounter, last_half_hour

DAYS_KEPT = 99
NOT_SELECTED = 0xFF
_SLOTS = 48
HALF_HOURS_MAX, MINUTES_MAX = 12, 10  # segments of EC and of EE
_NO_TIME = b"\xff" * 6


class Segments:
    """Up to `most` values of both registers, every `step_s` before a time, the newest first."""

    def __init__(self, counter: EnergyCounter, step_s: int, most: int) -> None:
        self._counter = counter
        self._step_s = step_s
        self._most = most
        self.selector = _NO_TIME + b"\x01"  # EPC ED or EF
        self._end: int | None = None

    def select(self, edt: bytes) -> bool:
        """Set EPC ED or EF, a time and a number of values; return whether they are accepted."""
        if len(edt) != 7 or not 1 <= edt[6] <= self._most:
            return False
        try:
            moment = datetime(int.from_bytes(edt[:2], "big"), *edt[2:6])  # noqa: DTZ001
        except ValueError:
            return False
        end = int(moment.replace(tzinfo=UTC).timestamp())
        if end % self._step_s:
            return False
        self._end, self.selector = end, edt
        return True

    def values(self, second: int) -> bytes:
        """Return EPC EC or EE: the selection and its register values."""
        newest = second // self._step_s * self._step_s
        found = []
        for number in range(self.selector[6]):
            at = -1 if self._end is None else self._end - number * self._step_s
            if _oldest(second) <= at <= newest:
                found += [self._counter.normal(at), self._counter.reverse(at)]
            else:
                found += [NO_DATA, NO_DATA]
        return self.selector + b"".join(found)


class History:
    """Half-hour values of both registers by day, and which day is selected."""

    def __init__(self, counter: EnergyCounter) -> None:
        self._counter = counter
        self.day_selector = bytes((NOT_SELECTED,))  # EPC E5

    def select_day(self, edt: bytes) -> bool:
        """Set EPC E5, how many days ago; return whether it is accepted."""
        if len(edt) != 1 or edt[0] > DAYS_KEPT:
            return False
        self.day_selector = edt
        return True

    def normal_day(self, second: int) -> bytes:
        """Return EPC E2: the selected day and its 48 register values, oldest first."""
        return self._day(second, reverse=False)

    def reverse_day(self, second: int) -> bytes:
        """Return EPC E4, as E2 for sold energy."""
        return self._day(second, reverse=True)

    def _day(self, second: int, *, reverse: bool) -> bytes:
        days_ago = self.day_selector[0]
        head = days_ago.to_bytes(2, "big")
        if days_ago == NOT_SELECTED:
            return head + NO_DATA * _SLOTS
        start = (second // SECONDS_PER_DAY - days_ago) * SECONDS_PER_DAY
        return head + b"".join(
            self._value(start + slot * HALF_HOUR_S, second, reverse=reverse)
            for slot in range(_SLOTS)
        )

    def _value(self, at: int, now: int, *, reverse: bool) -> bytes:
        """Return a register at a half-hour; no data in the future, or before the history."""
        if not _oldest(now) <= at <= last_half_hour(now):
            return NO_DATA
        return self._counter.reverse(at) if reverse else self._counter.normal(at)


def _oldest(now: int) -> int:
    """Return the first second of the history."""
    return (now // SECONDS_PER_DAY - DAYS_KEPT) * SECONDS_PER_DAY
