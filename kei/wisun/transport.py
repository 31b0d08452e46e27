"""The serial port: the only module that knows pyserial."""

import contextlib
import errno
import os
import re
import select
import termios
import threading
from collections.abc import Callable
from typing import Protocol

import serial
import structlog

from kei import ports
from kei.errors import PortLost

log = structlog.stdlib.get_logger("kei.wisun.transport")

# Of a file, a folder, and what else is no terminal.
_NO_SERIAL_PORT = (errno.ENOTTY, errno.EISDIR, errno.EINVAL)
READ_CHUNK_BYTES = 4096  # the kernel's tty buffer: one read empties it
WRITE_TIMEOUT_S = 2.0  # a line of 1.3 kB takes 0.12 s at 115200 baud; a healthy port never waits


class Transport(Protocol):
    """An open port."""

    def write(self, data: bytes) -> None:
        """Send all of these bytes; PortLost if the port does not take them."""

    def shared_with(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`."""

    def close(self) -> None:
        """Give the port back; safe to call twice and from any thread but the reader's."""


OnData = Callable[[bytes], None]
OnLost = Callable[[PortLost], None]


class SerialTransport:
    """A serial port (a pseudo terminal included), opened exclusively, with a reader thread.

    The reader hands over what has arrived in chunks; it ends when the port is closed or lost.
    """

    def __init__(self, port: str, baudrate: int, on_data: OnData, on_lost: OnLost) -> None:
        """Open the port: 8 data bits, no parity, 1 stop bit, no flow control.

        Args:
            port: path of the device.
            baudrate: bits a second.
            on_data: called in the reader thread with each chunk.
            on_lost: called once in the reader thread if the port fails while it is open.

        Raises:
            PortLost: missing, not permitted, busy or not a serial port; the text says which.
        """
        try:
            self._serial = serial.Serial(
                port, baudrate, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            raise PortLost(_reason(port, error)) from None
        self._fd = self._serial.fileno()
        self._port = port
        self._on_data = on_data
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._reader = threading.Thread(target=self._read, name="wisun-reader", daemon=True)
        self._reader.start()

    def write(self, data: bytes) -> None:
        """Send all of these bytes.

        Raises:
            PortLost: the port is gone or did not take them within 2 s.
        """
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            # pyserial raises TypeError when another thread closed the port in the middle.
            raise PortLost(_reason(self._port, error)) from None

    def shared_with(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`.

        The lock keeps those out that ask for it; a terminal program does not.
        """
        return ports.holders(self._port)

    def close(self) -> None:
        """Give the port back; safe to call twice and from any thread but the reader's."""
        if self._closing.is_set():
            return
        self._closing.set()
        os.write(self._wake_write, b"x")
        self._reader.join()
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while not self._closing.is_set():
            ready = poll.poll()
            if self._closing.is_set():
                return
            try:
                data = os.read(self._fd, READ_CHUNK_BYTES) if ready else b""
            except BlockingIOError:
                continue
            except OSError as error:
                self._on_lost(PortLost(_reason(self._port, error)))
                return
            if not data:
                self._on_lost(PortLost(f"{self._port}: unplugged"))
                return
            try:
                self._on_data(data)
            except Exception:
                # Our own mistake. The thread must not die unseen: start over with a fresh port.
                log.exception("reader_failed", port=self._port)
                self._on_lost(PortLost(f"{self._port}: internal error, see the log"))
                return


def _reason(port: str, error: Exception) -> str:
    """Return one line for a person: what is wrong with the port and what to do."""
    number = _number(error)
    if number == errno.ENOENT:
        there = ", ".join(ports.known()) or "none"
        return f"{port}: no such device; is the dongle plugged in? there is: {there}"
    if number == errno.EACCES:
        return f"{port}: permission denied; add the user to the group dialout and log in again"
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return f"{port}: {ports.busy(port)}"
    if number in _NO_SERIAL_PORT:
        return f"{port}: not a serial port; there is: {', '.join(ports.known()) or 'none'}"
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return f"{port}: unplugged"
    return f"{port}: {error}"


def _number(error: Exception) -> int | None:
    """Return the system's error number; where pyserial has none, it stands in its text."""
    if number := getattr(error, "errno", None):
        return int(number)
    found = re.search(r"\((\d+), ", str(error))
    return int(found[1]) if found else None
