"""What a meter remembers: half-hours by day (E5, E2, E4), half-hours (ED, EC), minutes (EF, EE).

A history is asked for in two steps: its selector is set (E5, ED or EF), then it is read. Each
answer repeats its selector, by which a caller knows whether it is what was asked for: the selectors
are shared by everybody who asks the meter. Sizes and codes: ECHONET Machine Readable Appendix,
release R, class 0x0288; the order of values and their times as real meters have them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kei.core.errors import Malformed
from kei.echonet.meter_class import ENERGY_MAX, HALF_HOURS_A_DAY, METER_ZONE, NO_DAY, NO_YEAR

EPC_DAY, EPC_DAY_NORMAL, EPC_DAY_REVERSE = 0xE5, 0xE2, 0xE4
EPC_HALF_HOURS_FROM, EPC_HALF_HOURS = 0xED, 0xEC
EPC_MINUTES_FROM, EPC_MINUTES = 0xEF, 0xEE

HALF_HOUR, MINUTE = timedelta(minutes=30), timedelta(minutes=1)
DAYS_MAX = 99  # before today
HALF_HOURS_MAX, MINUTES_MAX = 12, 10  # at once
_REGISTER_BYTES = 4
_DAY_BYTES = 2  # of the day in E2 and E4; one byte in E5
_SELECTOR_BYTES = 7  # year (two bytes), month, day, hour, minute, number


@dataclass(frozen=True, slots=True)
class DayHistory:
    """The data of E2 or E4.

    Attributes:
        days_ago: which day it is, 0..99; None as long as no day was set.
        counts: the register at 00:00, 00:30 ... 23:30 of that day; None where there is no value.
    """

    days_ago: int | None
    counts: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """The data of ED or EF: so many values back from a time.

    Attributes:
        newest: aware; a full or half hour, or a full minute.
        number: how many values, 1..12 or 1..10.
    """

    newest: datetime
    number: int

    def encode(self) -> bytes:
        """Return the data, in the meter's time."""
        at = self.newest.astimezone(METER_ZONE)
        clock = (at.month, at.day, at.hour, at.minute, self.number)
        return at.year.to_bytes(2, "big") + bytes(clock)


@dataclass(frozen=True, slots=True)
class Registers:
    """Both registers at one time; None where there is no value."""

    at: datetime
    normal: int | None
    reverse: int | None


def encode_day(days_ago: int) -> bytes:
    """Return the data of E5 for a day, 0 (today) to 99.

    Raises:
        ValueError: another number.
    """
    if not 0 <= days_ago <= DAYS_MAX:
        raise ValueError(f"no meter remembers what was {days_ago} days ago")
    return bytes((days_ago,))


def decode_day(edt: bytes) -> int | None:
    """Return the day of E5, None if none was set.

    Raises:
        Malformed: another length, or no such day.
    """
    if len(edt) != 1:
        raise Malformed(f"a day of {len(edt)} bytes instead of 1")
    return _day(edt[0])


def decode_day_history(edt: bytes) -> DayHistory:
    """Read the data of E2 or E4.

    Raises:
        Malformed: another length, or no such day.
    """
    size = _DAY_BYTES + _REGISTER_BYTES * HALF_HOURS_A_DAY
    if len(edt) != size:
        raise Malformed(f"a history of {len(edt)} bytes instead of {size}")
    day = _day(int.from_bytes(edt[:_DAY_BYTES], "big"))
    return DayHistory(day, _counts(edt[_DAY_BYTES:]))


def decode_segments(edt: bytes, step: timedelta) -> tuple[Selector | None, tuple[Registers, ...]]:
    """Read the data of EC or EE.

    Args:
        edt: the data.
        step: from one value to the next, `HALF_HOUR` or `MINUTE`.

    Returns:
        the selector (None if none was set), and the registers, the newest first.

    Raises:
        Malformed: another length, or no such time.
    """
    if len(edt) < _SELECTOR_BYTES or len(edt) != _SELECTOR_BYTES + 2 * _REGISTER_BYTES * edt[6]:
        raise Malformed(f"a history of {len(edt)} bytes does not fit the number of its values")
    selector = decode_selector(edt[:_SELECTOR_BYTES])
    if selector is None:
        return None, ()
    counts = _counts(edt[_SELECTOR_BYTES:])
    pairs = zip(counts[::2], counts[1::2], strict=True)
    values = (
        Registers(selector.newest - number * step, *pair) for number, pair in enumerate(pairs)
    )
    return selector, tuple(values)


def decode_selector(edt: bytes) -> Selector | None:
    """Return the data of ED or EF, None if no time was set.

    Raises:
        Malformed: another length, or no such time.
    """
    if len(edt) != _SELECTOR_BYTES:
        raise Malformed(f"a time of {len(edt)} bytes instead of {_SELECTOR_BYTES}")
    if edt[:2] == NO_YEAR:
        return None
    try:
        naive = datetime(int.from_bytes(edt[:2], "big"), *edt[2:6])  # noqa: DTZ001 - zone comes below
    except ValueError as error:
        raise Malformed(f"no time: {edt.hex()} ({error})") from None
    return Selector(naive.replace(tzinfo=METER_ZONE), edt[6])


def _day(number: int) -> int | None:
    if number == NO_DAY:
        return None
    if number > DAYS_MAX:
        raise Malformed(f"no day: {number}")
    return number


def _counts(data: bytes) -> tuple[int | None, ...]:
    """Return the registers; what is beyond the largest count is no value, whatever it says."""
    counts: Sequence[int] = [
        int.from_bytes(data[start : start + _REGISTER_BYTES], "big")
        for start in range(0, len(data), _REGISTER_BYTES)
    ]
    return tuple(count if count <= ENERGY_MAX else None for count in counts)
