"""From a reading to its line; what cannot be written is set aside, counted and told once."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, tzinfo

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.store import pending
from kei.store.lines import dated_line
from kei.store.pending import Item
from kei.timekeeping.gate import TimeGate, Trust

log = structlog.stdlib.get_logger("kei.store")


@dataclass(slots=True)
class Line:
    """A reading with the time that it gets, its line, and the date of its file."""

    item: Item
    reading: Reading
    day: date
    text: str


class LineMaker:
    """Gives readings their time and their line.

    Args:
        gate: says which time is right.
        zone: of the lines.
        clock: for the log.

    Attributes:
        set_aside: how many readings could not be written.
    """

    def __init__(self, gate: TimeGate, zone: tzinfo, clock: Clock) -> None:
        self._gate = gate
        self._view = gate.view()
        self._zone = zone
        self._incidents = Incidents(log, clock)
        self.set_aside = 0

    def look(self) -> bool:
        """Look at the clock: `line` goes by that until the next look.

        So all lines that are written at once have the times of one instant, however long that takes
        and whatever becomes of the clock meanwhile.

        Returns:
            whether lines may be written.
        """
        self._view = self._gate.view()
        return not self._view.is_closed

    def line(self, item: Item) -> Line | None:
        """Return the line of a reading by what was seen of the clock; None if it has none."""
        try:
            reading = item.reading
            if item.offset_ms is not None:
                best_ms = self._view.best_offset_ms(item.offset_ms, item.trust)
                if best_ms != item.offset_ms:
                    reading = item.at(reading.time_ms + best_ms - item.offset_ms)
            day, text = dated_line(reading, self._zone)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one goes on
            self._refuse(item, error)
            return None
        return Line(item, reading, day, text)

    def storable(self, item: Item) -> Item | None:
        """Return a reading as it is saved in `pending`; None if it cannot be."""
        try:
            pending.check(item)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one goes on
            self._refuse(item, error)
            return None
        if item.offset_ms is None:
            return item
        trust = self._gate.view().trust_of(item.offset_ms, item.trust)
        return Item(item.reading, item.offset_ms, trust)

    def unsure_offsets_ms(self, lines: Iterable[Line]) -> list[int | None]:
        """Return by which setting of the clock each line has its time; None where that is sure."""
        view = self._gate.view()
        offsets: list[int | None] = []
        for line in lines:
            offset = line.item.offset_ms
            if offset is not None:
                offset += line.reading.time_ms - line.item.reading.time_ms
                if view.trust_of(offset, line.item.trust) is Trust.SURE:
                    offset = None
            offsets.append(offset)
        return offsets

    def _refuse(self, item: Item, error: Exception) -> None:
        self.set_aside += 1
        reading = item.reading
        self._incidents.raised(
            "reading_set_aside",
            level=logging.ERROR,
            unit=reading.unit,
            sensor=reading.sensor,
            value=str(reading.value),
            time_ms=reading.time_ms,
            reason=str(error) or repr(error),
            hint="it cannot be written; further ones are only counted, see kei status",
        )
