"""The low-voltage smart electric energy meter, ECHONET class 0x0288, as one table.

A new property is a new row: of `PROPERTIES` if it is recorded, else of `UNRECORDED`. The check of
jobs.toml, the decoder, the expected series, `kei status` and `kei probe` take everything from these
rows. Sizes, ranges and the codes that mean "no value" are those of the ECHONET Machine Readable
Appendix, release R, class 0x0288. All numbers are exact: integers and decimals, never floating
point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from functools import partial

from kei.core.errors import Malformed
from kei.core.reading import plain

# EPC E1: what one count of the energy registers is, in kWh.
ENERGY_UNITS: dict[int, Decimal] = {
    0x00: Decimal(1),
    0x01: Decimal("0.1"),
    0x02: Decimal("0.01"),
    0x03: Decimal("0.001"),
    0x04: Decimal("0.0001"),
    0x0A: Decimal(10),
    0x0B: Decimal(100),
    0x0C: Decimal(1000),
    0x0D: Decimal(10000),
}

ENERGY_MAX = 99_999_999  # counts
COEFFICIENT_MAX = 999_999
COEFFICIENT_WHERE_ABSENT = 1  # of a meter without D3
NO_DATA_U32 = 0xFFFFFFFE
NO_TIME = b"\xff\xff\xff\xff"  # begins the time stamp of a value that there is not yet
TIME_STAMP_BYTES = 7
METER_ZONE = timezone(timedelta(hours=9))  # of the clock of every meter: Japan has one time
YEARS = range(2000, 2100)  # of a time stamp that can be right; the meters came in 2014
NO_DAY, NO_YEAR = 0xFF, b"\xff\xff"  # E5 and ED before they are set
HALF_HOURS_A_DAY = 48

EPC_COEFFICIENT = 0xD3
EPC_ENERGY_UNIT = 0xE1


class ImpossibleStamp(Malformed):
    """A property has a time stamp that is no time, or none of a smart meter."""


class Absent(StrEnum):
    """Why a property that was answered has no value."""

    NO_DATA = "no_data"
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    OUT_OF_RANGE = "out_of_range"


_ABSENT_I32 = {
    0x7FFFFFFE: Absent.NO_DATA,
    0x7FFFFFFF: Absent.OVERFLOW,
    -0x80000000: Absent.UNDERFLOW,
}
_ABSENT_I16 = {0x7FFE: Absent.NO_DATA, 0x7FFF: Absent.OVERFLOW, -0x8000: Absent.UNDERFLOW}


@dataclass(frozen=True, slots=True)
class Scale:
    """What turns counts of the energy registers into kWh: count x coefficient x unit."""

    coefficient: int
    unit: Decimal

    def kwh(self, count: int) -> Decimal:
        """Return the energy in kWh, exactly, with as many decimals as the unit has."""
        return count * self.coefficient * self.unit


@dataclass(frozen=True, slots=True)
class Value:
    """One number of a property.

    Attributes:
        sensor: SensorID of the files.
        value: the number in its unit (W, A, kWh), or why there is none.
        at: the meter's own time stamp, Japan time, where it sent one.
    """

    sensor: str
    value: Decimal | Absent
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Number:
    """What the numbers of a property are, and how the meter encodes them.

    Attributes:
        decode: the data of one number and the scale, to the number or why there is none.
        unit: of measure; None for a plain number.
        needs_scale: whether it is meaningless before coefficient and unit (D3, E1) are known.
    """

    decode: Callable[[bytes, Scale], Decimal | Absent]
    unit: str | None = None
    needs_scale: bool = False


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """A property that kei records: its data are numbers of one kind, one for each SensorID.

    Attributes:
        epc: the property code.
        name: what it is, in English.
        size: length of its data in bytes.
        number: what each of its numbers is.
        sensors: SensorIDs of the numbers, in the order of the data.
        measured_every_s: time between the measurements of what the meter measures by itself, and
            sends with its own time stamp; None for what is measured when it is asked for.
    """

    epc: int
    name: str
    size: int
    number: Number
    sensors: tuple[str, ...]
    measured_every_s: float | None = None


class Kind(StrEnum):
    """What a property is that kei does not record, in words for people."""

    IDENTIFICATION = "the identification number of the B route"
    HISTORY = "a history"  # takes more than one frame on the air
    SETTING = "a setting of the meter for its histories"


@dataclass(frozen=True, slots=True)
class UnrecordedSpec:
    """A property that kei does not record.

    Attributes:
        epc: the property code.
        name: what it is, in English.
        kind: why it is not recorded.
        describe: its data and the scale, as far as it is known, to a text for people;
            Malformed if they do not fit the standard.
        instead: recorded properties that tell the same, as the meter goes on.
    """

    epc: int
    name: str
    kind: Kind
    describe: Callable[[bytes, Scale | None], str]
    instead: tuple[int, ...] = ()


def _coefficient(data: bytes, _: Scale) -> Decimal | Absent:
    count = int.from_bytes(data, "big")
    return Decimal(count) if count <= COEFFICIENT_MAX else Absent.OUT_OF_RANGE


def _digits(data: bytes, _: Scale) -> Decimal | Absent:
    return Decimal(data[0]) if 1 <= data[0] <= 8 else Absent.OUT_OF_RANGE


def _energy_unit(data: bytes, _: Scale) -> Decimal | Absent:
    return ENERGY_UNITS.get(data[0], Absent.OUT_OF_RANGE)


def _energy(data: bytes, scale: Scale) -> Decimal | Absent:
    count = int.from_bytes(data, "big")
    if count > ENERGY_MAX:
        return Absent.NO_DATA if count == NO_DATA_U32 else Absent.OUT_OF_RANGE
    return scale.kwh(count)


def _power(data: bytes, _: Scale) -> Decimal | Absent:
    watt = int.from_bytes(data, "big", signed=True)
    return _ABSENT_I32.get(watt) or Decimal(watt)


def _current(data: bytes, _: Scale) -> Decimal | Absent:
    tenths = int.from_bytes(data, "big", signed=True)
    return _ABSENT_I16.get(tenths) or Decimal(tenths).scaleb(-1)


def _date_time(data: bytes) -> datetime:
    """Read a time stamp: year (two bytes), month, day, hour, minute, second.

    Raises:
        ImpossibleStamp: there is no such time, or it is far from any that a meter can have.
    """
    try:
        naive = datetime(int.from_bytes(data[:2], "big"), *data[2:])  # noqa: DTZ001 - zone comes below
    except ValueError as error:
        raise ImpossibleStamp(f"no date: {data.hex()} ({error})") from None
    if naive.year not in YEARS:
        raise ImpossibleStamp(f"no date of a meter: {data.hex()}")
    return naive.replace(tzinfo=METER_ZONE)


def _hex(edt: bytes, _: Scale | None) -> str:
    return edt.hex().upper()


def _day_history(edt: bytes, scale: Scale | None) -> str:
    """Sum up E2 or E4: the day (E5), and the register at each of its half hours, oldest first."""
    if len(edt) != 2 + 4 * HALF_HOURS_A_DAY:
        raise Malformed(f"{len(edt)} bytes instead of {2 + 4 * HALF_HOURS_A_DAY}")
    registers = [edt[start : start + 4] for start in range(2, len(edt), 4)]
    return f"{_days_ago(int.from_bytes(edt[:2], 'big'))}, {_range(registers, scale)}"


def _day(edt: bytes, scale: Scale | None) -> str:
    return _days_ago(edt[0]) if len(edt) == 1 else _hex(edt, scale)


def _days_ago(days: int) -> str:
    words = {0: "today", 1: "yesterday", NO_DAY: "no day is set"}
    return words.get(days, f"{days} days ago")


def _values_back(step_min: int, edt: bytes, scale: Scale | None) -> str:
    """Sum up EC or EE: time and number, then the registers of both directions, newest first."""
    if len(edt) < 7 or len(edt) != 7 + 8 * edt[6]:
        raise Malformed(f"{len(edt)} bytes do not fit the number of values")
    normal = [edt[start : start + 4] for start in range(7, len(edt), 8)]
    return f"{_back_from(step_min, edt[:7], scale)}, {_range(normal, scale)}"


def _back_from(step_min: int, edt: bytes, scale: Scale | None) -> str:
    """Read ED or EF: a time without seconds, and how many values back from there."""
    if len(edt) != 7:
        return _hex(edt, scale)
    if edt[:2] == NO_YEAR:
        return "no time is set"
    newest = _date_time(edt[:6] + bytes(1))
    return f"{edt[6]} x {step_min} min back from {newest:%Y-%m-%d %H:%M}"


def _range(registers: Sequence[bytes], scale: Scale | None) -> str:
    """Return how many of these have a value, and between what they lie."""
    if scale is None:
        return f"{len(registers)} values (their unit is not known)"
    values = [_energy(register, scale) for register in registers]
    known = [value for value in values if not isinstance(value, Absent)]
    text = f"{len(known)} of {len(values)} values"
    return f"{text}, {plain(min(known))} to {plain(max(known))} kWh" if known else text


_ENERGY = Number(_energy, "kWh", needs_scale=True)
_POWER = Number(_power, "W")
_CURRENT = Number(_current, "A")
_HALF_HOUR_S = 1800.0

PROPERTIES = {
    row.epc: row
    for row in (
        PropertySpec(
            0xD0, "energy at the last minute, both directions", 15, _ENERGY, ("D0", "D0R"), 60.0
        ),
        PropertySpec(0xD3, "coefficient", 4, Number(_coefficient), ("D3",)),
        PropertySpec(0xD7, "number of effective digits", 1, Number(_digits), ("D7",)),
        PropertySpec(0xE0, "cumulative energy, normal direction", 4, _ENERGY, ("E0",)),
        PropertySpec(0xE1, "unit of cumulative energy", 1, Number(_energy_unit, "kWh"), ("E1",)),
        PropertySpec(0xE3, "cumulative energy, reverse direction", 4, _ENERGY, ("E3",)),
        PropertySpec(0xE7, "instantaneous power", 4, _POWER, ("E7",)),
        PropertySpec(0xE8, "instantaneous current, R and T phase", 4, _CURRENT, ("E8R", "E8T")),
        PropertySpec(0xEA, "half-hour energy, normal", 11, _ENERGY, ("EA",), _HALF_HOUR_S),
        PropertySpec(0xEB, "half-hour energy, reverse", 11, _ENERGY, ("EB",), _HALF_HOUR_S),
    )
}

UNRECORDED = {
    row.epc: row
    for row in (
        UnrecordedSpec(0xC0, "Route-B identification number", Kind.IDENTIFICATION, _hex),
        UnrecordedSpec(
            0xE2, "history of a day, normal direction", Kind.HISTORY, _day_history, (0xEA,)
        ),
        UnrecordedSpec(
            0xE4, "history of a day, reverse direction", Kind.HISTORY, _day_history, (0xEB,)
        ),
        UnrecordedSpec(0xE5, "day of that history", Kind.SETTING, _day),
        UnrecordedSpec(
            0xEC,
            "history of half hours, both directions",
            Kind.HISTORY,
            partial(_values_back, 30),
            (0xEA, 0xEB),
        ),
        UnrecordedSpec(0xED, "time of that history", Kind.SETTING, partial(_back_from, 30)),
        UnrecordedSpec(
            0xEE,
            "history of minutes, both directions",
            Kind.HISTORY,
            partial(_values_back, 1),
            (0xD0,),
        ),
        UnrecordedSpec(0xEF, "time of that history", Kind.SETTING, partial(_back_from, 1)),
    )
}

STAMPED_SENSORS = frozenset(
    sensor for row in PROPERTIES.values() if row.measured_every_s for sensor in row.sensors
)
"""SensorIDs whose readings have the meter's own time."""

