"""The low-voltage smart electric energy meter, class 0x0288, as one table of data.

A new property is a new row of `PROPERTIES`. Sizes, ranges and the codes that mean "no value"
are those of the ECHONET Machine Readable Appendix, release R, class 0x0288. All numbers are
exact: integers and decimals, never floating point.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from kei.core.errors import Malformed

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
NO_DATA_U32 = 0xFFFFFFFE
NO_DATA_I32, OVERFLOW_I32, UNDERFLOW_I32 = 0x7FFFFFFE, 0x7FFFFFFF, -0x80000000
NO_DATA_I16, OVERFLOW_I16, UNDERFLOW_I16 = 0x7FFE, 0x7FFF, -0x8000

EPC_COEFFICIENT = 0xD3
EPC_DIGITS = 0xD7
EPC_ENERGY_UNIT = 0xE1


class Absent(StrEnum):
    """Why a property that was answered has no value."""

    NO_DATA = "no_data"
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"
    OUT_OF_RANGE = "out_of_range"


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
        at: the meter's own time stamp, local time without zone, where it sent one.
    """

    sensor: str
    value: Decimal | Absent
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """A row of the table.

    Attributes:
        epc: the property code.
        name: what it is, in English.
        size: length of its data in bytes.
        decode: data of that length and the scale, to values.
        needs_scale: whether it is meaningless before the unit (E1) is known.
        notified: whether the meter sends it by itself at :00 and :30.
    """

    epc: int
    name: str
    size: int
    decode: Callable[[bytes, Scale], tuple[Value, ...]]
    needs_scale: bool = False
    notified: bool = False


def _coefficient(edt: bytes, _: Scale) -> tuple[Value, ...]:
    count = int.from_bytes(edt, "big")
    if count > COEFFICIENT_MAX:
        return (Value("D3", Absent.OUT_OF_RANGE),)
    return (Value("D3", Decimal(count)),)


def _digits(edt: bytes, _: Scale) -> tuple[Value, ...]:
    if not 1 <= edt[0] <= 8:
        return (Value("D7", Absent.OUT_OF_RANGE),)
    return (Value("D7", Decimal(edt[0])),)


def _energy_unit(edt: bytes, _: Scale) -> tuple[Value, ...]:
    return (Value("E1", ENERGY_UNITS.get(edt[0], Absent.OUT_OF_RANGE)),)


def _kwh(edt: bytes, scale: Scale) -> Decimal | Absent:
    count = int.from_bytes(edt, "big")
    if count == NO_DATA_U32:
        return Absent.NO_DATA
    if count > ENERGY_MAX:
        return Absent.OUT_OF_RANGE
    return scale.kwh(count)


def _energy(sensor: str) -> Callable[[bytes, Scale], tuple[Value, ...]]:
    def decode_energy(edt: bytes, scale: Scale) -> tuple[Value, ...]:
        return (Value(sensor, _kwh(edt, scale)),)

    return decode_energy


def _dated_energy(sensor: str) -> Callable[[bytes, Scale], tuple[Value, ...]]:
    def decode_dated_energy(edt: bytes, scale: Scale) -> tuple[Value, ...]:
        if edt[:4] == b"\xff\xff\xff\xff":
            return (Value(sensor, Absent.NO_DATA),)
        return (Value(sensor, _kwh(edt[7:], scale), at=date_time(edt[:7])),)

    return decode_dated_energy


def _power(edt: bytes, _: Scale) -> tuple[Value, ...]:
    watt = int.from_bytes(edt, "big", signed=True)
    absent = {
        NO_DATA_I32: Absent.NO_DATA,
        OVERFLOW_I32: Absent.OVERFLOW,
        UNDERFLOW_I32: Absent.UNDERFLOW,
    }.get(watt)
    return (Value("E7", absent or Decimal(watt)),)


def _current(edt: bytes, _: Scale) -> tuple[Value, ...]:
    return (Value("E8R", _ampere(edt[:2])), Value("E8T", _ampere(edt[2:])))


def _ampere(edt: bytes) -> Decimal | Absent:
    tenths = int.from_bytes(edt, "big", signed=True)
    absent = {
        NO_DATA_I16: Absent.NO_DATA,
        OVERFLOW_I16: Absent.OVERFLOW,
        UNDERFLOW_I16: Absent.UNDERFLOW,
    }.get(tenths)
    return absent or Decimal(tenths).scaleb(-1)


def date_time(edt: bytes) -> datetime:
    """Read the meter's seven-byte time: year (two bytes), month, day, hour, minute, second.

    Raises:
        Malformed: not a date.
    """
    try:
        return datetime(int.from_bytes(edt[:2], "big"), *edt[2:7])  # noqa: DTZ001 - meter's local time
    except ValueError as error:
        raise Malformed(f"no date: {edt[:7].hex()} ({error})") from None


PROPERTIES: dict[int, PropertySpec] = {
    spec.epc: spec
    for spec in (
        PropertySpec(0xD3, "coefficient", 4, _coefficient),
        PropertySpec(0xD7, "number of effective digits", 1, _digits),
        PropertySpec(0xE0, "cumulative energy, normal direction", 4, _energy("E0"), True),
        PropertySpec(0xE1, "unit of cumulative energy", 1, _energy_unit),
        PropertySpec(0xE3, "cumulative energy, reverse direction", 4, _energy("E3"), True),
        PropertySpec(0xE7, "instantaneous power", 4, _power),
        PropertySpec(0xE8, "instantaneous current, R and T phase", 4, _current),
        PropertySpec(0xEA, "half-hour energy, normal", 11, _dated_energy("EA"), True, True),
        PropertySpec(0xEB, "half-hour energy, reverse", 11, _dated_energy("EB"), True, True),
    )
}

_NO_SCALE = Scale(1, Decimal(1))  # for the rows that do not use it


def decode(epc: int, edt: bytes, scale: Scale | None) -> tuple[Value, ...]:
    """Turn the data of a property into numbers.

    Args:
        epc: a property of the table.
        edt: its data as the meter sent it, any bytes.
        scale: the meter's coefficient and unit; may be None for rows that do not need it.

    Returns:
        a value for each SensorID of the property, in the order of the table.

    Raises:
        Malformed: not in the table, of the wrong length, or with an impossible date.
        ValueError: the scale is needed and missing; the caller's mistake.
    """
    spec = PROPERTIES.get(epc)
    if spec is None:
        raise Malformed(f"EPC {epc:02X} is not in the table")
    if len(edt) != spec.size:
        raise Malformed(f"EPC {epc:02X} has {len(edt)} bytes instead of {spec.size}")
    if spec.needs_scale and scale is None:
        raise ValueError(f"EPC {epc:02X} cannot be read before the unit (E1) is known")
    return spec.decode(edt, scale or _NO_SCALE)
