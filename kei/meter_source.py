"""The meter as a source of readings: answers and notifications in, readings out."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol

import structlog

from kei.clock import Clock, epoch_ms
from kei.echonet.frame import Property, property_map
from kei.echonet.meter import (
    EPC_COEFFICIENT,
    EPC_ENERGY_UNIT,
    PROPERTIES,
    Absent,
    Scale,
    Value,
    decode,
)
from kei.errors import KeiError, Malformed
from kei.faults import Faults
from kei.reading import Reading
from kei.wisun.exchange import Answer
from kei.wisun.seams import Memory

log = structlog.stdlib.get_logger("kei.meter")

DATA_ID = "x"  # of every reading of the meter
EPC_READABLE = 0x9F  # the map of the properties that a Get may ask for (super class)
MOST_AT_ONCE = 6  # what a meter must handle (application interface specification, 2.4.4)
FIRST_EPCS = (EPC_COEFFICIENT, EPC_ENERGY_UNIT)  # asked right after joining
COEFFICIENT_WHERE_ABSENT = 1  # class 0x0288, EPC D3
HELD_MAX = 64  # energy values that wait for the unit; the meter sends two each half hour


class Record(Protocol):
    """Where readings go."""

    def record(self, readings: Sequence[Reading]) -> None:
        """Write these."""

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Write those that are not yet there, by series and time."""


@dataclass(frozen=True, slots=True)
class _Held:
    epc: int
    edt: bytes
    at_ms: int


