"""The ports with sensors of an engine: those of jobs.toml at present, and no others."""

from collections.abc import Iterable

from kei.app.wiring import SensorLine, build_sensor
from kei.app.workers import Workers
from kei.core.clock import Clock
from kei.sensors.counters import ReaderStatus
from kei.sensors.reader import Put
from kei.settings.serial import SensorSettings


class SensorPorts:
    """Reads every port in threads of its own, which are named by it.

    Args:
        put: takes the readings.
        clock: wall and monotonic time.
        threads: where they run.
    """

    def __init__(self, put: Put, clock: Clock, threads: Workers) -> None:
        self._clock = clock
        self._threads = threads
        self._put = put
        self._lines: dict[SensorSettings, SensorLine] = {}

    def change_to(self, wanted: Iterable[SensorSettings], limit_s: float) -> None:
        """Read these ports from now on; those that stay are read on without a gap.

        Args:
            wanted: each with a port of its own.
            limit_s: how long to wait for ports that are left alone from now on.

        Raises:
            OSError: no pseudo terminal is to be had for a simulated one; nothing has changed.
        """
        lines = {
            settings: self._lines.get(settings) or self._built(settings) for settings in wanted
        }
        gone = [line for settings, line in self._lines.items() if settings not in lines]
        self._threads.stop(*_names(gone), limit_s=limit_s)
        new = [line for settings, line in lines.items() if settings not in self._lines]
        for line in new:
            for name, body in line.bodies():
                self._threads.start(name, body)
        self._lines = lines

    def names(self) -> tuple[str, ...]:
        """Return the names of the threads that read ports, without that of the inlet."""
        return tuple(_names(self._lines.values()))

    def status(self) -> tuple[ReaderStatus, ...]:
        """Return how the ports are doing; any thread."""
        return tuple(line.reader.status() for line in self._lines.values())

    def are_open(self) -> tuple[bool, ...]:
        """Return whether each port is open; waits for nobody, any thread."""
        return tuple(line.reader.is_open for line in list(self._lines.values()))

    def _built(self, settings: SensorSettings) -> SensorLine:
        return build_sensor(settings, self._put, clock=self._clock)


def _names(lines: Iterable[SensorLine]) -> list[str]:
    return [name for line in lines for name, _ in line.bodies()]
