"""The bytes of one port into readings. No I/O."""

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.sensors.counters import Tally
from kei.sensors.filters import Outliers, Repeats
from kei.sensors.line_parser import Line, Reason, Splitter, parse, shown
from kei.sensors.silence import Silence
from kei.settings.serial import SensorSettings

DATA_IDS = 101  # where a line has none: 0 to 100, then from 0 again


class Stream:
    """Takes what arrives on one port; used by one thread.

    Args:
        settings: of the port.
        clock: for the time of readings.
        tally: counts lines.
        silence: hears which series are there.
    """

    def __init__(
        self, settings: SensorSettings, clock: Clock, tally: Tally, silence: Silence
    ) -> None:
        self._encoding = settings.encoding
        self._clock = clock
        self._tally = tally
        self._silence = silence
        self._splitter = Splitter(settings.line_end)
        self._repeats = Repeats()
        self._outliers = Outliers(settings.checks)
        self._next_id = 0

    def begin(self, *, within_a_line: bool) -> None:
        """Start over with a port that has been opened anew.

        Args:
            within_a_line: whether what comes first may be the end of a line.
        """
        self._splitter.begin(within_a_line=within_a_line)

    def feed(self, data: bytes) -> list[Reading]:
        """Return the readings of the lines that have come to their end, with the present time."""
        lines = self._splitter.feed(data)
        if not lines:
            return []
        now_ms = self._clock.now_ms()
        readings = []
        for raw in lines:
            line = parse(raw, self._encoding)
            if isinstance(line, Line):
                self._silence.heard(line.unit, line.sensor)
                if (reason := self._objection(line, raw)) is None:
                    readings.append(self._reading(line, now_ms))
                    continue
            else:
                reason = line
            self._tally.rejected(reason, shown(raw, self._encoding))
        self._tally.accepted(len(readings))
        return readings

    def _objection(self, line: Line, raw: bytes) -> Reason | None:
        if self._repeats.is_repeat(line, raw):
            return Reason.REPEAT
        return self._outliers.judge(line)

    def _reading(self, line: Line, now_ms: int) -> Reading:
        data_id = line.data_id
        if data_id is None:
            data_id = str(self._next_id)
            self._next_id = (self._next_id + 1) % DATA_IDS
        return Reading(now_ms, line.unit, line.sensor, line.value, data_id)
