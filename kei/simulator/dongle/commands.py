"""Arguments of SK commands: taken apart and checked, with the refusal that the dongle gives."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kei.simulator.dongle.wire import CRLF, Fail, Refused

_HEX = re.compile(r"[0-9A-Fa-f]+")
_ADDRESS = re.compile(r"[0-9A-F]{4}(:[0-9A-F]{4}){7}")


class Arguments:
    """The arguments of one command, by position."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, position: int) -> str:
        """Return an argument as it stands."""
        return self._texts[position]

    def number(self, position: int, *, digits: int, allowed: Iterable[int]) -> int:
        """Return a hexadecimal number.

        Args:
            position: which argument, from 0.
            digits: how many it has at most.
            allowed: its legal values, best a `range`.

        Raises:
            Refused: not hexadecimal, too long, or not allowed.
        """
        text = self._texts[position]
        if len(text) > digits or not _HEX.fullmatch(text):
            raise Refused(Fail.RANGE)
        value = int(text, 16)
        if value not in allowed:
            raise Refused(Fail.RANGE)
        return value

    def address(self, position: int) -> str:
        """Return an IPv6 address.

        Raises:
            Refused: not all eight groups, or not in upper case.
        """
        return checked_address(self._texts[position])

    def mac(self, position: int) -> int:
        """Return a MAC address of 16 digits.

        Raises:
            Refused: it is none.
        """
        text = self._texts[position]
        if len(text) != 16 or not _HEX.fullmatch(text):
            raise Refused(Fail.RANGE)
        return int(text, 16)


def checked_address(text: str) -> str:
    """Return an IPv6 address if it is one as the dongle wants it.

    Raises:
        Refused: not all eight groups, or not in upper case.
    """
    if not _ADDRESS.fullmatch(text):
        raise Refused(Fail.RANGE)
    return text


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command ends.

    Attributes:
        data: everything behind the echo.
        delay_s: from the command to its last byte; None is the usual one.
        then: called when the reply is out, with that time.
    """

    data: bytes
    delay_s: float | None = None
    then: Callable[[float], None] | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the table.

    Attributes:
        run: carries it out at a monotonic time.
        counts: how many arguments it takes.
        end: how its echo ends.
    """

    run: Callable[[Arguments, float], Reply]
    counts: tuple[int, ...] = (0,)
    end: bytes = CRLF


def split(line: str) -> tuple[str, tuple[str, ...]]:
    """Return a command's name and arguments; spaces at the end are tolerated, as seen."""
    name, *arguments = line.rstrip(" ").split(" ")
    return name, tuple(arguments)
