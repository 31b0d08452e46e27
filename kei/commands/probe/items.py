"""The data of one property as a probe shows it: decoded where kei knows how, else as hex."""

from collections.abc import Mapping
from dataclasses import dataclass

from kei.commands.probe.questions import EPC_BROUTE_ID, Got, Missing
from kei.core.errors import Malformed
from kei.core.reading import plain
from kei.echonet.meter_class import (
    EPC_COEFFICIENT,
    EPC_ENERGY_UNIT,
    PROPERTIES,
    Absent,
    Scale,
    Value,
    date_time,
    decode,
)
from kei.echonet.superclass import SUPER_PROPERTIES, describe

COEFFICIENT_WHERE_ABSENT = 1  # class 0x0288, EPC D3
HALF_HOURS_A_DAY = 48
NO_DAY = 0xFF
NO_YEAR = b"\xff\xff"

_UNITS = {
    0xE0: "kWh",
    0xE1: "kWh",
    0xE3: "kWh",
    0xE7: "W",
    0xE8: "A",
    0xEA: "kWh",
    0xEB: "kWh",
}

# Properties of the class 0x0288 that kei does not record.
_OTHER_NAMES = {
    EPC_BROUTE_ID: "Route-B identification number",
    0xD0: "energy at the last minute, both directions",
    0xE2: "history of a day, normal direction",
    0xE4: "history of a day, reverse direction",
    0xE5: "day of that history",
    0xEC: "history of half hours, both directions",
    0xED: "time of that history",
    0xEE: "history of minutes, both directions",
    0xEF: "time of that history",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One property.

    Attributes:
        epc: the property code.
        name: what it is, in English; empty where kei does not know.
        edt: its data, or why there are none.
        text: what it says, for people.
        values: the numbers in it, where kei knows them.
        unit: of these numbers, or empty.
    """

    epc: int
    name: str
    edt: Got
    text: str
    values: tuple[Value, ...] = ()
    unit: str = ""


def scale_of(got: Mapping[int, Got]) -> Scale | None:
    """Return what turns counts into kWh; None where the meter has not told."""
    unit = _number(EPC_ENERGY_UNIT, got.get(EPC_ENERGY_UNIT))
    if unit is None or isinstance(unit.value, Absent):
        return None
    asked = got.get(EPC_COEFFICIENT, Missing.REFUSED)
    if asked is Missing.REFUSED:
        return Scale(COEFFICIENT_WHERE_ABSENT, unit.value)
    coefficient = _number(EPC_COEFFICIENT, asked)
    if coefficient is None or isinstance(coefficient.value, Absent):
        return None
    return Scale(int(coefficient.value), unit.value)


def _number(epc: int, edt: Got | None) -> Value | None:
    if edt is None or isinstance(edt, Missing):
        return None
    try:
        return decode(epc, edt, None)[0]
    except Malformed:
        return None


def item(epc: int, edt: Got, scale: Scale | None) -> Item:
    """Return a property as it is shown; any bytes are safe."""
    name = _name(epc)
    if isinstance(edt, Missing):
        return Item(epc, name, edt, edt.value)
    if epc in PROPERTIES:
        return _measured(epc, name, edt, scale)
    if epc in SUPER_PROPERTIES:
        return Item(epc, name, edt, describe(epc, edt))
    try:
        return Item(epc, name, edt, _history(epc, edt, scale))
    except Malformed as error:
        return Item(epc, name, edt, f"{_hex(edt)} ({error})")


def _name(epc: int) -> str:
    for table in (PROPERTIES, SUPER_PROPERTIES):
        if epc in table:
            return table[epc].name
    return _OTHER_NAMES.get(epc, "")


def _hex(edt: bytes) -> str:
    return edt.hex().upper()


def _measured(epc: int, name: str, edt: bytes, scale: Scale | None) -> Item:
    if PROPERTIES[epc].needs_scale and scale is None:
        return Item(epc, name, edt, f"{_hex(edt)} (its unit is not known)")
    try:
        values = decode(epc, edt, scale)
    except Malformed as error:
        return Item(epc, name, edt, f"{_hex(edt)} ({error})")
    unit = _UNITS.get(epc, "")
    texts = [_text(value, unit) for value in values]
    if len(values) > 1:
        texts = [f"{value.sensor} {text}" for value, text in zip(values, texts, strict=True)]
    return Item(epc, name, edt, ", ".join(texts), values, unit)


def _text(value: Value, unit: str) -> str:
    if isinstance(value.value, Absent):
        return value.value.value.replace("_", " ")
    text = f"{plain(value.value)} {unit}".rstrip()
    return text if value.at is None else f"{text} at {value.at}"


def _history(epc: int, edt: bytes, scale: Scale | None) -> str:
    match epc:
        case 0xE2 | 0xE4:
            return _day(edt, scale)
        case 0xE5 if len(edt) == 1:
            return _days_ago(edt[0])
        case 0xEC:
            return _half_hours(edt, scale)
        case 0xED if len(edt) == 7:
            return _start(edt)
    return _hex(edt)


def _days_ago(days: int) -> str:
    words = {0: "today", 1: "yesterday", NO_DAY: "no day is set"}
    return words.get(days, f"{days} days ago")


def _day(edt: bytes, scale: Scale | None) -> str:
    """Sum up E2 or E4: the day (E5), and the register at each of its half hours, oldest first."""
    if len(edt) != 2 + 4 * HALF_HOURS_A_DAY:
        raise Malformed(f"{len(edt)} bytes instead of {2 + 4 * HALF_HOURS_A_DAY}")
    return f"{_days_ago(int.from_bytes(edt[:2], 'big'))}, {_registers(edt[2:], 4, scale)}"


def _half_hours(edt: bytes, scale: Scale | None) -> str:
    """Sum up EC: time and number (ED), then both registers, newest first."""
    if len(edt) < 7 or len(edt) != 7 + 8 * edt[6]:
        raise Malformed(f"{len(edt)} bytes do not fit the number of half hours")
    return f"{_start(edt)}, {_registers(edt[7:], 8, scale)}"


def _start(edt: bytes) -> str:
    """Read ED, the head of EC: a time without seconds, and how many half hours back from there."""
    if edt[:2] == NO_YEAR:
        return "no time is set"
    return f"{edt[6]} x 30 min back from {date_time(edt[:6] + bytes(1)):%Y-%m-%d %H:%M}"


def _registers(data: bytes, step: int, scale: Scale | None) -> str:
    """Sum up the register that begins each step of the data."""
    counts = [data[start : start + 4] for start in range(0, len(data), step)]
    if scale is None:
        return f"{len(counts)} values (their unit is not known)"
    values = [decode(0xE0, count, scale)[0].value for count in counts]
    known = [value for value in values if not isinstance(value, Absent)]
    text = f"{len(known)} of {len(counts)} values"
    return f"{text}, {plain(min(known))} to {plain(max(known))} kWh" if known else text
