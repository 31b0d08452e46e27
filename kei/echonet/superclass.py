"""The properties that every ECHONET Lite device has (super class, 0x80 to 0x9F), as one table.

Their data are turned into texts for people, never into readings; the clock into a time to compare
with. Names and codes are those of the ECHONET Machine Readable Appendix, release R, super class
0x0000.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo

from kei.core.errors import Malformed
from kei.echonet.frame import property_map

EPC_VERSION = 0x82
EPC_MAKER = 0x8A
EPC_SERIAL_NUMBER = 0x8D
EPC_TIME, EPC_DATE = 0x97, 0x98  # of the device's own clock
EPC_ANNOUNCED = 0x9D
EPC_SETTABLE = 0x9E
EPC_READABLE = 0x9F

# Manufacturer codes of makers of meters (ECHONET Consortium, list of codes).
MAKERS = {
    0x000001: "Hitachi",
    0x000006: "Mitsubishi Electric",
    0x000012: "Oi Electric",
    0x000016: "Toshiba",
    0x00002E: "Shikoku Instrumentation",
    0x000035: "Toshiba Toko Meter Systems",
    0x000041: "Enegate",
    0x000048: "Oki Electric Industry",
    0x000052: "Osaki Electric",
    0x000085: "Takaoka Toko",
    0x00008C: "Kyuden Technosystems",
}


@dataclass(frozen=True, slots=True)
class SuperProperty:
    """A row of the table.

    Attributes:
        epc: the property code.
        name: what it is, in English.
        text: its data to a text for people; None if they do not fit the standard.
    """

    epc: int
    name: str
    text: Callable[[bytes], str | None]


def _hex(edt: bytes) -> str:
    return edt.hex().upper()


def _version(edt: bytes) -> str | None:
    if len(edt) != 4 or not chr(edt[2]).isascii() or not chr(edt[2]).isalpha():
        return None
    return f"Release {chr(edt[2])}, revision {edt[3]}"


def _maker(edt: bytes) -> str | None:
    if len(edt) != 3:
        return None
    name = MAKERS.get(int.from_bytes(edt, "big"))
    return f"{_hex(edt)} ({name})" if name else _hex(edt)


def _ascii(edt: bytes) -> str | None:
    """Read a text that is filled up with zero bytes."""
    text = edt.rstrip(b"\0").decode("ascii", "replace").strip()
    return text if text.isascii() and text.isprintable() and text else None


def _day(edt: bytes) -> date | None:
    try:
        return date(int.from_bytes(edt[:2], "big"), *edt[2:])
    except (TypeError, ValueError):
        return None


def _minute(edt: bytes) -> time | None:
    try:
        return time(*edt) if len(edt) == 2 else None
    except ValueError:
        return None


def _date(edt: bytes) -> str | None:
    day = _day(edt)
    return day.isoformat() if day else None


def _time(edt: bytes) -> str | None:
    minute = _minute(edt)
    return None if minute is None else minute.isoformat("minutes")


def _map(edt: bytes) -> str | None:
    try:
        return " ".join(f"{epc:02X}" for epc in sorted(property_map(edt)))
    except Malformed:
        return None


SUPER_PROPERTIES: dict[int, SuperProperty] = {
    row.epc: row
    for row in (
        SuperProperty(0x80, "operation status", {b"\x30": "on", b"\x31": "off"}.get),
        SuperProperty(0x81, "installation location", _hex),
        SuperProperty(EPC_VERSION, "standard version", _version),
        SuperProperty(0x83, "identification number", _hex),
        SuperProperty(0x86, "manufacturer's fault code", _hex),
        SuperProperty(0x88, "fault status", {b"\x41": "fault", b"\x42": "no fault"}.get),
        SuperProperty(0x89, "fault description", _hex),
        SuperProperty(EPC_MAKER, "manufacturer", _maker),
        SuperProperty(0x8B, "business facility", _hex),
        SuperProperty(0x8C, "product code", _ascii),
        SuperProperty(EPC_SERIAL_NUMBER, "production number", _ascii),
        SuperProperty(0x8E, "production date", _date),
        SuperProperty(EPC_TIME, "current time", _time),
        SuperProperty(EPC_DATE, "current date", _date),
        SuperProperty(EPC_ANNOUNCED, "properties that it announces", _map),
        SuperProperty(EPC_SETTABLE, "properties that can be set", _map),
        SuperProperty(EPC_READABLE, "properties that can be read", _map),
    )
}


def clock_of(date_edt: bytes, time_edt: bytes, zone: tzinfo) -> datetime:
    """Return what a device's clock shows, which has no seconds.

    Args:
        date_edt: the data of EPC 98, any bytes.
        time_edt: the data of EPC 97, any bytes.
        zone: of the device.

    Raises:
        Malformed: they are no date and time.
    """
    day, minute = _day(date_edt), _minute(time_edt)
    if day is None or minute is None:
        raise Malformed(f"no date and time: {_hex(date_edt)} {_hex(time_edt)}")
    return datetime.combine(day, minute, zone)


def describe(epc: int, edt: bytes) -> str:
    """Return the data of a property of the table for people; any bytes are safe.

    Returns:
        its meaning; hex digits where it has none, or the data do not fit.
    """
    text = SUPER_PROPERTIES[epc].text(edt)
    return _hex(edt) if text is None else text
