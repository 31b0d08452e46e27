"""The meter's energy registers at any second, and their history: 99 days of half-hours."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kei.echonet.meter_class import ENERGY_UNITS, NO_DATA_U32
from kei.simulator.household.household import Load
from kei.simulator.household.profile import SECONDS_PER_DAY

NO_DATA = NO_DATA_U32.to_bytes(4, "big")
HALF_HOUR_S = 1_800
DAYS_KEPT = 99
_WS_PER_KWH = 3_600_000
_NOT_SELECTED = 0xFF  # EPC E5 before it is set
_SLOTS = 48
HALF_HOURS_MAX, MINUTES_MAX = 12, 10  # segments of EC and of EE
_NO_TIME = b"\xff" * 6
_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True)
class CounterSetup:
    """How the registers count.

    Attributes:
        unit: EPC E1, a code of `ENERGY_UNITS`.
        coefficient: EPC D3, 1 or more.
        digits: EPC D7, 1..8: they go back to zero after so many nines.
    """

    unit: int = 0x01
    coefficient: int = 1
    digits: int = 6

    @property
    def count_ws(self) -> int:
        """How much energy one count is, Ws."""
        return int(ENERGY_UNITS[self.unit] * self.coefficient * _WS_PER_KWH)


class EnergyCounter:
    """The registers of bought and, if the meter has one, of sold energy."""

    def __init__(self, household: Load, setup: CounterSetup, *, has_reverse: bool = True) -> None:
        self._household = household
        self.setup = setup
        self._has_reverse = has_reverse

    def normal(self, second: int) -> bytes:
        """Return the register of bought energy at a local second; no data before installation."""
        return self._shown(self._household.energy(second).normal)

    def reverse(self, second: int) -> bytes:
        """Return the register of sold energy at a local second; no data where it has none."""
        energy = self._household.energy(second)
        is_known = self._has_reverse and energy.normal >= 0
        return self._shown(energy.reverse if is_known else -1)

    def _shown(self, energy_ws: int) -> bytes:
        if energy_ws < 0:
            return NO_DATA
        counts: int = energy_ws // self.setup.count_ws % 10**self.setup.digits
        return counts.to_bytes(4, "big")


def last_half_hour(second: int) -> int:
    """Return the full or half hour at or before a local second."""
    return second // HALF_HOUR_S * HALF_HOUR_S


def stamped(second: int, value: Callable[[int], bytes]) -> bytes:
    """Return a time stamp of seven bytes and the value at that time."""
    moment = _local_time(second)
    return date_bytes(second) + bytes((moment.hour, moment.minute, moment.second)) + value(second)


def _local_time(second: int) -> datetime:
    """Return a local second as date and time, which only carries UTC for want of a zone.

    It stops at the end of the year 9999, which `--speed 100000` reaches within a month.
    """
    return datetime.fromtimestamp(min(second, _LAST_SECOND), UTC)


def date_bytes(second: int) -> bytes:
    """Return the date of a local second as EPC 98 has it: year, month, day."""
    moment = _local_time(second)
    return moment.year.to_bytes(2, "big") + bytes((moment.month, moment.day))


def time_bytes(second: int) -> bytes:
    """Return the time of a local second as EPC 97 has it: hour, minute."""
    moment = _local_time(second)
    return bytes((moment.hour, moment.minute))


def signed(value: int, size: int) -> bytes:
    """Return a signed number of so many bytes."""
    return value.to_bytes(size, "big", signed=True)


class _Selection:
    """EPC E5, ED or EF: a register that everybody who asks the meter can set.

    Args:
        unset: its data before that.
        foreign_sets: after every so many questions somebody else sets another; 0 for never.
    """

    def __init__(self, unset: bytes, foreign_sets: int) -> None:
        self.edt = self._foreign = unset
        self._every = foreign_sets
        self._questions = 0

    def asked(self) -> bytes:
        """Return the data for a question; somebody else may set others after that."""
        edt = self.edt
        self._questions += 1
        if self._every and self._questions % self._every == 0:
            self.edt = self._foreign
        return edt

    def set(self, edt: bytes) -> None:
        """Set the data."""
        self.edt = edt
        self.asked()


class Segments:
    """Up to `most` values of both registers, every `step_s` before a time, the newest first."""

    def __init__(
        self,
        counter: EnergyCounter,
        step_s: int,
        most: int,
        days_kept: int = DAYS_KEPT,
        foreign_sets: int = 0,
    ) -> None:
        self._counter = counter
        self._step_s = step_s
        self._most = most
        self._days_kept = days_kept
        self._selection = _Selection(_NO_TIME + b"\x01", foreign_sets)  # EPC ED or EF

    def select(self, edt: bytes) -> bool:
        """Set EPC ED or EF, a time and a number of values; return whether they are accepted."""
        if len(edt) != 7 or not 1 <= edt[6] <= self._most:
            return False
        try:
            if _second(edt) % self._step_s:
                return False
        except ValueError:
            return False
        self._selection.set(edt)
        return True

    def selected(self, _: int) -> bytes:
        """Return EPC ED or EF."""
        return self._selection.asked()

    def values(self, second: int) -> bytes:
        """Return EPC EC or EE: the selection and its register values."""
        selector, counter = self._selection.asked(), self._counter
        end = None if selector.startswith(_NO_TIME) else _second(selector)
        found = b""
        for number in range(selector[6]):
            at = -1 if end is None else end - number * self._step_s
            is_known = _oldest(second, self._days_kept) <= at <= second
            found += counter.normal(at) + counter.reverse(at) if is_known else NO_DATA * 2
        return selector + found


def _second(selector: bytes) -> int:
    """Return the local second of EPC ED or EF; ValueError if it is no time."""
    moment = datetime(int.from_bytes(selector[:2], "big"), *selector[2:6])  # noqa: DTZ001
    return int(moment.replace(tzinfo=UTC).timestamp())


class History:
    """Half-hour values of both registers by day, and which day is selected."""

    def __init__(
        self, counter: EnergyCounter, days_kept: int = DAYS_KEPT, foreign_sets: int = 0
    ) -> None:
        self._counter = counter
        self._days_kept = days_kept
        self._selection = _Selection(bytes((_NOT_SELECTED,)), foreign_sets)  # EPC E5

    def select_day(self, edt: bytes) -> bool:
        """Set EPC E5, how many days ago; return whether it is accepted."""
        if len(edt) != 1 or edt[0] > DAYS_KEPT:
            return False
        self._selection.set(edt)
        return True

    def day(self, _: int) -> bytes:
        """Return EPC E5."""
        return self._selection.asked()

    def normal_day(self, second: int) -> bytes:
        """Return EPC E2: the selected day and its 48 register values, oldest first."""
        return self._day(second, self._counter.normal)

    def reverse_day(self, second: int) -> bytes:
        """Return EPC E4, as E2 for sold energy."""
        return self._day(second, self._counter.reverse)

    def _day(self, second: int, register: Callable[[int], bytes]) -> bytes:
        (days_ago,) = self._selection.asked()
        head = days_ago.to_bytes(2, "big")
        if days_ago == _NOT_SELECTED:
            return head + NO_DATA * _SLOTS
        start = (second // SECONDS_PER_DAY - days_ago) * SECONDS_PER_DAY
        slots = range(start, start + SECONDS_PER_DAY, HALF_HOUR_S)
        oldest = _oldest(second, self._days_kept)
        return head + b"".join(register(at) if oldest <= at <= second else NO_DATA for at in slots)


def _oldest(now: int, days_kept: int) -> int:
    """Return the first second of the history."""
    return (now // SECONDS_PER_DAY - days_kept) * SECONDS_PER_DAY
