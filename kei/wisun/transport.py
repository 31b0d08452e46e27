"""The way to the dongle: a serial port with a thread that reads it."""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from kei.core.errors import PortLost
from kei.serialport.port import SerialPort
from kei.settings.serial import PortSettings

log = structlog.stdlib.get_logger("kei.wisun.transport")


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
        self._port = port
        self._open = SerialPort(port, PortSettings(baudrate, drops_dtr=None))
        self._on_data = on_data
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, name="wisun-reader", daemon=True)
        self._reader.start()

    def write(self, data: bytes) -> None:
        """Send all of these bytes.

        Raises:
            PortLost: the port is gone or did not take them within 2 s.
        """
        self._open.write(data)

    def shared_with(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`."""
        return self._open.holders()

    def close(self) -> None:
        """Give the port back; safe to call twice and from any thread but the reader's."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._open.wake()
        self._reader.join()
        self._open.close()

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                data = self._open.read()
            except PortLost as error:
                if not self._closing.is_set():
                    self._on_lost(error)
                return
            if not data or self._closing.is_set():
                continue
            try:
                self._on_data(data)
            except Exception:
                # Our own mistake. The thread must not die unseen: start over with a fresh port.
                log.exception("reader_failed", port=self._port)
                self._on_lost(PortLost(f"{self._port}: internal error, see the log"))
                return
