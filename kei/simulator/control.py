"""What can be said to a simulator while it runs: one line each, answered by one line."""

import errno
import os
import stat
from collections.abc import Callable
from difflib import get_close_matches
from typing import Protocol

from kei.core.errors import ConfigError
from kei.simulator.faults import FaultSpec, parse_fault
from kei.simulator.household.adjustable import MAX_WATT

HELP = "fault SPEC | clear | power WATT | power auto | unplug | help"
_READ_BYTES = 4096
_MAX_LINE_BYTES = 1000


class Controlled(Protocol):
    """The dongle, as far as it can be told what to do.

    Attributes:
        unplugged: whether its port is taken away.
    """

    unplugged: bool

    def add_fault(self, spec: FaultSpec, now: float) -> None:
        """Make something go wrong from now on, monotonic seconds."""

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""

    def set_power(self, watt: int | None) -> None:
        """Have the household draw this from now on, W; None is its own power again."""

    def unplug(self) -> None:
        """Have the port taken away for a while."""


def carry_out(line: str, dongle: Controlled, now: float) -> str:
    """Do what a line says.

    Args:
        line: one of the commands of `HELP`.
        dongle: to whom.
        now: monotonic seconds.

    Returns:
        one line for whoever said it.

    Raises:
        ConfigError: it cannot be done; one line, too.
    """
    match line.split():
        case ["fault", text]:
            dongle.add_fault(parse_fault(text), now)
            return f"fault {text}, counted from now on"
        case ["clear"]:
            dongle.clear_faults()
            return "no faults any more"
        case ["power", "auto"]:
            dongle.set_power(None)
            return "the household's own power"
        case ["power", text]:
            watt = _watt(text)
            dongle.set_power(watt)
            return f"{watt} W from now on"
        case ["unplug"]:
            if dongle.unplugged:
                raise ConfigError(["it is unplugged already"])
            dongle.unplug()
            return "unplugged for a while"
        case ["help"]:
            return HELP
        case [name, *_]:
            raise ConfigError([_not_understood(name)])
    raise ConfigError([f"an empty line; write {HELP}"])


def _watt(text: str) -> int:
    try:
        watt = int(text)
    except ValueError:
        watt = MAX_WATT + 1
    if abs(watt) > MAX_WATT:
        raise ConfigError([f"power: '{text}' is not a number of W up to {MAX_WATT}, or auto"])
    return watt


def _not_understood(name: str) -> str:
    forms = {form.split()[0]: form for form in HELP.split(" | ")}
    if name in forms:
        return f"{name}: write {' | '.join(f for f in HELP.split(' | ') if f.startswith(name))}"
    close = get_close_matches(name, forms, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"write {HELP}"
    return f"unknown command '{name[:40]}', {hint}"


class Console:
    """Lines from a file descriptor, read when whoever waits on it says so; never waits itself.

    Args:
        fd: usually standard input; it is neither closed nor changed.
        dongle: to whom the lines are said.
        answer: takes the line for whoever sits there.
    """

    def __init__(self, fd: int, dongle: Controlled, answer: Callable[[str], None]) -> None:
        self._fd = fd
        self._dongle = dongle
        self._answer = answer
        self._buffer = bytearray()
        mode = os.fstat(fd).st_mode
        self.is_file = stat.S_ISREG(mode)
        self.can_be_waited_on = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)

    def fileno(self) -> int:
        """Return what a selector waits on."""
        return self._fd

    def serve(self, now: float) -> bool:
        """Carry out the lines that have come; return whether there may be more.

        A terminal on which others are typing, as after `kei simulate &`, gives no lines any more.

        Args:
            now: monotonic seconds.
        """
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal that has gone, or is not ours to read
                self._answer(f"error: no more lines are read ({error.strerror})")
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if not data and self._buffer:
            lines.append(self._buffer)
        for line in lines:
            self._do(line, now)
        if len(self._buffer) > _MAX_LINE_BYTES:
            self._answer(f"error: a line of more than {_MAX_LINE_BYTES} bytes; no more are read")
            return False
        return bool(data)

    def _do(self, line: bytearray, now: float) -> None:
        try:
            done = carry_out(line.decode(errors="replace"), self._dongle, now)
        except ConfigError as error:
            self._answer(f"error: {error.faults[0]}")
        else:
            self._answer(f"ok: {done}")
