"""Sensors that have fallen silent: told once, and again when they are back."""

from collections import OrderedDict
from collections.abc import Iterable

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.sensors")

LINES_MIN = 3  # of a series that is waited for: noise makes a line of one that does not exist
SERIES_MAX = 1000  # that are waited for; of more, those that have been silent longest are forgotten

_Series = tuple[str, str]


class Silence:
    """Watches the series of one port.

    Args:
        port: its name, for the log.
        stale_after_s: how long a series may be silent; None for ever.
        expected: series that there should be from the start.
        clock: for how long they are silent.
    """

    def __init__(
        self, port: str, stale_after_s: float | None, expected: Iterable[_Series], clock: Clock
    ) -> None:
        self._port = port
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._incidents = Incidents(log, clock)
        now = clock.monotonic()
        # Both in the order in which they were last heard.
        self._speaking: OrderedDict[_Series, float] = OrderedDict((each, now) for each in expected)
        self._silent: OrderedDict[_Series, float] = OrderedDict()
        self._new: OrderedDict[_Series, int] = OrderedDict()  # lines of those not waited for yet

    def heard(self, unit: str, sensor: str) -> None:
        """Take note of a line of a series, be its value good or not."""
        if self._stale_after_s is None:
            return
        series = (unit, sensor)
        if series not in self._speaking and series not in self._silent and self._is_new(series):
            return
        if self._silent.pop(series, None) is not None:
            self._incidents.ended("sensor_silent", key=series)
        self._speaking[series] = self._clock.monotonic()
        self._speaking.move_to_end(series)
        if len(self._speaking) + len(self._silent) > SERIES_MAX:
            self._forget()

    def _is_new(self, series: _Series) -> bool:
        """Tell whether there have been too few lines of a series to wait for more."""
        lines = self._new.pop(series, 0) + 1
        if lines >= LINES_MIN:
            return False
        self._new[series] = lines
        if len(self._new) > SERIES_MAX:
            self._new.popitem(last=False)
        return True

    def look(self) -> float | None:
        """Tell of those that have fallen silent.

        Returns:
            in how many seconds to look again, at least 0; None if there is nothing to wait for.
        """
        if self._stale_after_s is None:
            return None
        now = self._clock.monotonic()
        while self._speaking:
            series, at = next(iter(self._speaking.items()))
            if (left_s := at + self._stale_after_s - now) > 0:
                return left_s
            self._silent[series] = self._speaking.pop(series)
            self._tell(series)
        return None

    def silent(self) -> tuple[_Series, ...]:
        """Return the series that are silent; any thread."""
        return tuple(self._silent.copy())

    def _tell(self, series: _Series) -> None:
        unit, sensor = series
        self._incidents.raised(
            "sensor_silent",
            key=series,
            port=self._port,
            unit=unit,
            sensor=sensor,
            silent_s=self._stale_after_s,
            hint="is the board powered and its sensor connected?",
        )

    def _forget(self) -> None:
        if self._silent:
            series, _ = self._silent.popitem(last=False)
            self._incidents.ended("sensor_silent", key=series)
        else:
            self._speaking.popitem(last=False)
