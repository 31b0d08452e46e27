"""The meter's energy registers, as bytes, at any second."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kei.echonet.meter_class import ENERGY_UNITS, NO_DATA_U32
from kei.simulator.household.household import Load

NO_DATA = NO_DATA_U32.to_bytes(4, "big")
HALF_HOUR_S = 1_800
_WS_PER_KWH = 3_600_000
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
    moment = local_time(second)
    return date_bytes(second) + bytes((moment.hour, moment.minute, moment.second)) + value(second)


def local_time(second: int) -> datetime:
    """Return a local second as date and time, which only carries UTC for want of a zone.

    It stops at the end of the year 9999, which `--speed 100000` reaches within a month.
    """
    return datetime.fromtimestamp(min(second, _LAST_SECOND), UTC)


def date_bytes(second: int) -> bytes:
    """Return the date of a local second as EPC 98 has it: year, month, day."""
    moment = local_time(second)
    return moment.year.to_bytes(2, "big") + bytes((moment.month, moment.day))


def time_bytes(second: int) -> bytes:
    """Return the time of a local second as EPC 97 has it: hour, minute."""
    moment = local_time(second)
    return bytes((moment.hour, moment.minute))


def signed(value: int, size: int) -> bytes:
    """Return a signed number of so many bytes."""
    return value.to_bytes(size, "big", signed=True)
