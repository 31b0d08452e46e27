"""What the meter remembers: 99 days of half-hours, by day (E5) and by segment (ED)."""

from datetime import UTC, datetime

from kei.simulator.counters import HALF_HOUR_S, NO_DATA, EnergyCounter, last_half_hour
from kei.simulator.profile import SECONDS_PER_DAY

DAYS_KEPT = 99
NOT_SELECTED = 0xFF
_SLOTS = 48
_MAX_SEGMENTS = 12
_NO_TIME = b"\xff" * 6


class History:
    """Half-hour values of both registers, and which of them are asked for.

    Args:
        counter: the registers.
    """

    def __init__(self, counter: EnergyCounter) -> None:
        self._counter = counter
        self.day_selector = bytes((NOT_SELECTED,))  # EPC E5
        self.segment_selector = _NO_TIME + b"\x01"  # EPC ED
        self._segments_end: int | None = None

    def select_day(self, edt: bytes) -> bool:
        """Take EPC E5, how many days ago; return whether it is acceptable."""
        if len(edt) != 1 or edt[0] > DAYS_KEPT:
            return False
        self.day_selector = edt
        return True

    def select_segments(self, edt: bytes) -> bool:
        """Take EPC ED, a time and a number of half-hours back; return whether it is acceptable."""
        if len(edt) != 7 or not 1 <= edt[6] <= _MAX_SEGMENTS or edt[5] not in {0, 30}:
            return False
        try:
            moment = datetime(int.from_bytes(edt[:2], "big"), *edt[2:6])  # noqa: DTZ001
        except ValueError:
            return False
        self._segments_end = int(moment.replace(tzinfo=UTC).timestamp())
        self.segment_selector = edt
        return True

    def normal_day(self, second: int) -> bytes:
        """Return EPC E2: the selected day and its 48 register values, oldest first."""
        return self._day(second, reverse=False)

    def reverse_day(self, second: int) -> bytes:
        """Return EPC E4, as E2 for sold energy."""
        return self._day(second, reverse=True)

    def segments(self, second: int) -> bytes:
        """Return EPC EC: the selection and its register values, newest first."""
        values = []
        for number in range(self.segment_selector[6]):
            at = None if self._segments_end is None else self._segments_end - number * HALF_HOUR_S
            values.append(self._value(at, second, reverse=False))
            values.append(self._value(at, second, reverse=True))
        return self.segment_selector + b"".join(values)

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

    def _value(self, at: int | None, now: int, *, reverse: bool) -> bytes:
        """Return a register at a past half-hour; no data for the future and the forgotten."""
        oldest = (now // SECONDS_PER_DAY - DAYS_KEPT) * SECONDS_PER_DAY
        if at is None or not oldest <= at <= last_half_hour(now):
            return NO_DATA
        return self._counter.reverse(at) if reverse else self._counter.normal(at)
