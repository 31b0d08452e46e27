"""The reader of one port with sensors: opens it again whenever it is lost."""

import threading
from collections.abc import Callable, Sequence

import structlog

from kei.core.clock import Clock
from kei.core.errors import PortLost
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.sensors.counters import LineCounters, ReaderStatus
from kei.sensors.silence import Silence
from kei.sensors.stream import Stream
from kei.serialport.port import PortShared, SerialPort, check_not_shared
from kei.settings.serial import SensorSettings

log = structlog.stdlib.get_logger("kei.sensors")

RETRY_S = 3.0  # a board that is plugged in again has to be back within 10 s
# Bytes that come so soon after opening, and none before, may be the rest of a line. A line that is
# idle for longer, 96 characters at 9600 bits a second, has ended; to skip more would cost a line at
# each start.
IN_THE_MIDDLE_S = 0.1
WELL_AFTER_S = 10.0  # open for so long, or with a byte received, a port counts as working again
ALONE_AFTER_S = 600.0  # the same of a port that another program has read from: it may come again

Put = Callable[[Sequence[Reading]], None]


class SensorReader:
    """Keeps a port open and turns what arrives into readings; `run` is for a thread of its own.

    Args:
        settings: of the port.
        path: of the device to open; another one than in the settings if the port is simulated.
        put: takes readings.
        clock: for the time of readings and for waits.
    """

    def __init__(self, settings: SensorSettings, path: str, put: Put, clock: Clock) -> None:
        self._settings = settings
        self._path = path
        self._put = put
        self._clock = clock
        self._counters = LineCounters(settings.port, clock)
        series = [(check.unit, check.sensor) for check in settings.checks]
        self._silence = Silence(settings.port, settings.stale_after_s, series, clock)
        self._stream = Stream(settings, clock, self._counters, self._silence)
        self._incidents = Incidents(log, clock)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._port: SerialPort | None = None
        self._shared_at: float | None = None  # when another program took bytes from it
        self._fault: str | None = "not opened yet"
        self._changed_at = clock.monotonic()  # when it was opened or lost
        self._heard_at: float | None = None

    def run(self) -> None:
        """Read the port until `stop`; open it again whenever it is lost."""
        while not self._stopping.is_set():
            try:
                if self._shared_at is not None:
                    check_not_shared(self._path)
                port = SerialPort(self._path, self._settings.framing)
            except PortLost as error:
                self._lost(error)
            else:
                self._use(port)
            self._silence.check()
            self._stopping.wait(self._clock.wait_s(RETRY_S))

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()
        with self._lock:
            if self._port is not None:
                self._port.wake()

    @property
    def is_open(self) -> bool:
        """Whether the port is open; any thread."""
        return self._fault is None

    def status(self) -> ReaderStatus:
        """Return the state of the port; any thread."""
        accepted, rejected = self._counters.counts()
        heard_at = self._heard_at
        return ReaderStatus(
            port=self._settings.port,
            fault=self._fault,
            since_s=round(self._clock.monotonic() - self._changed_at, 1),
            accepted=accepted,
            rejected=rejected,
            heard_s=None if heard_at is None else round(self._clock.monotonic() - heard_at, 1),
            silent=tuple(",".join(series) for series in self._silence.silent()),
        )

    def _use(self, port: SerialPort) -> None:
        with self._lock:
            self._port = port
        try:
            self._read(port)
        except PortLost as error:
            self._lost(error)
        finally:
            with self._lock:
                self._port = None
            port.close()

    def _read(self, port: SerialPort) -> None:
        begun = self._clock.monotonic()
        first = port.read(IN_THE_MIDDLE_S)
        within_a_line = port.is_within_a_line
        if within_a_line is None:
            within_a_line = bool(first)
        self._stream.splitter.begin(within_a_line=within_a_line or self._shared_at is not None)
        self._fault, self._changed_at = None, self._clock.monotonic()
        log.info("sensor_port_opened", port=self._settings.port)
        self._feed(first)
        while not self._stopping.is_set():
            self._feed(port.read(self._check(begun)))
            if self._heard_at is not None and self._heard_at > begun and self._shared_at is None:
                self._incidents.ended("sensor_port_lost")

    def _check(self, begun: float) -> float | None:
        """Do what is due without a new byte; return in how many seconds to do it again."""
        well_at = begun + WELL_AFTER_S
        if self._shared_at is not None:
            well_at = self._shared_at + ALONE_AFTER_S
        well_in_s = well_at - self._clock.monotonic()
        if well_in_s <= 0:
            self._shared_at = None
            self._incidents.ended("sensor_port_lost")
        waits = [well_in_s] if well_in_s > 0 else []
        if (silent_in_s := self._silence.check()) is not None:
            waits.append(silent_in_s)
        return self._clock.wait_s(min(waits)) if waits else None

    def _feed(self, data: bytes) -> None:
        if data:
            self._heard_at = self._clock.monotonic()
            if readings := self._stream.feed(data):
                self._put(readings)

    def _lost(self, error: PortLost) -> None:
        if self._stopping.is_set():
            return
        if isinstance(error, PortShared):
            self._shared_at = self._clock.monotonic()
        if self._fault is None:
            self._changed_at = self._clock.monotonic()
        self._fault = str(error)
        self._incidents.raised("sensor_port_lost", port=self._settings.port, reason=str(error))
