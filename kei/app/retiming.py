"""Between the clock monitor and the recorder: times of readings that the clock had wrong."""

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.echonet.meter_class import STAMPED_SENSORS
from kei.settings.recorder import RecorderSettings
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.clock")


class Retiming:
    """A listener of the clock monitor that has the recorder correct the times of readings.

    Args:
        recorder: corrects them; it asks the time gate, which is told before.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - the time gate knows it
        """Have the times of earlier readings corrected."""
        self._recorder.clock_changed()

    def synchronised(self) -> None:
        """Have the times of earlier readings corrected."""
        self._recorder.clock_changed()


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
