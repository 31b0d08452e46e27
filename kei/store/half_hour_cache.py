"""The half-hour registers of a year in memory, for a page that is looked at again and again.

Reading a year of them from the card takes a small computer many seconds. Here they are read once,
as far back as somebody wants to see, and then only what has been recorded since, which may be of
any time: the meter's memory fills gaps. A year of both registers is 280 kB.
"""

import sqlite3
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from kei.core.clock import Clock
from kei.energy.registers import HALF_HOUR_MS
from kei.store import half_hours
from kei.store.read_only import recorded
from kei.store.recovery import only_in_text
from kei.store.rows import Stored, packed_as_scaled, places_of, scaled, unscaled
from kei.store.text import DailyFile

KEPT = 420 * 48  # half-hours: thirteen months and some days
LOOK_AGAIN_S = 2.0  # many look at the same page
_UNKNOWN = -1  # registers are never negative
_LARGEST = 2**63 - 1  # of an array's number; there is no such register

_NEW = (
    "SELECT r.time_ms, s.sensor, r.value, s.places FROM readings r"
    " CROSS JOIN series s ON s.id = r.series_id WHERE r.id > ? AND r.id <= ?"
    f" AND s.unit = ? AND r.time_ms % {HALF_HOUR_MS} = 0 ORDER BY r.id"
)


@dataclass(slots=True)
class _Registers:
    """What is known of one unit.

    Attributes:
        unit: UnitID.
        origin: number of the half-hour, since 1970, of the first element.
        newest_id: of the rows that have been looked at.
        values: ten-thousandths by SensorID.
        places: with how many decimals they are written.
        begun: number of the half-hour from which on all has been read.
        changes: how many are new, or others than before; not those that are only read back.
    """

    unit: str
    origin: int
    newest_id: int
    values: Mapping[str, "array[int]"]
    places: dict[str, int] = field(default_factory=dict)
    begun: int = 0
    changes: int = 0

    def put(self, time_ms: int, sensor: str, number: int, places: int) -> bool:
        """Keep a register, and return whether it is another one; what is none is passed over."""
        values = self.values.get(sensor)
        at = time_ms // HALF_HOUR_MS - self.origin
        if values is None or time_ms % HALF_HOUR_MS or not 0 <= at < 2 * KEPT:
            return False
        if not 0 <= number <= _LARGEST:
            return False
        values.extend([_UNKNOWN] * (at + 1 - len(values)))
        is_other = values[at] != number
        values[at] = number
        self.places[sensor] = max(places, self.places.get(sensor, 0))
        return is_other


class HalfHourCache:
    """Half-hour registers from memory. Thread-safe.

    Args:
        clock: says how old they are.
        sensors: SensorIDs of the registers.
    """

    def __init__(self, clock: Clock, sensors: Sequence[str]) -> None:
        self._clock = clock
        self._sensors = tuple(sensors)
        self._lock = threading.Lock()
        self._known: _Registers | None = None
        self._looked: float | None = None

    def version(self, path: Path, text: DailyFile, unit: str) -> object:
        """Return what is another one when there is anything new; as `at_half_hours`."""
        with self._lock:
            known = self._present(path, text, unit)
            return id(known), known.changes

    def at_half_hours(
        self,
        path: Path,
        text: DailyFile,
        from_ms: int,
        to_ms: int,
        unit: str,
        sensors: Sequence[str],
    ) -> Iterator[tuple[int, dict[str, Decimal]]]:
        """Yield the same as `kei.store.half_hours.at_half_hours`, of which it has the arguments."""
        first = from_ms // HALF_HOUR_MS
        with self._lock:
            known = self._present(path, text, unit)
            if first >= known.origin:
                self._reach_back(known, first, path, text)
        if first < known.origin:  # older than what is kept
            yield from half_hours.at_half_hours(path, text, from_ms, to_ms, unit, sensors)
            return
        last = known.origin + max(map(len, known.values.values()))  # whatever year is asked for
        for number in range(first, min(to_ms // HALF_HOUR_MS + 1, last)):
            at = number - known.origin
            found = {
                sensor: unscaled(values[at], known.places[sensor])
                for sensor, values in known.values.items()
                if at < len(values) and values[at] != _UNKNOWN and sensor in sensors
            }
            if found:
                yield number * HALF_HOUR_MS, found

    def _present(self, path: Path, text: DailyFile, unit: str) -> _Registers:
        """Return what is known, with what has been recorded since the last look."""
        known, now = self._known, self._clock.monotonic()
        present = self._clock.now_ms() // HALF_HOUR_MS
        is_fit = known is not None and known.unit == unit and 0 <= present - known.origin < 2 * KEPT
        if known is not None and is_fit and self._looked is not None:
            if now - self._looked < LOOK_AGAIN_S:
                return known
        else:
            known = None
        with recorded(path) as connection:
            newest_id, recent = only_in_text(connection, text)
            if known is None or newest_id < known.newest_id:  # another database
                values = {sensor: array("q") for sensor in self._sensors}
                known = _Registers(unit, present - KEPT, newest_id, values, begun=present + 1)
            _take_new(connection, known, newest_id)
        for each in recent:
            if each.unit == unit:
                value = each.value
                known.changes += known.put(
                    each.time_ms, each.sensor, scaled(value), places_of(value)
                )
        self._known, self._looked = known, now
        return known

    def _reach_back(self, known: _Registers, first: int, path: Path, text: DailyFile) -> None:
        """Read what is older than what is known."""
        if first >= known.begun:
            return
        span = (first * HALF_HOUR_MS, known.begun * HALF_HOUR_MS)
        for time_ms, found in half_hours.at_half_hours(
            path, text, *span, known.unit, self._sensors
        ):
            for sensor, value in found.items():
                known.put(time_ms, sensor, scaled(value), places_of(value))
        known.begun = first


def _take_new(connection: sqlite3.Connection, known: _Registers, newest_id: int) -> None:
    # One by one: after gaps have been filled there are ten thousand, 2 MB of memory.
    rows: Iterator[tuple[int, str, Stored, int]] = connection.execute(
        _NEW, (known.newest_id, newest_id, known.unit)
    )
    for time_ms, sensor, stored, places in rows:
        known.changes += known.put(time_ms, sensor, packed_as_scaled(stored), places)
    known.newest_id = newest_id
