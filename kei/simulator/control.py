"""Commands to a running simulator: a line each, answered by one line."""

import errno
import os
import stat
from collections.abc import Callable

from kei.core.errors import ConfigError
from kei.simulator.air.dongle import SimulatedDongle
from kei.simulator.faults import parse_fault
from kei.simulator.household.household import MAX_WATT
from kei.simulator.option_parser import did_you_mean

HELP = "fault SPEC | clear | power WATT | power auto | unplug | help"
_READ_BYTES = 4096
_MAX_LINE_BYTES = 1000


def carry_out(line: str, dongle: SimulatedDongle, now: float) -> str:
    """Carry out one of the commands of `HELP` at a monotonic time; return the line of the answer.

    Raises:
        ConfigError: it cannot be carried out; one line, too.
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
    return f"unknown command '{name[:40]}', {did_you_mean(name, forms, f'write {HELP}')}"


class Console:
    """Reads commands from a file descriptor, never waiting, and answers them.

    Args:
        fd: usually standard input; it is neither closed nor changed.
        dongle: carries out the commands.
        answer: writes the line of an answer.

    Attributes:
        is_file: a regular file, which can be read as a whole.
        can_be_waited_on: a pipe, a socket or a terminal.
    """

    def __init__(self, fd: int, dongle: SimulatedDongle, answer: Callable[[str], None]) -> None:
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
        """Carry out the lines that can be read at a monotonic time; return whether to go on.

        In the background of a terminal (`kei simulate &`) there are none: they are the shell's.
        """
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the terminal has gone, or is the shell's
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
