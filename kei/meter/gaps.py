"""Which half-hours of a meter are missing in the database, and may be had from the meter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from kei.core.clock import epoch_ms
from kei.core.reading import Reading
from kei.echonet.meter_class import HALF_HOURS_A_DAY, METER_ZONE, Scale
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.decoder import DATA_ID
from kei.meter.history import Counts
from kei.store.half_hours import HalfHours
from kei.wisun.interfaces import Memory

# A meter that has no value of a half-hour so long after it will never have one.
SURE_MS = 3_600_000
_DOUBTFUL = "?"  # behind the SensorID of what was said once, of a whole day
DAY_MS = HALF_HOURS_A_DAY * HALF_HOUR_MS


@dataclass(frozen=True, slots=True)
class Gap:
    """The half-hours of a day that are missing.

    Attributes:
        day: by the meter's calendar.
        from_ms: earlier values are not compared: they may be of another meter.
        missing: their times by SensorID, milliseconds since 1970; none is empty.
    """

    day: date
    from_ms: int
    missing: Mapping[str, frozenset[int]]

    @property
    def count(self) -> int:
        """How many values are missing."""
        return sum(map(len, self.missing.values()))

    @property
    def hours(self) -> range:
        """The half-hours of the day from the first to the last that is missing, 0..47."""
        times = [time_ms for each in self.missing.values() for time_ms in each]
        first, last = (
            (each - start_ms(self.day)) // HALF_HOUR_MS for each in (min(times), max(times))
        )
        return range(first, last + 1)


def start_ms(day: date) -> int:
    """Return when a day of the meter's calendar begins, milliseconds since 1970."""
    return epoch_ms(datetime.combine(day, time(), METER_ZONE))


class Gaps:
    """Finds what is missing, and remembers what the meter has said that it does not have.

    That is kept in the database, so that it is not asked again after each start.

    Args:
        half_hours: what there is.
        memory: survives restarts.
        unit: UnitID of the meter.
        key: of what is remembered of this meter.
    """

    def __init__(self, half_hours: HalfHours, memory: Memory, unit: str, key: str) -> None:
        self._half_hours = half_hours
        self._memory = memory
        self._unit = unit
        self._key = key
        self._none = _decoded(memory.get_state(key))
        self._complete = set[date]()
        self._silent = set[tuple[date, str]]()  # days of which the meter has no value at all

    def of(self, day: date, sensors: tuple[str, ...], from_ms: int, until_ms: int) -> Gap | None:
        """Return what is missing of a day between two instants; None if nothing is."""
        if day in self._complete:
            return None
        begin_ms = start_ms(day)
        end_ms = begin_ms + DAY_MS
        known = {
            (each.sensor, each.time_ms)
            for each in self._half_hours.between(self._unit, sensors, begin_ms, end_ms)
        }
        missing = {
            sensor: frozenset(
                time_ms
                for number, time_ms in enumerate(range(begin_ms, end_ms, HALF_HOUR_MS))
                if from_ms <= time_ms <= until_ms
                and (sensor, time_ms) not in known
                and (day, sensor) not in self._silent
                and not self._none.get(day.isoformat(), {}).get(sensor, 0) >> number & 1
            )
            for sensor in sensors
        }
        found = {sensor: times for sensor, times in missing.items() if times}
        if found:
            return Gap(day, from_ms, found)
        if end_ms <= until_ms:
            self._complete.add(day)
        return None

    def readings(
        self, gap: Gap, found: Mapping[str, Counts], scale: Scale, now_ms: int
    ) -> list[Reading] | None:
        """Return the readings of what was missing, and remember what the meter does not have.

        Args:
            gap: what was missing.
            found: what the meter has said of that day.
            scale: of its counts.
            now_ms: its time.

        Returns:
            None if most values that are known of that day are others: then it is another day, or
            another meter, that this was told of.
        """
        begin_ms = start_ms(gap.day)
        made: list[Reading] = []
        same = others = 0
        for sensor, counts in found.items():
            known: dict[int, set[object]] = {}
            for each in self._half_hours.between(
                self._unit, (sensor,), max(begin_ms, gap.from_ms), begin_ms + DAY_MS
            ):
                known.setdefault(each.time_ms, set()).add(each.value)
            without: list[int] = []
            for time_ms, count in counts.items():
                wanted = time_ms in gap.missing.get(sensor, ())
                if count is None:
                    if wanted and time_ms < now_ms - SURE_MS:
                        without.append((time_ms - begin_ms) // HALF_HOUR_MS)
                    continue
                value = scale.kwh(count)
                if time_ms in known:
                    is_same = value in known[time_ms]
                    same, others = same + is_same, others + (not is_same)
                if wanted:
                    made.append(
                        Reading(time_ms, self._unit, sensor, value, DATA_ID, recovered=True)
                    )
            self._have_none(gap.day, sensor, without, is_silent=len(without) == HALF_HOURS_A_DAY)
        if others > same:
            return None
        return sorted(made, key=lambda each: each.time_ms)

    def save(self, oldest: date) -> None:
        """Save what the meter does not have; forget days before `oldest`.

        Raises:
            StoreError: the database fails.
        """
        self._none = {day: each for day, each in self._none.items() if day >= oldest.isoformat()}
        text = json.dumps(
            {
                day: {sensor: f"{bits:x}" for sensor, bits in each.items()}
                for day, each in self._none.items()
            },
            separators=(",", ":"),
        )
        if text != self._memory.get_state(self._key):
            self._memory.set_state(self._key, text)

    def _have_none(self, day: date, sensor: str, numbers: list[int], *, is_silent: bool) -> None:
        """Note half-hours that the meter does not have.

        That it has none of a whole day is believed when it says so again after another join: it may
        come from a power failure, and have its memory back in a moment.
        """
        if not numbers:
            return
        of_day = self._none.setdefault(day.isoformat(), {})
        said_before = of_day.pop(sensor + _DOUBTFUL, 0)
        if is_silent and not said_before:
            self._silent.add((day, sensor))
            sensor += _DOUBTFUL
        of_day[sensor] = of_day.get(sensor, 0) | sum(1 << number for number in numbers)


def days_before(today: date, count: int) -> list[date]:
    """Return today and so many days before, the newest first."""
    return [today - timedelta(days=number) for number in range(count + 1)]


def _decoded(text: str | None) -> dict[str, dict[str, int]]:
    """Read what was saved; nothing if it is damaged: then the meter is asked once more."""
    try:
        return {
            date.fromisoformat(day).isoformat(): {
                sensor: int(bits, 16) for sensor, bits in each.items()
            }
            for day, each in json.loads(text or "{}").items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}
