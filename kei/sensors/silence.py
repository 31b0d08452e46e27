"""Detection of sensors that have fallen silent: logged once, and again when they are back."""

from collections import OrderedDict
from collections.abc import Iterable

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.sensors.filters import Series

log = structlog.stdlib.get_logger("kei.sensors")

LINES_MIN = 3  # before a series is watched: noise may look like a line of an unknown series


class Silence:
    """Watches the series of one port, of which `SeriesLimit` lets through a thousand.

    Args:
        port: its name, for the log.
        stale_after_s: how long a series may be silent; None to watch none.
        expected: series that are watched from the start.
        clock: monotonic time.
    """

    def __init__(
        self, port: str, stale_after_s: float | None, expected: Iterable[Series], clock: Clock
    ) -> None:
        self._port = port
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._incidents = Incidents(log, clock)
        now = clock.monotonic()
        # Both in the order in which they were last heard.
        self._heard: OrderedDict[Series, float] = OrderedDict((each, now) for each in expected)
        self._silent: OrderedDict[Series, float] = OrderedDict()
        self._new: dict[Series, int] = {}  # lines of series not watched yet

    def heard(self, unit: str, sensor: str) -> None:
        """Note that a line of a series has come, whether its value is recorded or not."""
        if self._stale_after_s is None:
            return
        series = (unit, sensor)
        if series not in self._heard and series not in self._silent and self._is_new(series):
            return
        if self._silent.pop(series, None) is not None:
            self._incidents.ended("sensor_silent", key=series)
        self._heard[series] = self._clock.monotonic()
        self._heard.move_to_end(series)

    def _is_new(self, series: Series) -> bool:
        """Count a line of an unknown series; return whether there are too few to watch it."""
        lines = self._new.pop(series, 0) + 1
        if lines >= LINES_MIN:
            return False
        self._new[series] = lines
        return True

    def check(self) -> float | None:
        """Log the series that have fallen silent.

        Returns:
            in how many seconds to check again, above 0; None if no series is waited for.
        """
        if self._stale_after_s is None:
            return None
        now = self._clock.monotonic()
        while self._heard:
            series, at = next(iter(self._heard.items()))
            if (left_s := at + self._stale_after_s - now) > 0:
                return left_s
            self._silent[series] = self._heard.pop(series)
            self._incidents.raised(
                "sensor_silent",
                key=series,
                port=self._port,
                unit=series[0],
                sensor=series[1],
                silent_s=self._stale_after_s,
                hint="is the board powered and its sensor connected?",
            )
        return None

    def silent(self) -> tuple[Series, ...]:
        """Return the series that are silent; any thread."""
        return tuple(self._silent.copy())
