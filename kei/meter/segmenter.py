"""Notices that a meter is another one, or counts in another way: then a new segment begins."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from itertools import pairwise

import structlog

from kei.core.reading import Reading
from kei.echonet.meter_class import Scale
from kei.echonet.superclass import EPC_MAKER, EPC_SERIAL_NUMBER, describe
from kei.energy.registers import HALF_HOUR_MS
from kei.store.half_hours import HalfHours
from kei.store.segments import Identity, Segment, Segments

log = structlog.stdlib.get_logger("kei.meter")

FIRST, FELL = "the first", "the register fell"
EPC_DIGITS, _DIGITS = 0xD7, range(1, 9)
IDENTITY_EPCS = (EPC_MAKER, EPC_SERIAL_NUMBER, EPC_DIGITS)
# SensorIDs of registers as they are, and as they were at the last full or half hour.
LIVE, STAMPED = ("E0", "E3"), ("EA", "EB")
ANOTHER_METER = frozenset({"another maker", "another serial number"})
# Of the whole range of a register: what is used between two half-hours, or in a gap, is far less.
ROLL_OVER_SHARE = Decimal("0.1")


def identity_of(
    properties: Mapping[int, bytes], has: Collection[int] = IDENTITY_EPCS, address: str = ""
) -> Identity:
    """Return what a meter's answers say of it; what it has not given is not known.

    Args:
        properties: the data that it has given.
        has: those of `IDENTITY_EPCS` that it has by its map.
        address: its MAC address, which tells it from others if it has no serial number.
    """
    maker, serial, digits = (properties.get(epc) for epc in IDENTITY_EPCS)
    by_address = f"MAC {address}" if address and EPC_SERIAL_NUMBER not in has else None
    return Identity(
        maker=None if maker is None else maker.hex().upper(),
        serial=by_address if serial is None else describe(EPC_SERIAL_NUMBER, serial),
        digits=digits[0] if digits and digits[0] in _DIGITS else None,
    )


def fallen(readings: Iterable[Reading], scale: Scale, digits: int) -> Reading | None:
    """Return the first reading of a register that is lower than the one before without roll-over.

    Args:
        readings: of one series, in the order of their times.
        scale: of its counts.
        digits: EPC D7; after so many nines it goes on at zero.
    """
    whole = scale.kwh(10**digits)
    for before, after in pairwise(readings):
        step = after.value - before.value
        if step < 0 and step + whole > ROLL_OVER_SHARE * whole:
            return after
    return None


def _falls(before: Reading, after: Reading, scale: Scale, identity: Identity) -> bool:
    """Return whether a register falls without roll-over; False if its range is not known."""
    if identity.digits is None:
        return False
    coefficient, unit = identity.coefficient, identity.energy_unit
    counts = Scale(coefficient or scale.coefficient, unit or scale.unit)
    return fallen((before, after), counts, identity.digits) is not None


class Segmenter:
    """Compares a meter with what is known of it, and begins segments. Raises `StoreError`.

    Args:
        segments: where they are.
        half_hours: the readings.
        unit: UnitID of the meter.
    """

    def __init__(self, segments: Segments, half_hours: HalfHours, unit: str) -> None:
        self._segments = segments
        self._half_hours = half_hours
        self._unit = unit

    def look_at(self, identity: Identity, met_ms: int, joined_ms: int) -> int:
        """Begin a segment if this is another meter than before; return when its memory begins.

        Args:
            identity: of the meter that is there now.
            met_ms: when it was joined first, as far as is known, milliseconds since 1970.
            joined_ms: when it was joined last.

        Returns:
            the first instant of which the meter that is there now can tell, milliseconds since
            1970: what it says of earlier ones is not about this house, or in another unit.
        """
        found = self._segments.of(self._unit)
        if not found:
            self._begin(0, FIRST, identity)
            return 0
        last = found[-1]
        if (reason := identity.differs_from(last.identity)) is not None:
            until_ms = met_ms if reason in ANOTHER_METER else joined_ms
            from_ms = max(last.from_ms, self._newest_ms(until_ms)) + 1
            self._begin(from_ms, reason, identity)
            return from_ms
        self._segments.complete(self._unit, identity)
        return max((each.from_ms for each in found if each.reason != FELL), default=0)

    def _newest_ms(self, until_ms: int) -> int:
        """Return the time of the last reading that is surely of before an instant; 0 for none."""
        for sensors, before_ms in ((LIVE, until_ms), (STAMPED, until_ms - HALF_HOUR_MS)):
            newest_ms = self._half_hours.newest_ms(self._unit, sensors, before_ms)
            if newest_ms is not None:
                return newest_ms
        return 0

    def look_for_falls(
        self, sensors: Iterable[str], from_ms: int, to_ms: int, scale: Scale
    ) -> None:
        """Begin a segment wherever a register falls between two instants, and stays down.

        Of several values of an instant that counts which was recorded last, as in `kei energy`; a
        fall that the next value takes back is a wrong value, and no other meter.
        """
        known = self._segments.of(self._unit)
        for sensor in sensors:
            readings = self._half_hours.between(self._unit, (sensor,), from_ms, to_ms)
            last = list({reading.time_ms: reading for reading in readings}.values())
            for before, after, following in zip(last, last[1:], last[2:], strict=False):
                if following.value >= before.value > after.value:
                    continue
                if any(before.time_ms < each.from_ms <= after.time_ms for each in known):
                    continue
                there = [each.identity for each in known if each.from_ms <= after.time_ms]
                if there and _falls(before, after, scale, there[-1]):
                    self._begin(after.time_ms, FELL, there[-1])
                    known = self._segments.of(self._unit)

    def _begin(self, from_ms: int, reason: str, identity: Identity) -> None:
        self._segments.begin(Segment(self._unit, from_ms, reason, identity))
        if reason != FIRST:
            log.warning(
                "meter_segment_began",
                why=reason,
                from_ms=from_ms,
                hint="no difference of registers is computed across that instant",
            )
