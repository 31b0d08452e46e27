"""The bytes of one port become readings: lines are split, parsed and filtered. No I/O."""

from kei.core.clock import Clock, Instant, instant
from kei.core.reading import Reading
from kei.sensors.counters import LineCounters
from kei.sensors.filters import Outliers, Repeats, SeriesLimit
from kei.sensors.line_parser import Line, Reason, Splitter, parse, printable
from kei.sensors.silence import Silence
from kei.settings.serial import SensorSettings

DATA_IDS = 101  # for lines without one: 0 to 100, then from 0 again


class Stream:
    """Turns what arrives on one port into readings; used by one thread.

    Attributes:
        splitter: its `begin` has to be called when the port has been opened.
    """

    def __init__(
        self, settings: SensorSettings, clock: Clock, counters: LineCounters, silence: Silence
    ) -> None:
        self._encoding = settings.encoding
        self._clock = clock
        self._counters = counters
        self._silence = silence
        self.splitter = Splitter(settings.line_end)
        self._repeats = Repeats()
        self._outliers = Outliers(settings.checks)
        self._limit = SeriesLimit((check.unit, check.sensor) for check in settings.checks)
        self._next_id = 0

    def feed(self, data: bytes) -> list[Reading]:
        """Return the readings of the lines that are complete now, with the present time."""
        lines = self.splitter.feed(data)
        if not lines:
            return []
        now = instant(self._clock)
        readings = []
        for raw in lines:
            line = self._judged(parse(raw, self._encoding), raw)
            if isinstance(line, Line):
                readings.append(self._reading(line, now))
            else:
                self._counters.count_rejected(line, printable(raw, self._encoding))
        self._counters.count_accepted(len(readings))
        return readings

    def _judged(self, line: Line | Reason, raw: bytes) -> Line | Reason:
        """Return a line that is to be recorded, or why it is not."""
        if not isinstance(line, Line):
            return line
        if self._limit.is_one_too_many((line.unit, line.sensor)):
            return Reason.TOO_MANY_SERIES
        self._silence.heard(line.unit, line.sensor)
        if self._repeats.is_repeat(line, raw):
            return Reason.REPEAT
        return self._outliers.check(line) or line

    def _reading(self, line: Line, at: Instant) -> Reading:
        data_id = line.data_id
        if data_id is None:
            data_id = str(self._next_id)
            self._next_id = (self._next_id + 1) % DATA_IDS
        return Reading(at.time_ms, line.unit, line.sensor, line.value, data_id, at.monotonic_ms)
