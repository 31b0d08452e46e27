"""Fills the gaps of the one-minute record of newer meters (EF, EE), an hour at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from kei.core.clock import local
from kei.core.reading import Reading
from kei.echonet.history import MINUTES_MAX, Registers
from kei.echonet.meter_class import METER_ZONE, Scale
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.decoder import DATA_ID
from kei.meter.gaps import SURE_MS
from kei.meter.history import NORMAL, HistoryReader
from kei.store.half_hours import HalfHours

BOUGHT, SOLD = "D0", "D0R"  # SensorIDs of property D0, which tells the same of the last minute
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
# Nobody has published how far back a meter has its minutes: where it has none for so many hours in
# a row, that are asked for from the newest on, its memory ends.
EMPTY_HOURS_MAX = 3


class Minutes:
    """Asks a meter for the minutes that the database lacks, the newest hour first. One thread.

    Args:
        unit: UnitID of the meter.
        reader: asks the meter.
        readings: what there is.
        recover: records values that were made good, as `JobContext.recover`.
    """

    def __init__(
        self,
        unit: str,
        reader: HistoryReader,
        readings: HalfHours,
        recover: Callable[[Sequence[Reading]], int],
    ) -> None:
        self._unit = unit
        self._reader = reader
        self._readings = readings
        self._recover = recover
        self._none: set[int] = set()  # minutes that the meter does not have, ms since 1970
        self._complete: set[int] = set()  # hours, by their first minute
        self._oldest_ms = 0  # the meter has nothing that is older

    def fill(
        self, from_ms: int, until_ms: int, scale: Scale, half_hours: Iterable[str]
    ) -> Iterator[tuple[int, int]]:
        """Fill one hour after the other; yield its beginning and how many values were new.

        Args:
            from_ms: the oldest minute that is wanted, milliseconds since 1970.
            until_ms: the newest one that the meter must have.
            scale: of the registers.
            half_hours: SensorIDs of half-hour registers that the meter tells in no other way: at
                :00 and :30 they are the same.

        Raises:
            Refused: the meter has no such history.
            KeiError: as of `HistoryReader.read`, and `StoreError`.
        """
        empty = 0
        for hour_ms in range(until_ms // HOUR_MS * HOUR_MS, from_ms - HOUR_MS, -HOUR_MS):
            if hour_ms < self._oldest_ms:
                return
            missing = self._missing(hour_ms, from_ms, until_ms)
            if not missing:
                continue
            found = [each for block in _blocks(missing) for each in self._read(block)]
            self._note_none(found)
            readings = [
                reading
                for each in found
                for reading in self._of(each, scale, half_hours)
                if reading.time_ms in missing
            ]
            empty = 0 if readings else empty + 1
            if empty == EMPTY_HOURS_MAX:
                self._oldest_ms = hour_ms
            yield hour_ms, self._recover(readings) if readings else 0

    def _missing(self, hour_ms: int, from_ms: int, until_ms: int) -> set[int]:
        """Return the minutes of an hour that are missing and may be had."""
        if hour_ms in self._complete:
            return set()
        end_ms = hour_ms + HOUR_MS
        there = self._readings.between(self._unit, (BOUGHT,), hour_ms, end_ms, MINUTE_MS)
        known = {reading.time_ms for reading in there}
        first, last = max(hour_ms, from_ms), min(end_ms - MINUTE_MS, until_ms)
        missing = {
            time_ms
            for time_ms in range(hour_ms, end_ms, MINUTE_MS)
            if first <= time_ms <= last and time_ms not in known and time_ms not in self._none
        }
        if not missing and end_ms <= until_ms:
            self._complete.add(hour_ms)
        return missing

    def _read(self, block: Sequence[int]) -> tuple[Registers, ...]:
        number = (block[0] - block[-1]) // MINUTE_MS + 1
        return self._reader.read_minutes(local(block[0], METER_ZONE), number)

    def _note_none(self, found: Iterable[Registers]) -> None:
        sure = self._reader.now() - timedelta(milliseconds=SURE_MS)
        self._none |= {_ms(each) for each in found if each.normal is None and each.at < sure}

    def _of(
        self, registers: Registers, scale: Scale, half_hours: Iterable[str]
    ) -> Iterator[Reading]:
        time_ms = _ms(registers)
        values = {BOUGHT: registers.normal, SOLD: registers.reverse}
        if time_ms % HALF_HOUR_MS == 0:
            values |= {
                sensor: registers.normal if sensor == NORMAL else registers.reverse
                for sensor in half_hours
            }
        for sensor, count in values.items():
            if count is not None:
                kwh = scale.kwh(count)
                yield Reading(time_ms, self._unit, sensor, kwh, DATA_ID, recovered=True)


def _ms(registers: Registers) -> int:
    return round(registers.at.timestamp()) * 1000


def _blocks(missing: Iterable[int]) -> Iterator[list[int]]:
    """Yield the minutes in blocks that one answer has, the newest first."""
    block: list[int] = []
    for time_ms in sorted(missing, reverse=True):
        if block and block[0] - time_ms >= MINUTES_MAX * MINUTE_MS:
            yield block
            block = []
        block.append(time_ms)
    yield block
