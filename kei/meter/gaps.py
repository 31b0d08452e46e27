"""Which half-hours of a meter are missing in the database, and may be had from the meter."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_

from kei.core.clock import epoch_ms
from kei.core.errors import KeiError
from kei.core.reading import Reading
from kei.echonet.meter_class import HALF_HOURS_A_DAY, METER_ZONE, Scale
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.decoder import DATA_ID
from kei.meter.history import Counts
from kei.store.half_hours import HalfHours
from kei.wisun.interfaces import Memory

# A meter that has no value of a half-hour so long after it will never have one.
SURE_MS = 3_600_000
HOUR_MS = 3_600_000
SURE_OTHERS = 4  # values that differ; a single one may be wrong
_DOUBTFUL = "?"  # behind the SensorID of what was said once, of a whole day
DAY_MS = HALF_HOURS_A_DAY * HALF_HOUR_MS


class AnotherMeter(KeiError):
    """What the meter says of a day is not about the meter that was there then."""


class OtherValues(KeiError):
    """The meter tells others than most that are recorded of a day.

    Attributes:
        hours_off: by how many hours their times are too late, if it is that, as of a kei that took
            the meter's stamps for those of another zone; None if it is not.
    """

    def __init__(self, hours_off: int | None) -> None:
        super().__init__("the meter tells other values than are recorded")
        self.hours_off = hours_off


@dataclass(frozen=True, slots=True)
class Gap:
    """The half-hours of a day that are missing.

    Attributes:
        day: by the meter's calendar.
        from_ms: earlier values are not compared: they may be of another meter.
        missing: of each SensorID a bit for each half-hour, 0..47; never 0. The gaps of 99 days are
            held at once: as sets of times they would take 1 MB.
    """

    day: date
    from_ms: int
    missing: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many values are missing."""
        return sum(map(int.bit_count, self.missing.values()))

    @property
    def hours(self) -> range:
        """The half-hours of the day from the first to the last that is missing, 0..47."""
        any_of_them = reduce(or_, self.missing.values())
        first = (any_of_them & -any_of_them).bit_length() - 1
        return range(first, any_of_them.bit_length())


def start_ms(day: date) -> int:
    """Return when a day of the meter's calendar begins, milliseconds since 1970."""
    return epoch_ms(datetime.combine(day, time(), METER_ZONE))


def _numbered(day: date) -> Iterator[tuple[int, int]]:
    """Return the half-hours of a day: the number of each, 0..47, and its time as `start_ms`."""
    begin_ms = start_ms(day)
    return enumerate(range(begin_ms, begin_ms + DAY_MS, HALF_HOUR_MS))


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


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
        may_be = _bits(
            number for number, time_ms in _numbered(day) if from_ms <= time_ms <= until_ms
        )
        none = self._none.get(day.isoformat(), {})
        missing = {
            sensor: may_be & ~none.get(sensor, 0)
            for sensor in sensors
            if (day, sensor) not in self._silent
        }
        for each in self._half_hours.between(self._unit, tuple(missing), begin_ms, end_ms):
            missing[each.sensor] &= ~(1 << (each.time_ms - begin_ms) // HALF_HOUR_MS)
        found = {sensor: bits for sensor, bits in missing.items() if bits}
        if found:
            return Gap(day, from_ms, found)
        if end_ms <= until_ms:
            self._complete.add(day)
        return None

    def readings(
        self, gap: Gap, found: Mapping[str, Counts], scale: Scale, now_ms: int
    ) -> list[Reading]:
        """Return the readings of what was missing, and remember what the meter does not have.

        Args:
            gap: what was missing.
            found: what the meter has said of that day.
            scale: of its counts.
            now_ms: its time.

        Raises:
            OtherValues: most values that are known of that day are others.
            AnotherMeter: all of them are, also as stamps of another zone.
        """
        self._compare(gap, found, scale)
        made: list[Reading] = []
        for sensor, counts in found.items():
            wanted = gap.missing.get(sensor, 0)
            none = []
            for number, time_ms in _numbered(gap.day):
                if not wanted >> number & 1 or time_ms not in counts:
                    continue
                count = counts[time_ms]
                if count is not None:
                    kwh = scale.kwh(count)
                    made.append(Reading(time_ms, self._unit, sensor, kwh, DATA_ID, recovered=True))
                elif time_ms < now_ms - SURE_MS:
                    none.append(number)
            if none:
                self._have_none(gap.day, sensor, none)
        return sorted(made, key=lambda each: each.time_ms)

    def _compare(self, gap: Gap, found: Mapping[str, Counts], scale: Scale) -> None:
        """Compare what is known of a day with what the meter tells; errors as of `readings`."""
        begin_ms = max(start_ms(gap.day), gap.from_ms)
        known: dict[tuple[str, int], set[Decimal]] = {}
        for each in self._half_hours.between(
            self._unit, tuple(found), begin_ms, start_ms(gap.day) + DAY_MS
        ):
            known.setdefault((each.sensor, each.time_ms), set()).add(each.value)
        are_same = [
            scale.kwh(count) in values
            for (sensor, time_ms), values in known.items()
            if (count := found[sensor].get(time_ms)) is not None
        ]
        others = are_same.count(False)
        if 2 * others <= len(are_same):
            return
        hours_off = _hours_off(known, found, scale)
        if others >= SURE_OTHERS and not any(are_same) and hours_off is None:
            raise AnotherMeter(f"none of {others} values of {gap.day} is the one recorded")
        raise OtherValues(hours_off)

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

    def _have_none(self, day: date, sensor: str, numbers: list[int]) -> None:
        """Note half-hours that the meter does not have.

        That it has none of a whole day is believed when it says so again after another join: it may
        come from a power failure, and have its memory back in a moment.
        """
        of_day = self._none.setdefault(day.isoformat(), {})
        said_before = of_day.pop(sensor + _DOUBTFUL, 0)
        if len(numbers) == HALF_HOURS_A_DAY and not said_before:
            self._silent.add((day, sensor))
            sensor += _DOUBTFUL
        of_day[sensor] = of_day.get(sensor, 0) | _bits(numbers)


def _hours_off(
    known: Mapping[tuple[str, int], set[Decimal]], found: Mapping[str, Counts], scale: Scale
) -> int | None:
    """Return by how many hours known values have too late stamps; None if it is not that."""

    def fitting(hours: int) -> int:
        then = (
            (found[sensor].get(time_ms - hours * HOUR_MS), values)
            for (sensor, time_ms), values in known.items()
        )
        return sum(count is not None and scale.kwh(count) in values for count, values in then)

    best = max((*range(-14, 0), *range(1, 15)), key=fitting)
    # Most of them may be of the day before or behind.
    return best if 4 * fitting(best) >= len(known) else None


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
