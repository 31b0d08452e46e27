"""The line parser: splits the bytes of a port into lines `UnitID,SensorID,Value[,DataID]`. No I/O.

Blanks and tabs round a field are no part of it. Memory is bounded whatever arrives, and a damaged
byte costs no more than its line.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from kei.settings.serial import LineEnd

LINE_MAX_BYTES = 1024  # without its end; a longer one is skipped to its end
VALUE_LIMIT = Decimal("1e18")  # below it every part of kei keeps 4 decimals
SHOWN_BYTES = 80  # of a rejected line, in the log

_END = {LineEnd.LF: b"\n", LineEnd.CRLF: b"\r\n", LineEnd.CR: b"\r"}
_ID = r"[A-Za-z0-9_-]+"
_VALUE = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_PAD = "[ \\t]*"  # round each field: dtostrf() of an Arduino pads a value with blanks
_COMMA = f"{_PAD},{_PAD}"
_LINE = re.compile(rf"{_PAD}({_ID}){_COMMA}({_ID}){_COMMA}({_VALUE})(?:{_COMMA}({_ID}))?{_PAD}")


class Reason(StrEnum):
    """Why a line was not recorded."""

    ENCODING = "encoding"  # bytes that are invalid in the encoding of the port
    CHARACTERS = "characters"  # unprintable characters: noise
    FIELDS = "fields"  # not three or four fields
    ID = "id"  # an ID with other characters than ASCII letters, digits, - and _
    VALUE = "value"  # not a finite decimal number, or too large
    TOO_LONG = "too_long"  # more than 1024 bytes
    OUT_OF_RANGE = "out_of_range"  # below `min` or above `max` of the series
    JUMP = "jump"  # a step of more than `variation` of the series
    REPEAT = "repeat"  # received again over the radio
    TOO_MANY_SERIES = "too_many_series"  # one more than 1000 series of the port


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed line.

    Attributes:
        unit: UnitID.
        sensor: SensorID.
        value: finite.
        data_id: DataID; None where the line has none.
    """

    unit: str
    sensor: str
    value: Decimal
    data_id: str | None


class Splitter:
    """Splits what arrives into lines."""

    def __init__(self, line_end: LineEnd) -> None:
        self._end = _END[line_end]
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their end; empty ones are left out.

        Of a line that is too long only the beginning is returned, at once: one byte more than
        `LINE_MAX_BYTES`.
        """
        lines = (self._rest + data).split(self._end)
        rest = lines.pop()
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if len(rest) > LINE_MAX_BYTES:
            if not self._skipping:
                lines.append(rest[: LINE_MAX_BYTES + 1])
            self._skipping = True
            rest = rest[1 - len(self._end) :] if len(self._end) > 1 else b""
        self._rest = rest
        bare = (line.rstrip(b"\r\n") for line in lines)
        return [line for line in bare if line]

    def begin(self, *, within_a_line: bool) -> None:
        """Start over, as the port has been opened again.

        Args:
            within_a_line: whether the first bytes may be the rest of a line, which is skipped.
        """
        self._rest, self._skipping = b"", within_a_line


def parse(raw: bytes, encoding: str = "ascii") -> Line | Reason:
    """Return what a line without its end says, or why it is none."""
    if len(raw) > LINE_MAX_BYTES:
        return Reason.TOO_LONG
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return Reason.ENCODING
    found = _LINE.fullmatch(text)
    if found is None:
        return _reason(text)
    unit, sensor, number, data_id = found.groups()
    value = Decimal(number)
    return Line(unit, sensor, value, data_id) if abs(value) < VALUE_LIMIT else Reason.VALUE


def _reason(text: str) -> Reason:
    fields = [field.strip(" \t") for field in text.split(",")]
    if not "".join(fields).isprintable():
        return Reason.CHARACTERS
    if not 3 <= len(fields) <= 4:
        return Reason.FIELDS
    ids = [*fields[:2], *fields[3:]]
    return Reason.VALUE if all(re.fullmatch(_ID, each) for each in ids) else Reason.ID


def printable(raw: bytes, encoding: str = "ascii") -> str:
    """Return the beginning of a line for the log, with everything unprintable escaped."""
    text = raw[:SHOWN_BYTES].decode(encoding, "backslashreplace")
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return safe + "..." if len(raw) > SHOWN_BYTES else safe
