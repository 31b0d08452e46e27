"""The serial port of the dongle, with a thread that reads it."""

import threading

import structlog

from kei.core.errors import PortLost
from kei.serialport.port import SerialPort
from kei.settings.serial import PortSettings
from kei.wisun.interfaces import OnData, OnLost

log = structlog.stdlib.get_logger("kei.wisun.transport")

QUIET_S = 1.0  # the longest message takes a quarter of a second at 115200 baud


class SerialTransport(SerialPort):
    """A serial port with a reader thread, which ends when the port is closed or lost."""

    def __init__(self, port: str, baudrate: int, on_data: OnData, on_lost: OnLost) -> None:
        """Open the port: 8 data bits, no parity, 1 stop bit, no flow control.

        Args:
            port: path of the device.
            baudrate: bits a second.
            on_data: called in the reader thread with each chunk, and with nothing when none has
                followed it for `QUIET_S`.
            on_lost: called once in the reader thread if the port fails while it is open.

        Raises:
            PortLost: missing, not permitted, busy or not a serial port; the text says which.
        """
        super().__init__(port, PortSettings(baudrate, drops_dtr=None))
        self._path = port
        self._on_data = on_data
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._run, name="wisun-reader", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close the port; safe to call twice and from any thread but the reader's."""
        if self._closing.is_set():
            return
        self._closing.set()
        self.wake()
        self._reader.join()
        super().close()

    def _run(self) -> None:
        data = b""
        while not self._closing.is_set():
            before = data
            try:
                data = self.read(QUIET_S if before else None)
            except PortLost as error:
                if not self._closing.is_set():
                    self._on_lost(error)
                return
            if not (data or before) or self._closing.is_set():
                continue
            try:
                self._on_data(data)
            except Exception:
                # A bug of ours. The thread must not die unnoticed: start over with a fresh port.
                log.exception("reader_failed", port=self._path)
                self._on_lost(PortLost(f"{self._path}: internal error, see the log"))
                return
