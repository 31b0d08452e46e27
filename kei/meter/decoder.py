"""The meter as a source of readings: answers and notifications in, readings out."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import structlog

from kei.core.clock import Clock, epoch_ms
from kei.core.errors import KeiError, Malformed
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.echonet.frame import Property, property_map
from kei.echonet.meter_class import (
    EPC_COEFFICIENT,
    EPC_ENERGY_UNIT,
    PROPERTIES,
    Absent,
    Scale,
    Value,
    decode,
)
from kei.store.intake_queue import Record
from kei.wisun.interfaces import Answer, Memory

log = structlog.stdlib.get_logger("kei.meter")

DATA_ID = "x"  # of every reading of the meter
EPC_READABLE = 0x9F  # the map of the properties that a Get may ask for (super class)
MOST_AT_ONCE = 6  # what a meter must handle (application interface specification, 2.4.4)
FIRST_EPCS = (EPC_COEFFICIENT, EPC_ENERGY_UNIT)  # asked right after joining
COEFFICIENT_WHERE_ABSENT = 1  # class 0x0288, EPC D3
ASK_FIRST_AGAIN_S = 60.0  # a meter without a unit, or a weak link, must not hold up the rest
MAP_TRIES = 3  # then the meter does without
HELD_MAX = 64  # energy values that wait for the unit; the meter sends two each half hour


@dataclass(frozen=True, slots=True)
class _Held:
    epc: int
    edt: bytes
    at_ms: int


class MeterDecoder:
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
        self._incidents = Incidents(log, clock)
        self._meter: str | None = None
        self._coefficient: int | None = None
        self._is_coefficient_assumed = False
        self._energy_unit: Decimal | None = None
        self._readable: frozenset[int] | None = None
        self._map_tries = 0
        self._ask_first_at: float | None = None
        self._most_at_once = MOST_AT_ONCE
        self._held: deque[_Held] = deque(maxlen=HELD_MAX)
        self._lock = (
            threading.RLock()
        )  # answers come from the request jobs, the rest from the session thread

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
                self._is_coefficient_assumed = False
            # Learnt anew after each join: the meter may be another, or have been misjudged.
            self._readable, self._map_tries = None, 0
            self._most_at_once = MOST_AT_ONCE
            self._ask_first_at = None
            self._learn(first.properties, first.refused)

    def ready(self) -> None:
        """Hear that the meter can be asked from now on."""
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
        """Return what has to be asked, one by one, before anything else makes sense.

        Whoever gets it asks it: the next one gets it again in a minute, if it is still wanted.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._ask_first_at is not None and now < self._ask_first_at:
                return ()
            self._ask_first_at = now + ASK_FIRST_AGAIN_S
            wanted = []
            if self._may_have_map:
                wanted.append(EPC_READABLE)
                self._map_tries += 1
            if self._wants_coefficient:
                wanted.append(EPC_COEFFICIENT)
            if self._energy_unit is None and self._may_have(EPC_ENERGY_UNIT):
                wanted.append(EPC_ENERGY_UNIT)
            return tuple(wanted)

    @property
    def _may_have_map(self) -> bool:
        """Whether the property map is worth asking for; the standard requires one."""
        return self._readable is None and self._map_tries < MAP_TRIES

    @property
    def _wants_coefficient(self) -> bool:
        if self._coefficient is None:
            return self._may_have(EPC_COEFFICIENT)
        has_one = self._readable is not None and EPC_COEFFICIENT in self._readable
        return self._is_coefficient_assumed and has_one

    def _may_have(self, epc: int) -> bool:
        return self._readable is None or epc in self._readable

    def askable(self, epcs: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the properties that this meter has; say once which it lacks."""
        readable = self._readable
        if readable is None:
            return epcs
        for epc in epcs:
            if epc not in readable:
                self._incidents.raised(
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
                self._incidents.ended("property_not_given", key=epc)
            else:
                self._incidents.raised("property_not_given", key=epc, epc=f"{epc:02X}")
        with self._lock:
            self._learn(answer.properties, answer.refused)
            self._record(answer.properties.items(), answer.at_ms)

    def notified(self, properties: tuple[Property, ...], at_ms: int) -> None:
        """Record what the meter sent by itself."""
        with self._lock:
            self._record(((item.epc, item.edt) for item in properties), at_ms)

    def _learn_map(self, properties: dict[int, bytes]) -> None:
        if EPC_READABLE not in properties:
            return
        try:
            self._readable = property_map(properties[EPC_READABLE])
        except Malformed as error:
            self._map_tries = MAP_TRIES
            log.warning("property_map_malformed", reason=str(error))

    def _learn(self, properties: dict[int, bytes], refused: frozenset[int]) -> None:
        before = self.scale
        self._learn_map(properties)
        if EPC_COEFFICIENT in properties:
            value = self._number(EPC_COEFFICIENT, properties[EPC_COEFFICIENT])
            self._coefficient = int(value) if value is not None else self._coefficient
            self._is_coefficient_assumed &= value is None
        elif self._coefficient is None and self._lacks_coefficient(properties, refused):
            self._coefficient = COEFFICIENT_WHERE_ABSENT
            self._is_coefficient_assumed = True
        if EPC_ENERGY_UNIT in properties:
            value = self._number(EPC_ENERGY_UNIT, properties[EPC_ENERGY_UNIT])
            self._energy_unit = value if value is not None else self._energy_unit
        if self.scale is not None and self.scale != before:
            log.info("meter_scale", coefficient=self._coefficient, unit_kwh=str(self._energy_unit))
            self._keep()
            held, self._held = self._held, deque(maxlen=HELD_MAX)
            for item in held:
                self._record([(item.epc, item.edt)], item.at_ms)

    def _lacks_coefficient(self, given: Mapping[int, bytes], refused: frozenset[int]) -> bool:
        """Tell whether the meter has none; a meter that refuses everything may just be busy."""
        if self._readable is not None:
            return EPC_COEFFICIENT not in self._readable
        return EPC_COEFFICIENT in refused and (bool(given) or not self._may_have_map)

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
            self._incidents.raised("unit_unknown", hint="energy waits for D3 and E1 of this meter")
            return ()
        self._incidents.ended("unit_unknown")
        try:
            values = decode(epc, edt, self.scale)
        except Malformed as error:
            self._incidents.raised("property_malformed", key=epc, reason=str(error))
            return ()
        self._incidents.ended("property_malformed", key=epc)
        return values

    def _reading(self, value: Value, at_ms: int) -> Reading | None:
        if isinstance(value.value, Absent):
            self._incidents.raised(
                "no_value", key=value.sensor, sensor=value.sensor, why=value.value.value
            )
            return None
        self._incidents.ended("no_value", key=value.sensor)
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