class MeterSource:
    """Turns what the meter says into readings, and knows what turns its counts into kWh.

    Thread-safe.

    Energy values are held back until coefficient (D3) and unit (E1) are known from this meter;
    they are kept under the meter's address for the next start.

    Args:
        unit: UnitID of the readings.
        recorder: takes them.
        memory: keeps coefficient and unit.
        clock: for the local time zone, in which the meter stamps its values.
        on_joined: called after each join, to ask everything once.
    """

    def __init__(
        self,
        unit: str,
        recorder: Record,
        memory: Memory,
        *,
        clock: Clock,
        on_joined: Callable[[], None],
    ) -> None:
        self._unit = unit
        self._recorder = recorder
        self._memory = memory
        self._clock = clock
        self._on_joined = on_joined
        self._faults = Faults(log, clock)
        self._meter: str | None = None
        self._coefficient: int | None = None
        self._energy_unit: Decimal | None = None
        self._readable: frozenset[int] | None = None
        self._has_map = True
        self._most_at_once = MOST_AT_ONCE
        self._held: deque[_Held] = deque(maxlen=HELD_MAX)
        self._lock = (
            threading.RLock()
        )  # answers come from the request jobs, the rest from the keeper

    @property
    def scale(self) -> Scale | None:
        """What turns counts into kWh, once it is known from this meter."""
        if self._coefficient is None or self._energy_unit is None:
            return None
        return Scale(self._coefficient, self._energy_unit)

    def joined(self, meter: str, first: Answer) -> None:
        """Take the address of the meter that has been joined and its first answer."""
        with self._lock:
            if meter != self._meter:
                self._meter = meter
                self._held.clear()
                self._coefficient, self._energy_unit = self._remembered()
            # Learnt anew after each join: the meter may be another, or have been misjudged.
            self._readable, self._has_map = None, True
            self._most_at_once = MOST_AT_ONCE
            self._learn(first.properties, first.refused)
        self._on_joined()

    @property
    def most_at_once(self) -> int:
        """How many properties this meter is asked for in one frame, 1..6."""
        return self._most_at_once

    def limit_at_once(self, count: int) -> None:
        """Ask for at most so many properties in one frame, as this meter answers no more."""
        limit = max(1, min(count, self._most_at_once))
        if limit < self._most_at_once:
            self._most_at_once = limit
            log.warning("fewer_properties_at_once", at_once=limit)

    def wanted_first(self) -> tuple[int, ...]:
        """Return what has to be asked, one by one, before anything else makes sense."""
        wanted = []
        if self._readable is None and self._has_map:
            wanted.append(EPC_READABLE)
        if self._coefficient is None:
            wanted.append(EPC_COEFFICIENT)
        if self._energy_unit is None:
            wanted.append(EPC_ENERGY_UNIT)
        return tuple(wanted)

    def askable(self, epcs: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the properties that this meter has; say once which it lacks."""
        readable = self._readable
        if readable is None:
            return epcs
        for epc in epcs:
            if epc not in readable:
                self._faults.raised(
                    "property_lacking",
                    key=epc,
                    epc=f"{epc:02X}",
                    hint="this meter does not have it, it is asked no more",
                )
        return tuple(epc for epc in epcs if epc in readable)

    def take(self, answer: Answer, asked: tuple[int, ...]) -> None:
        """Record an answer's values; say once which properties this meter does not give."""
        for epc in asked:
            if epc == EPC_READABLE:
                continue
            if epc in answer.properties:
                self._faults.ended("property_not_given", key=epc)
            else:
                self._faults.raised("property_not_given", key=epc, epc=f"{epc:02X}")
        with self._lock:
            self._learn(answer.properties, answer.refused)
            self._record(answer.properties.items(), answer.at_ms)

    def notified(self, properties: tuple[Property, ...], at_ms: int) -> None:
        """Record what the meter sent by itself."""
        with self._lock:
            self._record(((item.epc, item.edt) for item in properties), at_ms)

    def _learn_map(self, properties: dict[int, bytes], refused: frozenset[int]) -> None:
        if EPC_READABLE in refused:
            self._has_map = False
        elif EPC_READABLE in properties:
            try:
                self._readable = property_map(properties[EPC_READABLE])
            except Malformed as error:
                self._has_map = False
                log.warning("property_map_malformed", reason=str(error))
                return
            if EPC_COEFFICIENT not in self._readable and self._coefficient is None:
                self._coefficient = COEFFICIENT_WHERE_ABSENT

    def _learn(self, properties: dict[int, bytes], refused: frozenset[int]) -> None:
        before = self.scale
        self._learn_map(properties, refused)
        if EPC_COEFFICIENT in properties:
            value = self._number(EPC_COEFFICIENT, properties[EPC_COEFFICIENT])
            self._coefficient = int(value) if value is not None else self._coefficient
        elif EPC_COEFFICIENT in refused:
            self._coefficient = COEFFICIENT_WHERE_ABSENT
        if EPC_ENERGY_UNIT in properties:
            value = self._number(EPC_ENERGY_UNIT, properties[EPC_ENERGY_UNIT])
            self._energy_unit = value if value is not None else self._energy_unit
        if self.scale is not None and self.scale != before:
            log.info("meter_scale", coefficient=self._coefficient, unit_kwh=str(self._energy_unit))
            self._keep()
            held, self._held = self._held, deque(maxlen=HELD_MAX)
            for item in held:
                self._record([(item.epc, item.edt)], item.at_ms)

    @staticmethod
    def _number(epc: int, edt: bytes) -> Decimal | None:
        try:
            value = decode(epc, edt, None)[0].value
        except Malformed:
            return None
        return None if isinstance(value, Absent) else value

    def _record(self, properties: Iterable[tuple[int, bytes]], at_ms: int) -> None:
        plain: list[Reading] = []
        dated: list[Reading] = []
        for epc, edt in properties:
            for value in self._decode(epc, edt, at_ms):
                if (reading := self._reading(value, at_ms)) is not None:
                    (plain if value.at is None else dated).append(reading)
        if plain:
            self._recorder.record(plain)
        if dated:
            self._recorder.record_once(dated)

    def _decode(self, epc: int, edt: bytes, at_ms: int) -> tuple[Value, ...]:
        spec = PROPERTIES.get(epc)
        if spec is None:
            if epc == EPC_READABLE:
                return ()
            log.debug("property_ignored", epc=f"{epc:02X}")
            return ()
        if spec.needs_scale and self.scale is None:
            self._held.append(_Held(epc, edt, at_ms))
            self._faults.raised("unit_unknown", hint="energy waits for D3 and E1 of this meter")
            return ()
        self._faults.ended("unit_unknown")
        try:
            values = decode(epc, edt, self.scale)
        except Malformed as error:
            self._faults.raised("property_malformed", key=epc, reason=str(error))
            return ()
        self._faults.ended("property_malformed", key=epc)
        return values

    def _reading(self, value: Value, at_ms: int) -> Reading | None:
        if isinstance(value.value, Absent):
            self._faults.raised(
                "no_value", key=value.sensor, sensor=value.sensor, why=value.value.value
            )
            return None
        self._faults.ended("no_value", key=value.sensor)
        if value.at is not None:
            at_ms = epoch_ms(value.at.replace(tzinfo=self._clock.zone))
        return Reading(at_ms, self._unit, value.sensor, value.value, DATA_ID)

    def _remembered(self) -> tuple[int | None, Decimal | None]:
        try:
            text = self._memory.get_state(self._key()) or ""
            coefficient, _, unit = text.partition(" ")
            return (int(coefficient), Decimal(unit)) if text else (None, None)
        except (KeiError, ValueError, InvalidOperation) as error:
            log.warning("memory_unreadable", key=self._key(), reason=str(error))
            return None, None

    def _keep(self) -> None:
        try:
            self._memory.set_state(self._key(), f"{self._coefficient} {self._energy_unit}")
        except KeiError as error:
            log.warning("memory_unwritable", key=self._key(), reason=str(error))

    def _key(self) -> str:
        return f"meter.{self._meter}.scale"
