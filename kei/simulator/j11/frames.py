"""The frames of the J11 modules, from the module's side. No I/O.

Source: J11 UART IF specification 1.2 (ROHM and ISB), chapters 2 and 11.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

REQUEST, RESPONSE = bytes.fromhex("D0EA83FC"), bytes.fromhex("D0F9EE5D")
RESPONSE_OFFSET = 0x2000  # from the code of a request to that of its response
HEADER_ERROR, CODE_ERROR = 0x2FFF, 0xFFFF  # responses to requests whose code is not known
_HEADER = struct.Struct(">HHHH")  # code, length, sum of the header, sum of the data
_SUMS = 4  # bytes of the sums, which the length counts
HEADER_BYTES = len(REQUEST) + _HEADER.size
MAX_LENGTH = 1353
UNFINISHED_S = 1.0  # after each byte; then the module does not wait for more


class Result(IntEnum):
    """The first byte of a response (table 34)."""

    DONE = 0x01
    BAD_CODE = 0x03
    RANGE = 0x04
    NO_SUCH_DEVICE = 0x06
    PORT_OPEN = 0x0A
    PORT_NOT_OPEN = 0x0B
    NO_BEACON = 0x0E
    BROUTE_NOT_STARTED = 0x10
    SIZE = 0x11
    TOO_MANY_PORTS = 0x12
    UNFINISHED = 0x13
    RUNNING = 0x34
    AUTHENTICATED = 0x35
    NOTHING_STARTED = 0x37
    PING_GOES_ON = 0x3C
    BUSY = 0x3D
    NO_CREDENTIALS = 0x51
    PANA_GOES_ON = 0x52
    HEADER_SUM = 0xF0
    DATA_SUM = 0xF1
    TOO_SHORT = 0xF2
    TOO_LONG = 0xF3


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request, whose code and data are unchecked."""

    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A request that cannot be read, and what is answered to it."""

    response: int
    result: Result


def from_module(code: int, data: bytes) -> bytes:
    """Return a response or a notification."""
    head = RESPONSE + struct.pack(">HH", code, _SUMS + len(data))
    return head + struct.pack(">HH", sum(head) & 0xFFFF, sum(data) & 0xFFFF) + data


class FrameReader:
    """Takes the bytes of the host, in any portions, as requests.

    Args:
        zero_sums: whether a sum of 0 is taken for any, as some drivers need and firmware seems to
            do; the specification does not say so.
    """

    def __init__(self, *, zero_sums: bool) -> None:
        self._zero_sums = zero_sums
        self._buffer = bytearray()
        self._fed_at = 0.0

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes at a monotonic time."""
        self._buffer += data
        self._fed_at = now

    def clear(self) -> None:
        """Drop what is buffered."""
        self._buffer.clear()

    def unfinished_at(self) -> float | None:
        """Return when a request that has begun is given up; None if none has."""
        return self._fed_at + UNFINISHED_S if self._buffer else None

    def next(self, now: float) -> Request | Unreadable | None:
        """Return the next request, or None until more bytes have come."""
        buffer = self._buffer
        self._skip_junk()
        if len(buffer) >= HEADER_BYTES:
            code, length, header_sum, data_sum = _HEADER.unpack_from(buffer, len(REQUEST))
            if not self._is_sum(header_sum, bytes(buffer[: len(REQUEST) + 4])):
                return self._unreadable(HEADER_ERROR, Result.HEADER_SUM)
            if not _SUMS <= length <= MAX_LENGTH:
                result = Result.TOO_SHORT if length < _SUMS else Result.TOO_LONG
                return self._unreadable(code + RESPONSE_OFFSET, result)
            size = HEADER_BYTES + length - _SUMS
            if len(buffer) >= size:
                data = bytes(buffer[HEADER_BYTES:size])
                del buffer[:size]
                if not self._is_sum(data_sum, data):
                    return Unreadable(code + RESPONSE_OFFSET & 0xFFFF, Result.DATA_SUM)
                return Request(code, data)
        if buffer and now >= self._fed_at + UNFINISHED_S:
            return self._give_up()
        return None

    def _skip_junk(self) -> None:
        buffer = self._buffer
        at = buffer.find(REQUEST)
        if at < 0:  # but for its last bytes, which may begin one
            ends = (
                size for size in range(len(REQUEST) - 1, 0, -1) if buffer.endswith(REQUEST[:size])
            )
            at = len(buffer) - next(ends, 0)
        del buffer[:at]

    def _is_sum(self, given: int, data: bytes) -> bool:
        return given == sum(data) & 0xFFFF or (self._zero_sums and given == 0)

    def _give_up(self) -> Unreadable | None:
        has_header = len(self._buffer) >= HEADER_BYTES
        code = int.from_bytes(self._buffer[4:6], "big")
        found = self._unreadable(code + RESPONSE_OFFSET, Result.UNFINISHED)
        return found if has_header else None

    def _unreadable(self, response: int, result: Result) -> Unreadable:
        self._buffer.clear()
        return Unreadable(response & 0xFFFF, result)
