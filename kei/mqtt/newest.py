"""The newest reading of each series: those since the start, and before that what was recorded."""

import math
from collections.abc import Mapping

import structlog

from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.echonet.meter_class import STAMPED_SENSORS
from kei.meter.decoder import is_of_meter
from kei.mqtt.messages import METER_STATUS
from kei.mqtt.sources import Sources

log = structlog.stdlib.get_logger("kei.mqtt")

Series = tuple[str, str]  # UnitID, SensorID


class Newest:
    """The newest readings, without those of a meter that has been replaced. Used by one thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._incidents = Incidents(log, sources.clock)
        self._before: dict[Series, Reading] | None = None
        self._replaced_at = -math.inf  # when another meter came, by the monotonic clock
        self._foreign: frozenset[Reading] = frozenset()  # last stamped values of the one before

    def of(self, unit: str | None) -> Mapping[Series, Reading]:
        """Return them; for a first time, what was recorded is read from the disk.

        A meter that jobs.toml does not name any more says nothing of now, and a board whose topic
        would be that of the meter's status is not told.

        Args:
            unit: UnitID of the meter; None without one.
        """
        if self._before is None:
            self._before = self._recorded()
        found = dict(self._before)
        for series, reading in self._sources.newest().items():
            if series[0] == unit and self._is_foreign(reading):
                continue
            earlier = found.get(series)
            is_stamped = series[0] == unit and series[1] in STAMPED_SENSORS
            if earlier is None or not is_stamped or reading.time_ms >= earlier.time_ms:
                found[series] = reading
        return {
            series: each
            for series, each in found.items()
            if (series[0] == unit or not is_of_meter(each)) and series != METER_STATUS
        }

    def meter_replaced(self, unit: str, met_at: float) -> None:
        """Forget what the meter before has said.

        Args:
            unit: its UnitID.
            met_at: when the new one was joined first, by the monotonic clock.
        """
        self._replaced_at = met_at
        clock, newest = self._sources.clock, self._sources.newest().values()
        met_ms = clock.now_ms() - round((clock.monotonic() - met_at) * 1000)
        self._foreign = frozenset(
            each for each in newest if each.monotonic_ms is None and each.time_ms <= met_ms
        )
        before = self._before or {}
        self._before = {series: each for series, each in before.items() if series[0] != unit}

    def is_young(self, reading: Reading, limit_s: float, *, if_unknown: bool) -> bool:
        """Tell whether a reading is at most so old.

        Args:
            reading: of now, or recorded by an earlier kei, whose age only the wall clock tells.
            limit_s: seconds.
            if_unknown: what is returned while that clock is likely to be wrong.
        """
        if reading.monotonic_ms is None and not self._sources.may_tell_time():
            return if_unknown
        # One of the future was recorded by a clock that was wrong.
        return abs(reading.age_s(self._sources.clock)) <= limit_s

    def _is_foreign(self, reading: Reading) -> bool:
        if reading.monotonic_ms is None:
            return reading in self._foreign
        return reading.monotonic_ms < self._replaced_at * 1000

    def _recorded(self) -> dict[Series, Reading]:
        try:
            found = self._sources.recorded()
        except StoreError as error:
            self._incidents.raised("mqtt_record_not_read", reason=str(error))
            return {}
        return {(each.unit, each.sensor): each for each in found}
