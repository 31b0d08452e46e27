"""Decodes the meter's answers and notifications into readings."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation

import structlog

from kei.core.clock import Clock, Instant, epoch_ms
from kei.core.errors import KeiError, Malformed
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.echonet.frame import Property, property_map
from kei.echonet.meter_class import (
    PROPERTIES,
    TIME_STAMP_BYTES,
    UNIT_OF_SENSOR,
    Absent,
    ImpossibleStamp,
    Scale,
    Value,
    decode,
)
from kei.echonet.superclass import EPC_READABLE
from kei.meter.meter_clock import MeterClock
from kei.meter.scale import FIRST_EPCS, ScaleLearner
from kei.meter.stamps import HINTS, ClockTrust, Doubt, doubt_about
from kei.store.intake_queue import Record
from kei.wisun.interfaces import Answer, Memory

log = structlog.stdlib.get_logger("kei.meter")

DATA_ID = "x"  # of every reading of the meter
MOST_AT_ONCE = 6  # what a meter must handle (application interface specification, 2.4.4)
ASK_FIRST_AGAIN_S = 60.0  # a meter without a unit, or a weak link, must not hold up the rest
MAP_TRIES = 3  # to get the property map; then every property is asked for
LOOK_AT_CLOCK_S = 60.0  # between two looks whether the meter's clock is to be asked, or is off
HELD_MAX = 64  # energy values that wait for the unit; the meter sends two each half hour
_LEARNT_FROM = frozenset({EPC_READABLE, *FIRST_EPCS})
_NO_DATA_HINT = "this meter has no such value, as a two-wire service has no T phase; told once"
_UNIT_HINTS = {
    False: "energy waits for D3 and E1 of this meter",
    True: "this meter has no E1: set broute.energy_unit to the kWh of one count of its register",
}


def is_of_meter(reading: Reading) -> bool:
    """Tell whether a meter said it; which one, and in which unit, may have changed since."""
    return reading.data_id == DATA_ID and reading.sensor in UNIT_OF_SENSOR


class MeterDecoder:
    """Turns what a meter sends into readings, and learns what this meter has. Thread-safe.

    Energy values are held back until coefficient (D3) and unit (E1) are known from this meter;
    these are kept under the meter's address for the next start, and so is which values it never
    has. What a meter has no E1 for is counted in the unit of jobs.toml.

    Args:
        unit: UnitID of the readings.
        recorder: takes them.
        memory: keeps coefficient and unit.
        clock: wall and monotonic time.
        trust: whether the former can be trusted, so that the meter's time stamps are judged by it.
        on_joined: called after each join, to ask for everything once.
        energy_unit: kWh of one count of a meter that has no E1; None if jobs.toml has none.

    Attributes:
        most_at_once: how many properties this meter is asked for in one frame, 1..6.
        meter_clock: the meter's own clock, compared with the machine's.
        joins: how often a meter has been joined.
        met_ms: when the meter that is there was joined first since the start, milliseconds since
            1970; 0 before that.
        met_at: the same by the monotonic clock.
        joined_ms: when it was joined last.
    """

    def __init__(
        self,
        unit: str,
        recorder: Record,
        memory: Memory,
        *,
        clock: Clock,
        trust: ClockTrust,
        on_joined: Callable[[], None],
        energy_unit: Decimal | None = None,
    ) -> None:
        self.most_at_once = MOST_AT_ONCE
        self.meter_clock = MeterClock(clock, trust)
        self._unit = unit
        self._recorder = recorder
        self._memory = memory
        self._clock = clock
        self._trust = trust
        self._on_joined = on_joined
        self._incidents = Incidents(log, clock)
        self._meter = ""  # that has been joined: its MAC address
        self.joins = self.met_ms = self.joined_ms = 0
        self.met_at = 0.0
        self._learner = ScaleLearner(energy_unit)
        self._valueless: set[str] = set()  # SensorIDs that this meter has never had a value of
        self._valued: set[str] = set()  # those of which it has had one since the start
        self._readable: frozenset[int] | None = None
        self._map_tries = 0
        self._ask_first_at: float | None = None
        self._look_at_clock = 0.0
        self._held: deque[tuple[int, bytes, Instant]] = deque(maxlen=HELD_MAX)
        self._lock = threading.Lock()  # answers come in the threads of the request jobs

    @property
    def scale(self) -> Scale | None:
        """What turns counts into kWh; None until it is known from this meter."""
        return self._learner.scale

    @property
    def meter(self) -> str:
        """MAC address of the meter that has been joined last; empty before that."""
        return self._meter

    @property
    def readable(self) -> frozenset[int] | None:
        """The property map of the meter; None while it is not known."""
        return self._readable

    @property
    def is_scale_its_own(self) -> bool:
        """Whether the meter has said itself what its counts mean."""
        return self.scale is not None and not self._learner.is_unit_assumed

    def joined(self, meter: str, first: Answer) -> None:
        """Take the MAC address of the meter that has been joined and its first answer."""
        with self._lock:
            self.joins += 1
            self.joined_ms = self._clock.now_ms()
            if meter != self._meter:
                self.met_ms = self.joined_ms
                self.met_at = self._clock.monotonic()
                self._meter = meter
                self._held.clear()
                self._learner.begin(self._remembered_scale())
                self._valueless = set((self._recall("no_value") or "").split())
                self._valued.clear()
            # Learnt anew after each join: the meter may be another, or have been misjudged.
            self._readable, self._map_tries = None, 0
            self.most_at_once = MOST_AT_ONCE
            self._ask_first_at, self._look_at_clock = None, 0.0
            self.meter_clock.joined()
            self._learn(first)

    def ready(self) -> None:
        """Have everything asked for, as the meter can be asked from now on."""
        self._on_joined()

    def limit_at_once(self, count: int) -> None:
        """Ask for at most so many properties in one frame, as this meter answers no more."""
        limit = max(1, min(count, self.most_at_once))
        if limit < self.most_at_once:
            self.most_at_once = limit
            log.warning("fewer_properties_at_once", at_once=limit)

    def wanted_first(self) -> tuple[int, ...]:
        """Return what has to be asked, one by one, before anything else makes sense.

        The caller asks for it. It is returned again a minute later if it is still wanted then.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._ask_first_at is not None and now < self._ask_first_at:
                return ()
            self._ask_first_at = now + ASK_FIRST_AGAIN_S
            wanted = self._learner.wanted(self._readable)
            if not self._may_have_map:
                return wanted
            self._map_tries += 1
            return EPC_READABLE, *wanted

    def wanted_last(self) -> tuple[tuple[int, ...], ...]:
        """Return what has to be asked after everything else, one frame each: the meter's clock.

        The caller asks for it, and hands what comes to `meter_clock`.
        """
        now = self._clock.monotonic()
        if now < self._look_at_clock:
            return ()
        if self._readable is not None:
            self._look_at_clock = now + LOOK_AT_CLOCK_S
        return self.meter_clock.due(self._readable, self.most_at_once)

    @property
    def _may_have_map(self) -> bool:
        """Whether the property map is worth asking for; the standard requires one."""
        return self._readable is None and self._map_tries < MAP_TRIES

    def askable(self, epcs: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the properties that this meter has; log once which it lacks."""
        readable = self._readable
        if readable is None or readable.issuperset(epcs):
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
        """Record an answer's values; log once which properties this meter does not give."""
        for epc in asked:
            if epc in answer.properties:
                self._incidents.ended("property_not_given", key=epc)
            elif epc != EPC_READABLE:
                self._incidents.raised("property_not_given", key=epc, epc=f"{epc:02X}")
        with self._lock:
            if self._learner.scale is None or not _LEARNT_FROM.isdisjoint(answer.properties):
                self._learn(answer)
            self._record(answer.properties.items(), answer.at)

    def notified(self, properties: tuple[Property, ...], at: Instant) -> None:
        """Record what the meter sent by itself."""
        with self._lock:
            self._record([(item.epc, item.edt) for item in properties], at)

    def _learn(self, answer: Answer) -> None:
        """Take property map, coefficient and unit from an answer, as far as it has them."""
        if EPC_READABLE in answer.properties:
            try:
                self._readable = property_map(answer.properties[EPC_READABLE])
            except Malformed as error:
                self._map_tries = MAP_TRIES
                log.warning("property_map_malformed", reason=str(error))
        before = self._learner.scale
        self._learner.learn(answer, self._readable, may_have_map=self._may_have_map)
        scale = self._learner.scale
        if scale is None:
            return
        if scale != before:
            self._remember(scale)
        for hint in _UNIT_HINTS.values():
            self._incidents.ended("unit_unknown", key=hint)
        while self._held:
            epc, edt, at = self._held.popleft()
            self._record([(epc, edt)], at)

    def _record(self, properties: Iterable[tuple[int, bytes]], at: Instant) -> None:
        """Record the values with the time they came at, or with the meter's own time stamp."""
        measured_now: list[Reading] = []
        stamped: list[Reading] = []
        for epc, edt in properties:
            for value in self._values(epc, edt, at):
                sensor, number = value.sensor, value.value
                if isinstance(number, Absent):
                    self._note_absence(sensor, number)
                    continue
                self._note_value(sensor)
                if value.at is None:
                    measured_now.append(
                        Reading(at.time_ms, self._unit, sensor, number, DATA_ID, at.monotonic_ms)
                    )
                else:
                    time_ms = epoch_ms(value.at)
                    stamped.append(Reading(time_ms, self._unit, sensor, number, DATA_ID))
        if measured_now:
            self._recorder.record(measured_now)
        if stamped:
            self._recorder.record_once(stamped)

    def _values(self, epc: int, edt: bytes, at: Instant) -> tuple[Value, ...]:
        """Return the values of a property; none if it has to wait, or cannot be read."""
        spec = PROPERTIES.get(epc)
        if spec is None:
            if epc != EPC_READABLE:
                log.debug("property_ignored", epc=f"{epc:02X}")
            return ()
        if spec.number.needs_scale and self._learner.scale is None:
            self._held.append((epc, edt, at))
            hint = _UNIT_HINTS[self._learner.lacks_unit]
            self._incidents.raised("unit_unknown", key=hint, hint=hint)
            return ()
        try:
            values = decode(epc, edt, self._learner.scale)
        except ImpossibleStamp:
            self._refuse_stamp(epc, Doubt.IMPOSSIBLE, edt[:TIME_STAMP_BYTES].hex().upper())
            return ()
        except Malformed as error:
            self._incidents.raised("property_malformed", key=epc, reason=str(error))
            return ()
        self._incidents.ended("property_malformed", key=epc)
        if (stamp := values[0].at) is not None:
            doubt = doubt_about(stamp, self._clock, self._trust)
            if doubt is not None:
                self._refuse_stamp(epc, doubt, stamp.isoformat())
                return ()
            for each in Doubt:
                self._incidents.ended("stamp_refused", key=(epc, each))
        return values

    def _refuse_stamp(self, epc: int, why: Doubt, stamp: str) -> None:
        """Log that a value is not recorded because of its time stamp."""
        self._incidents.raised(
            "stamp_refused",
            key=(epc, why),
            epc=f"{epc:02X}",
            why=why.value,
            stamp=stamp,
            hint=HINTS[why],
        )

    def _note_absence(self, sensor: str, why: Absent) -> None:
        """Log that there is no value; what this meter never has one of, once and for all."""
        is_known = sensor in self._valueless
        hints = {"hint": _NO_DATA_HINT} if why is Absent.NO_DATA else {}
        self._incidents.raised(
            "no_value",
            key=sensor,
            level=logging.DEBUG if is_known else logging.WARNING,
            sensor=sensor,
            why=why.value,
            **hints,
        )
        if why is Absent.NO_DATA and not is_known and sensor not in self._valued:
            self._valueless.add(sensor)
            self._keep("no_value", " ".join(sorted(self._valueless)))

    def _note_value(self, sensor: str) -> None:
        self._incidents.ended("no_value", key=sensor)
        self._valued.add(sensor)
        if sensor in self._valueless:
            self._valueless.remove(sensor)
            self._keep("no_value", " ".join(sorted(self._valueless)))

    def _remembered_scale(self) -> Scale | None:
        text = self._recall("scale") or ""
        try:
            coefficient, _, unit = text.partition(" ")
            return Scale(int(coefficient), Decimal(unit)) if text else None
        except (ValueError, InvalidOperation) as error:
            log.warning("memory_unreadable", key=self._key("scale"), reason=str(error))
            return None

    def _remember(self, scale: Scale) -> None:
        source = "jobs.toml" if self._learner.is_unit_assumed else "meter"
        log.info(
            "meter_scale", coefficient=scale.coefficient, unit_kwh=str(scale.unit), source=source
        )
        if not self._learner.is_unit_assumed:  # or else it would win over jobs.toml from then on
            self._keep("scale", f"{scale.coefficient} {scale.unit}")

    def _key(self, what: str) -> str:
        return f"meter.{self._meter}.{what}"

    def _recall(self, what: str) -> str | None:
        """Return what was kept of this meter."""
        try:
            return self._memory.get_state(self._key(what))
        except KeiError as error:
            log.warning("memory_unreadable", key=self._key(what), reason=str(error))
            return None

    def _keep(self, what: str, text: str) -> None:
        """Keep something of this meter for the next start."""
        try:
            self._memory.set_state(self._key(what), text)
        except KeiError as error:
            log.warning("memory_unwritable", key=self._key(what), reason=str(error))
