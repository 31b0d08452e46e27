"""A simulated board with sensors, such as an Arduino behind a radio: it only sends lines."""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kei.core.clock import Clock, local
from kei.simulator.board.options import BoardOptions
from kei.simulator.household.profile import SECONDS_PER_DAY
from kei.simulator.options import SimulatorOptions
from kei.simulator.port.server import Simulator

_DATA_IDS = 101  # 0 to 100, then from 0 again
_WARMEST_S = 14 * 3600  # of the day
_LATE_S = 1.0  # lines that are later than this, as after a stop of the process, are left out
_ECHO_S = (0.05, 0.5)  # until a line is repeated
_NOISE_BYTES = 12
_OVERLONG_CHARS = 3000


@dataclass(frozen=True, slots=True)
class _Sensor:
    """A sensor whose value follows the height of the sun, -1 to 1, within `swing`."""

    name: str
    places: int
    middle: float
    swing: float
    jitter: float
    lowest: float = -math.inf

    def value(self, sun: float, rng: random.Random) -> float:
        value = self.middle + self.swing * sun + rng.gauss(0, self.jitter)
        return max(self.lowest, value)


_SENSORS = (
    _Sensor("T1", 2, 16.0, 6.0, 0.05),  # temperature, degrees Celsius
    _Sensor("H1", 1, 60.0, -15.0, 0.3, 0.0),  # humidity, %
    _Sensor("P1", 1, 1013.0, -1.5, 0.1),  # air pressure, hPa
    _Sensor("L1", 0, 0.0, 40_000.0, 50.0, 0.0),  # light, lx
)
SENSOR_NAMES = tuple(sensor.name for sensor in _SENSORS)


class Board:
    """The board as a `Device` of the simulated port; `clock` gives the time of day only."""

    unplugged = False

    def __init__(self, options: BoardOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._rng = random.Random(options.seed)
        self._end = b"\n" if options.lf else b"\r\n"
        self._due: list[float] | None = None  # of each sensor; None until first polled
        self._echoes: deque[tuple[float, bytes]] = deque()
        self._next_id = 0

    def receive(self, data: bytes, now: float) -> None:
        """Ignore what a client writes."""

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next."""
        if self._due is None:
            return -math.inf
        return min([*self._due, *(due for due, _ in self._echoes)])

    def poll(self, now: float) -> bytes:
        """Return the lines that are due."""
        if self._due is None:
            step_s = self._options.interval_s / len(_SENSORS)
            self._due = [now + index * step_s for index in range(len(_SENSORS))]
        sent = bytearray()
        for index, sensor in enumerate(_SENSORS):
            if self._due[index] < now - _LATE_S:
                self._due[index] = now
            while self._due[index] <= now:
                self._due[index] += self._options.interval_s
                sent += self._line(sensor, now)
        for due, line in list(self._echoes):
            if due <= now:
                self._echoes.remove((due, line))
                sent += line
        return bytes(sent)

    def power_on(self) -> None:
        """Start again."""
        self._due = None
        self._echoes.clear()

    def _happens(self, percent: float) -> bool:
        return self._rng.random() * 100 < percent

    def _line(self, sensor: _Sensor, now: float) -> bytes:
        options, rng = self._options, self._rng
        value = sensor.value(self._sun(), rng)
        if self._happens(options.outliers):
            value = rng.choice([-999.0, 0.0, value * 3, value + 1000, 65_535.0])
        line = f"{options.board},{sensor.name},{value:.{sensor.places}f}"
        if not options.no_id:
            line += f",{self._next_id}"
            self._next_id = (self._next_id + 1) % _DATA_IDS
        if self._happens(options.wrong):
            line = rng.choice(_WRONG)(line)
        sent = line.encode() + self._end
        if self._happens(options.noise):
            at = rng.randrange(len(sent))
            sent = sent[:at] + rng.randbytes(rng.randint(1, _NOISE_BYTES)) + sent[at:]
        if self._happens(options.repeats):
            for _ in range(rng.randint(1, 3)):
                self._echoes.append((now + rng.uniform(*_ECHO_S), sent))
        return sent

    def _sun(self) -> float:
        """Return the height of the sun by the time of day, -1 to 1."""
        moment = local(self._clock.now_ms(), self._clock.zone)
        of_day_s = moment.hour * 3600 + moment.minute * 60 + moment.second
        return math.cos(2 * math.pi * (of_day_s - _WARMEST_S) / SECONDS_PER_DAY)


def _with_value(text: str) -> Callable[[str], str]:
    def wrong(line: str) -> str:
        unit, sensor, _, *rest = line.split(",")
        return ",".join([unit, sensor, text, *rest])

    return wrong


_WRONG: tuple[Callable[[str], str], ...] = (
    *(_with_value(text) for text in ("nan", "inf", "ovf", "1_000", "0x1F", "", "1.2.3", "5 5")),
    lambda line: line[: len(line) // 2],  # cut off
    lambda line: line + line,  # an end was lost
    lambda line: line.replace(",", ";"),
    lambda line: "," + line,
    lambda line: f"{line},extra",
    lambda line: line.replace("1,", " 1,", 1),
    lambda _: "setup done",
    lambda _: "x" * _OVERLONG_CHARS,
)


def simulated_board(
    options: BoardOptions,
    *,
    clock: Clock,
    link: Path | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Simulator:
    """Return a board on a pseudo terminal, to be run; arguments and errors as of `Simulator`."""
    port = SimulatorOptions(transcript=options.transcript)
    return Simulator(port, clock=clock, link=link, on_ready=on_ready, device=Board(options, clock))
