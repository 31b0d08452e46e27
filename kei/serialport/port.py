"""An open serial port; the only module that uses pyserial."""

import contextlib
import errno
import grp
import os
import pwd
import re
import select
import termios
import threading
from pathlib import Path

import serial

from kei.core.errors import PortBusy, PortLost
from kei.serialport import discovery
from kei.settings.serial import PortSettings

_NO_SERIAL_PORT = (errno.ENOTTY, errno.EISDIR, errno.EINVAL)  # a file, a folder, another device
READ_CHUNK_BYTES = 4096  # the size of the kernel's tty buffer
LEFT_BEHIND_CHUNKS = 4  # are looked at when opening; a flood is not waited for
WRITE_TIMEOUT_S = 2.0  # a line of 1.3 kB takes 0.12 s at 115200 baud; a working port never waits
_IFLAG, _CFLAG = 0, 2  # in what tcgetattr returns


class PortShared(PortLost):
    """Another program has the port open, too, and takes a part of what arrives."""


class _Serial(serial.Serial):
    """A port that looks at what had arrived before it was opened, which pyserial throws away.

    Attributes:
        is_within_a_line: whether a line had begun by then; None if nothing had arrived.
    """

    is_within_a_line: bool | None = None

    def _reset_input_buffer(self) -> None:
        with contextlib.suppress(OSError):  # a port that cannot be read says so when it is
            for _ in range(LEFT_BEHIND_CHUNKS):
                if self.fd is None or not (data := os.read(self.fd, READ_CHUNK_BYTES)):
                    return  # all of it is gone, and what comes now follows without a gap
                self.is_within_a_line = data[-1:] not in b"\r\n"
            self.is_within_a_line = True  # nobody knows where what is left ends
        super()._reset_input_buffer()  # type: ignore[misc]  # not in types-pyserial


def check_not_shared(port: str) -> None:
    """Raise PortShared if another program has a port open, as far as this user can see."""
    if discovery.holders(port):
        raise PortShared(f"{port}: {discovery.describe_sharing(port)}")


class SerialPort:
    """A serial port (a pseudo terminal included), opened exclusively, without flow control.

    One thread reads; `write`, `wake` and `holders` may be called from any other.

    Args:
        port: path of the device.
        settings: how it is opened.

    Attributes:
        is_within_a_line: whether the beginning of a line had arrived before it was opened; None if
            nothing had, so that nobody knows.

    Raises:
        PortBusy: another program has it; the text says which, if the system tells.
        PortLost: missing, not permitted or not a serial port; the text says which.
    """

    def __init__(self, port: str, settings: PortSettings) -> None:
        self._port = port
        try:
            self._serial = _opened(port, settings)
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            kind = PortBusy if _is_busy(error) else PortLost
            raise kind(_reason(port, error)) from None
        self._fd = self._serial.fileno()
        self.is_within_a_line = self._serial.is_within_a_line
        self._lock = threading.Lock()
        self._is_open = True
        self._wake_read, self._wake_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)

    def read(self, timeout_s: float | None = None) -> bytes:
        """Return what has arrived, as soon as something has.

        Args:
            timeout_s: how long to wait at most; None for ever.

        Returns:
            at least one byte; none after the time-out, or if `wake` was called.

        Raises:
            PortShared: another program was faster.
            PortLost: the port is gone.
        """
        ready = self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        if self._fd not in dict(ready):
            return b""
        try:
            data = os.read(self._fd, READ_CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortLost(_reason(self._port, error)) from None
        if not data:
            state = dict(self._poll.poll(0)).get(self._fd, 0)
            if state & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                raise PortLost(f"{self._port}: unplugged")
            raise PortShared(f"{self._port}: {discovery.describe_sharing(self._port)}")
        return data

    def wake(self) -> None:
        """Make every `read` from now on return at once."""
        with self._lock:
            if self._is_open:
                os.write(self._wake_write, b"x")

    def write(self, data: bytes) -> None:
        """Send all of these bytes.

        The time of pyserial's own `write` goes on while the machine stands still, and a port that
        has taken everything counts as lost then.

        Raises:
            PortLost: the port is gone, or has taken nothing for 2 s.
        """
        left = memoryview(data)
        waiting = select.poll()
        try:
            waiting.register(self._serial.fileno(), select.POLLOUT)
            while left:
                if not waiting.poll(WRITE_TIMEOUT_S * 1000):
                    raise PortLost(f"{self._port}: it takes no data: unplug it for a moment")
                # Asked each time: the descriptor may be another file's when the port was closed.
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(self._serial.fileno(), left) :]
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: another thread is closing the port, which has no descriptor any more.
            raise PortLost(_reason(self._port, error)) from None

    def holders(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`.

        There may be some, as not every terminal program respects the lock.
        """
        return tuple(map(str, discovery.holders(self._port)))

    def close(self) -> None:
        """Close the port. Not while `read` waits, and only once."""
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()
        with self._lock:
            self._is_open = False
            os.close(self._wake_read)
            os.close(self._wake_write)


def _opened(port: str, settings: PortSettings) -> _Serial:
    opened = _Serial(
        baudrate=settings.baudrate,
        bytesize=settings.bytesize,
        parity=settings.parity,
        stopbits=settings.stopbits,
        timeout=0,
        exclusive=True,
    )
    opened.port = port
    opened.dtr = settings.dtr
    opened.rts = settings.rts
    opened.open()
    try:
        _set_attributes(opened.fileno(), settings)
    except BaseException:
        opened.close()
        raise
    return opened


def _set_attributes(fd: int, settings: PortSettings) -> None:
    """Set the terminal attributes that pyserial does not set."""
    attributes = termios.tcgetattr(fd)
    if settings.parity != "N":
        attributes[_IFLAG] |= termios.INPCK  # read a damaged character as NUL, termios(3)
    match settings.drops_dtr:
        case True:
            attributes[_CFLAG] |= termios.HUPCL
        case False:
            attributes[_CFLAG] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _reason(port: str, error: Exception) -> str:
    """Return one line for a person: what is wrong with the port and what to do."""
    number = _errno(error)
    if number == errno.ENOENT:
        return f"{port}: no such device; is it plugged in? {discovery.describe_present(port)}"
    if number == errno.EACCES:
        return f"{port}: permission denied; {_permission_remedy(port)}"
    if _is_busy(error):
        return f"{port}: {discovery.describe_use(port)}"
    if number in _NO_SERIAL_PORT:
        return f"{port}: not a serial port; {discovery.describe_present(port)}"
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return f"{port}: unplugged"
    return f"{port}: {error}"


def _is_busy(error: Exception) -> bool:
    """Return whether another program has the port for itself."""
    return _errno(error) in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error)


def _permission_remedy(port: str) -> str:
    """Return what to do about a port that this user may not open."""
    try:
        group = grp.getgrgid(Path(port).stat().st_gid)
        user = pwd.getpwuid(os.geteuid()).pw_name
    except (OSError, KeyError):  # a user or group without a name
        return f"let kei's user open it; see 'ls -l {port}'"
    if group.gr_name == "root":
        return f"it belongs to root alone; see 'ls -l {port}'"
    again = "log in again (a service: restart it)"
    if user in group.gr_mem:
        return f"{user} is in the group {group.gr_name}, but was not at the start: {again}"
    return f"'sudo usermod -aG {group.gr_name} {user}', then {again}"


def _errno(error: Exception) -> int | None:
    """Return the system's error number; pyserial has it in the text of some errors only."""
    if number := getattr(error, "errno", None):
        return int(number)
    found = re.search(r"\((\d+), ", str(error))
    return int(found[1]) if found else None