UNIT_OF_SENSOR = {sensor: row.number.unit for row in PROPERTIES.values() for sensor in row.sensors}

_NO_SCALE = Scale(1, Decimal(1))  # for the rows that do not use it


def decode(epc: int, edt: bytes, scale: Scale | None) -> tuple[Value, ...]:
    """Turn the data of a property into numbers.

    Args:
        epc: a property that kei records.
        edt: its data as the meter sent it, any bytes.
        scale: the meter's coefficient and unit; may be None for rows that do not need it.

    Returns:
        a value for each SensorID of the property, in the order of the table.

    Raises:
        Malformed: not in the table, or of the wrong length.
        ImpossibleStamp: its time stamp cannot be right.
        ValueError: the scale is needed and missing; the caller's mistake.
    """
    spec = PROPERTIES.get(epc)
    if spec is None:
        raise Malformed(f"EPC {epc:02X} is not in the table")
    if len(edt) != spec.size:
        raise Malformed(f"EPC {epc:02X} has {len(edt)} bytes instead of {spec.size}")
    if spec.number.needs_scale and scale is None:
        raise ValueError(f"EPC {epc:02X} cannot be read before the unit (E1) is known")
    at, start = None, 0
    if spec.measured_every_s is not None:
        if edt.startswith(NO_TIME):
            return tuple(Value(sensor, Absent.NO_DATA) for sensor in spec.sensors)
        at, start = _date_time(edt[:TIME_STAMP_BYTES]), TIME_STAMP_BYTES
    size = (spec.size - start) // len(spec.sensors)
    values = []
    for sensor in spec.sensors:
        number = spec.number.decode(edt[start : start + size], scale or _NO_SCALE)
        values.append(Value(sensor, number, at))
        start += size
    return tuple(values)


def scale_number(epc: int, edt: bytes) -> Decimal | None:
    """Return the number of D3 or E1, which together are the scale; None if it is not usable."""
    try:
        (value,) = decode(epc, edt, None)
    except Malformed:
        return None
    return None if isinstance(value.value, Absent) else value.value
