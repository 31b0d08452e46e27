"""Splits the bytes from the host, in any portions, into commands. No I/O.

A command is a line that ends with CR, and may be empty; a LF behind it, or anywhere else before a
line, is skipped.
`SKSENDTO` is the exception: its last space is followed by exactly as many raw bytes as its length
says, which may contain CR and LF, and by no line end.
"""

import re
from dataclasses import dataclass

# The longest datagram (1232 bytes, protocol limit 04D0) with its header fits twice.
MAX_BUFFER_BYTES = 4096
MAX_LINE_BYTES = 2048
MAX_PAYLOAD_BYTES = 0x04D0

_SENDTO = b"SKSENDTO "
_HEADER = re.compile(
    rb"SKSENDTO ([^ \r]*) ([^ \r]*) ([^ \r]*) ([^ \r]*) (?:([^ \r]) )?([^ \r]{2,}) "
)
_LENGTH = re.compile(rb"[0-9A-Fa-f]{4}")


@dataclass(frozen=True, slots=True)
class Line:
    """A command line, without its end."""

    text: bytes


EMPTY_LINE = Line(b"")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A complete SKSENDTO; its arguments are unchecked.

    Attributes:
        header: as received, from the command's name to the space behind the length.
        side: B route or HAN; None where the host left it out.
    """

    header: bytes
    handle: str
    address: str
    port: str
    security: str
    side: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class BadHeader:
    """A SKSENDTO whose length is illegal, so that it has no payload."""

    header: bytes


@dataclass(frozen=True, slots=True)
class Overrun:
    """A line that was too long, and dropped."""


Command = Line | Datagram | BadHeader | Overrun


class CommandReader:
    """A buffer of bytes from which commands are taken one at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False  # the rest of a line that was too long

    def feed(self, data: bytes) -> None:
        """Take bytes from the host; those beyond the bound are lost, as in a UART."""
        self._buffer += data[: MAX_BUFFER_BYTES - len(self._buffer)]

    def clear(self) -> None:
        """Drop what is buffered."""
        self._buffer.clear()
        self._skipping = False

    @property
    def is_empty(self) -> bool:
        """Whether no command has begun."""
        return not self._buffer and not self._skipping

    def next(self) -> Command | None:
        """Return the next complete command, or None until more bytes have come."""
        if self._skipping:
            end = self._buffer.find(b"\r")
            del self._buffer[: end + 1 if end >= 0 else len(self._buffer)]
            self._skipping = end < 0
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\n"))]
        header = _HEADER.match(self._buffer) if self._buffer.startswith(_SENDTO) else None
        if header is not None:
            return self._datagram(header)
        return self._line() or self._overrun()

    def _line(self) -> Line | None:
        end = self._buffer.find(b"\r")
        if end < 0:
            return None
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return Line(text)

    def _overrun(self) -> Overrun | None:
        if len(self._buffer) <= MAX_LINE_BYTES:
            return None
        self._buffer.clear()
        self._skipping = True
        return Overrun()

    def _datagram(self, match: re.Match[bytes]) -> Datagram | BadHeader | None:
        header = match.group()
        length = match.group(6)
        size = int(length, 16) if _LENGTH.fullmatch(length) else 0
        end = len(header) + size
        if not 1 <= size <= MAX_PAYLOAD_BYTES:
            del self._buffer[: len(header)]
            return BadHeader(header)
        if len(self._buffer) < end:
            return None
        handle, address, port, security = (
            field.decode("latin-1") for field in match.group(1, 2, 3, 4)
        )
        side = None if match.group(5) is None else match.group(5).decode("latin-1")
        payload = bytes(self._buffer[len(header) : end])
        del self._buffer[:end]
        return Datagram(header, handle, address, port, security, side, payload)
