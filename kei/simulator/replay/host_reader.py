"""The commands of a host in either grammar: lines of SKSTACK-IP and frames of J11."""

from dataclasses import dataclass

from kei.simulator.j11.frames import HEADER_BYTES, REQUEST
from kei.simulator.skstack.command_reader import Command, CommandReader

MASK = b"***"
_MASKED_AT = 10  # the sum of the data, and they themselves
_SUMS = 4  # bytes, which the length counts


@dataclass(frozen=True, slots=True)
class Frame:
    """A request of J11; `data` is None where a recording has masked them."""

    code: int
    data: bytes | None


HostCommand = Command | Frame


class HostReader:
    """A buffer of bytes from which commands are taken one at a time.

    What comes while a line of SKSTACK-IP is not finished belongs to it: its datagrams may hold
    anything.
    """

    def __init__(self) -> None:
        self._lines = CommandReader()
        self._frame = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes from the host."""
        self._frame += data

    @property
    def is_empty(self) -> bool:
        """Whether no command has begun."""
        return self._lines.is_empty and not self._frame

    def next(self) -> HostCommand | None:
        """Return the next complete command, or None until more bytes have come."""
        while (line := self._lines.next()) is None and self._frame:
            buffer = self._frame
            begins = REQUEST.startswith(buffer[: len(REQUEST)]) and self._lines.is_empty
            if begins:
                return self._take_frame()
            self._lines.feed(bytes(buffer[:1]))
            del buffer[:1]
        return line

    def _take_frame(self) -> Frame | None:
        buffer = self._frame
        if len(buffer) < HEADER_BYTES:
            return None
        code, length = int.from_bytes(buffer[4:6], "big"), int.from_bytes(buffer[6:8], "big")
        if buffer.startswith(MASK, _MASKED_AT):
            del buffer[: _MASKED_AT + len(MASK)]
            return Frame(code, None)
        end = HEADER_BYTES + max(0, length - _SUMS)
        if len(buffer) < end:
            return None
        data = bytes(buffer[HEADER_BYTES:end])
        del buffer[:end]
        return Frame(code, data)
