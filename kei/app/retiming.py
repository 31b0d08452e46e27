"""Between the clock monitor and the recorder: times of readings that the clock had wrong."""

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.echonet.meter_class import STAMPED_SENSORS
from kei.settings.recorder import RecorderSettings
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.monitor import ClockMonitor

log = structlog.stdlib.get_logger("kei.clock")


class Retiming:
    """A listener of the clock monitor that has the recorder correct the times of readings.

    Args:
        recorder: corrects them.
        monitor: says whether the clock is right after a step.
    """

    def __init__(self, recorder: Recorder, monitor: ClockMonitor) -> None:
        self._recorder = recorder
        self._monitor = monitor

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - the recorder knows it
        """Have the times of earlier readings corrected, once the clock is right."""
        if self._monitor.synchronised:
            self._recorder.clock_synchronised()
        else:
            self._recorder.clock_stepped()

    def synchronised(self) -> None:
        """Have the times of earlier readings corrected."""
        self._recorder.clock_synchronised()


def newest_reading_ms(recorder: RecorderSettings, clock: Clock) -> int | None:
    """Return the newest time that this machine's clock gave a reading.

    Values with the meter's own time say nothing of this clock: a meter may have been ahead.

    Returns:
        milliseconds since 1970; None if there is none, or it cannot be read.
    """
    text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
    try:
        last = read_overview(recorder.database, text, (), clock).last
    except StoreError as error:
        log.warning("newest_reading_unknown", reason=str(error))
        return None
    own = (reading.time_ms for reading in last if reading.sensor not in STAMPED_SENSORS)
    return max(own, default=None)
