"""The sensor lines of an engine: readers of the serial ports of jobs.toml, and of no others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kei.app.workers import Workers, WorkerTarget
from kei.core.clock import Clock
from kei.sensors.counters import ReaderStatus
from kei.settings.serial import SIMULATED_SENSORS, SensorSettings

if TYPE_CHECKING:
    from kei.sensors.reader import Put, SensorReader

STOP_LIMIT_S = 2.0  # closing a port waits for nothing


@dataclass(frozen=True, slots=True)
class _Line:
    """A port, and what runs for it, by the names of the threads."""

    reader: "SensorReader"
    targets: dict[str, WorkerTarget]


class SensorLines:
    """Reads every port in threads of its own, which are named by it."""

    def __init__(self, put: "Put", clock: Clock, workers: Workers) -> None:
        self._clock = clock
        self._workers = workers
        self._put = put
        self._lines: dict[SensorSettings, _Line] = {}

    def change_to(self, wanted: Iterable[SensorSettings]) -> None:
        """Read these ports, each another one, from now on; those that stay are read without a gap.

        Raises:
            ConfigError: the options of a simulated port are wrong; nothing has changed.
            OSError: no pseudo terminal is to be had for a simulated one; nothing has changed.
        """
        lines = {
            settings: self._lines.get(settings) or self._build(settings) for settings in wanted
        }
        gone = [line for settings, line in self._lines.items() if settings not in lines]
        names = [name for line in gone for name in line.targets]
        self._workers.stop(*names, limit_s=STOP_LIMIT_S)
        for settings, line in lines.items():
            if settings not in self._lines:
                for name, target in line.targets.items():
                    self._workers.start(name, target)
        self._lines = lines

    def thread_names(self) -> tuple[str, ...]:
        """Return the names of the threads that read ports."""
        return tuple(name for line in self._lines.values() for name in line.targets)

    def status(self) -> tuple[ReaderStatus, ...]:
        """Return how the ports are doing; any thread."""
        return tuple(line.reader.status() for line in self._lines.values())

    def are_open(self) -> tuple[bool, ...]:
        """Return whether each port is open; never blocks, any thread."""
        return tuple(line.reader.is_open for line in self._lines.values())

    def _build(self, settings: SensorSettings) -> _Line:
        from kei.sensors.reader import SensorReader  # noqa: PLC0415 - most have no sensors

        path, simulator = settings.port, None
        if path.startswith(SIMULATED_SENSORS):
            # No part of the main job on a small machine.
            from kei.simulator.board.board import simulated_board  # noqa: PLC0415
            from kei.simulator.board.options import parse_sensor_port  # noqa: PLC0415

            simulator = simulated_board(parse_sensor_port(path), clock=self._clock)
            path = simulator.port
        reader = SensorReader(settings, path, self._put, self._clock)
        targets: dict[str, WorkerTarget] = {settings.port: reader}
        if simulator is not None:
            targets[f"{settings.port} simulator"] = simulator
        return _Line(reader, targets)
