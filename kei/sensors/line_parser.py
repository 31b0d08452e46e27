"""Bytes of a port into lines, and lines into what they say. No I/O, no clock, no state but a line.

A line is `UnitID,SensorID,Value[,DataID]`. Whatever arrives, memory stays bounded, and damage costs
the line it is in.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from kei.settings.serial import LineEnd

LINE_MAX_BYTES = 1024  # without its end; a longer one is skipped to its end
VALUE_LIMIT = Decimal("1e18")  # below it every value has its 4 decimals in any part of kei
SHOWN_BYTES = 80  # of a rejected line

_END = {LineEnd.LF: b"\n", LineEnd.CRLF: b"\r\n", LineEnd.CR: b"\r"}
_ID = r"[A-Za-z0-9_-]+"
_VALUE = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_GOOD = re.compile(rf"({_ID}),({_ID}),({_VALUE})(?:,({_ID}))?")


class Reason(StrEnum):
    """Why a line was not recorded."""

    ENCODING = "encoding"  # bytes that mean nothing in the encoding of the port
    CHARACTERS = "characters"  # unprintable ones: noise
    FIELDS = "fields"  # not three or four
    ID = "id"  # other than ASCII letters, digits, - and _
    VALUE = "value"  # no finite decimal number, or too large a one
    TOO_LONG = "too_long"  # more than 1024 bytes
    OUT_OF_RANGE = "out_of_range"  # of `min` and `max` of the series
    JUMP = "jump"  # by more than `variation` of the series
    REPEAT = "repeat"  # heard twice over the radio


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says.

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
    """Cuts what arrives into lines.

    Args:
        line_end: what ends one.
    """

    def __init__(self, line_end: LineEnd) -> None:
        self._end = _END[line_end]
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that have come to their end, without it; empty ones are left out.

        Of one that is too long the beginning comes at once, longer than `LINE_MAX_BYTES`, and
        nothing of the rest.
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
        """Start over: the port has been opened anew.

        Args:
            within_a_line: whether what comes first may be the end of a line without its beginning,
                which is skipped.
        """
        self._rest, self._skipping = b"", within_a_line


def parse(raw: bytes, encoding: str = "ascii") -> Line | Reason:
    """Return what a line says, or why it says nothing.

    Args:
        raw: a line without its end.
        encoding: of the port.
    """
    if len(raw) > LINE_MAX_BYTES:
        return Reason.TOO_LONG
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return Reason.ENCODING
    found = _GOOD.fullmatch(text)
    if found is None:
        return _what_is_wrong(text)
    unit, sensor, number, data_id = found.groups()
    value = Decimal(number)
    return Line(unit, sensor, value, data_id) if abs(value) < VALUE_LIMIT else Reason.VALUE


def _what_is_wrong(text: str) -> Reason:
    fields = text.split(",")
    if not text.isprintable():
        return Reason.CHARACTERS
    if not 3 <= len(fields) <= 4:
        return Reason.FIELDS
    ids = [*fields[:2], *fields[3:]]
    return Reason.VALUE if all(re.fullmatch(_ID, each) for each in ids) else Reason.ID


def shown(raw: bytes, encoding: str = "ascii") -> str:
    """Return the beginning of a line for the log: printable, everything else escaped."""
    text = raw[:SHOWN_BYTES].decode(encoding, "backslashreplace")
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return safe + "..." if len(raw) > SHOWN_BYTES else safe
