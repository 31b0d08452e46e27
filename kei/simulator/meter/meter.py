"""The simulated meter: ECHONET Lite requests in, answers out. No I/O and no delays.

It answers as class 0x0288, with every property that real meters of its release have, and as the
node profile.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kei.core.errors import Malformed
from kei.echonet.frame import (
    CONTROLLER,
    METER,
    NODE_PROFILE,
    Esv,
    Frame,
    Property,
    decode,
    encode_property_map,
)
from kei.simulator.household.adjustable import AdjustableLoad, InstalledLoad
from kei.simulator.household.household import Load
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import (
    HALF_HOUR_S,
    HALF_HOURS_MAX,
    MINUTES_MAX,
    EnergyCounter,
    History,
    Segments,
    date_bytes,
    last_half_hour,
    signed,
    stamped,
    time_bytes,
)

_MAKER = b"\x00\x00\x16"
_NOT_MEASURED = b"\x7f\xfe"
_MINUTE_S = 60
_INSTALLATION_SIZES = frozenset({1, 17})
_ANNOUNCED = frozenset({0x80, 0x81, 0x88})
_INSTANCE_LIST = b"\x01" + METER.to_bytes(3, "big")

Getter = Callable[[int], bytes]
"""The data of a property at a local second."""
Setter = Callable[[bytes], bool]
"""Sets the data of a property; returns whether they are accepted."""


@dataclass(frozen=True, slots=True)
class _Object:
    """The properties of an ECHONET object, by EPC."""

    get: dict[int, Getter]
    set: dict[int, Setter]
    announce: dict[int, Getter]  # for INF_REQ only


_NOTHING = _Object({}, {}, {})


class Meter:
    """A smart meter.

    Args:
        household: what it measures.
        now: its clock, local seconds since 1970-01-01 00:00.
        kind: None is the most usual one.
    """

    def __init__(
        self, household: Load, now: Callable[[], float], kind: MeterType | None = None
    ) -> None:
        self.now = now
        self.kind = kind or MeterType()
        if self.kind.installed_s is not None:
            household = InstalledLoad(household, self.kind.installed_s)
        self._household = AdjustableLoad(household)
        has_reverse = 0xE3 not in self.kind.lacks
        self._counter = EnergyCounter(self._household, self.kind.counting, has_reverse=has_reverse)
        kept, foreign = self.kind.remembers, self.kind.foreign_sets
        self._history = History(self._counter, kept, foreign)
        self._half_hours = Segments(self._counter, HALF_HOUR_S, HALF_HOURS_MAX, kept, foreign)
        self._minutes = Segments(self._counter, _MINUTE_S, MINUTES_MAX, kept, foreign)
        self._location = b"\x61"  # outdoors, as a meter is
        self._tid = 0
        self._objects = {METER: self._meter_object(), NODE_PROFILE: self._node_profile()}

    def set_power(self, watt: int | None) -> None:
        """Set the household's power from now on, W; None is its own power again."""
        self._household.set_power(watt, int(self.now()))

    def respond(self, payload: bytes, *, refuse: bool = False) -> bytes | None:
        """Return the answer to a datagram of any bytes; None if it needs none, or is no request.

        It refuses every property if that is wanted.
        """
        try:
            request = decode(payload)
        except Malformed:
            return None
        target = self._objects.get(request.deoj)
        if target is None and request.esv is Esv.SETI:
            return None
        answer = self._answer(request, _NOTHING if refuse or target is None else target)
        return None if answer is None else answer.encode()

    def _answer(self, request: Frame, target: _Object) -> Frame | None:
        back = replace(request, seoj=request.deoj, deoj=request.seoj)
        match request.esv:
            case Esv.GET | Esv.INF_REQ:
                informs = request.esv is Esv.INF_REQ
                read = self._read(
                    request.properties, target.get | target.announce if informs else target.get
                )
                if all(item.edt for item in read):
                    return replace(back, esv=Esv.INF if informs else Esv.GET_RES, properties=read)
                return replace(back, esv=Esv.INF_SNA if informs else Esv.GET_SNA, properties=read)
            case Esv.SETC | Esv.SETI:
                confirms = request.esv is Esv.SETC
                done, written = _write(request.properties, target.set)
                if done:
                    return replace(back, esv=Esv.SET_RES, properties=written) if confirms else None
                return replace(
                    back, esv=Esv.SETC_SNA if confirms else Esv.SETI_SNA, properties=written
                )
            case Esv.SETGET:  # meters need not support it
                refused = tuple(Property(item.epc) for item in request.get_properties)
                return replace(back, esv=Esv.SETGET_SNA, get_properties=refused)
            case Esv.INFC:  # a notification that wants to be confirmed (Part 2, 4.2.3.5)
                if target is _NOTHING:
                    return None
                heard = tuple(Property(item.epc) for item in request.properties)
                return replace(back, esv=Esv.INFC_RES, properties=heard)
            case _:
                return None

    def instance_list(self) -> bytes:
        """Return the announcement of its objects, INF D5."""
        return self._notification(
            NODE_PROFILE, NODE_PROFILE, Esv.INF, Property(0xD5, _INSTANCE_LIST)
        )

    def half_hour_values(self, *, confirmed: bool) -> bytes | None:
        """Return the notification of :00 and :30, INF or INFC of EA and EB.

        None if the meter has neither of the two.
        """
        second = int(self.now())
        service = Esv.INFC if confirmed else Esv.INF
        getters = self._objects[METER].get
        values = tuple(
            Property(epc, getters[epc](second)) for epc in (0xEA, 0xEB) if epc in getters
        )
        return self._notification(METER, CONTROLLER, service, *values) if values else None

    def _notification(self, seoj: int, deoj: int, esv: Esv, *properties: Property) -> bytes:
        """Return a frame with a transaction number of the meter."""
        self._tid = self._tid + 1 & 0xFFFF
        return Frame(self._tid, seoj, deoj, esv, properties).encode()

    def _read(
        self, asked: tuple[Property, ...], getters: dict[int, Getter]
    ) -> tuple[Property, ...]:
        second = int(self.now())
        return tuple(
            Property(item.epc, getters[item.epc](second) if item.epc in getters else b"")
            for item in asked
        )

    def _meter_object(self) -> _Object:
        home, counter, history = self._household, self._counter, self._history
        setup, serial_number = counter.setup, self.kind.serial_number.encode()
        get: dict[int, Getter] = {
            0x80: lambda _: b"\x30",
            0x81: lambda _: self._location,
            0x82: lambda _: b"\0\0R\0" if self.kind.next_gen else b"\0\0F\0",
            0x88: lambda _: b"\x42",
            0x8A: lambda _: _MAKER,
            0x8D: lambda _: serial_number,
            0x97: time_bytes,
            0x98: date_bytes,
            0xD3: lambda _: setup.coefficient.to_bytes(4, "big"),
            0xD7: lambda _: setup.digits.to_bytes(1, "big"),
            0xE0: counter.normal,
            0xE1: lambda _: setup.unit.to_bytes(1, "big"),
            0xE2: history.normal_day,
            0xE3: counter.reverse,
            0xE4: history.reverse_day,
            0xE5: history.day,
            0xE7: lambda second: signed(home.watt(second), 4),
            0xE8: self._currents,
            0xEA: lambda second: stamped(last_half_hour(second), counter.normal),
            0xEB: lambda second: stamped(last_half_hour(second), counter.reverse),
            0xEC: self._half_hours.values,
            0xED: self._half_hours.selected,
        }
        set_: dict[int, Setter] = {
            0x81: self._set_location,
            0xE5: history.select_day,
            0xED: self._half_hours.select,
        }
        if self.kind.next_gen:
            get |= {
                0xC0: lambda _: b"\0" + _MAKER + serial_number,
                0xD0: self._last_minute,
                0xEE: self._minutes.values,
                0xEF: self._minutes.selected,
            }
            set_[0xEF] = self._minutes.select
        lacks = self.kind.lacks
        return _with_maps(
            {epc: getter for epc, getter in get.items() if epc not in lacks},
            {epc: setter for epc, setter in set_.items() if epc not in lacks},
        )

    def _currents(self, second: int) -> bytes:
        on_r, on_t = self._household.current_tenths(second)
        if self.kind.two_wire:
            return signed(on_r + on_t, 2) + _NOT_MEASURED
        return signed(on_r, 2) + signed(on_t, 2)

    def _last_minute(self, second: int) -> bytes:
        minute = second // _MINUTE_S * _MINUTE_S
        return stamped(minute, lambda at: self._counter.normal(at) + self._counter.reverse(at))

    def _node_profile(self) -> _Object:
        get: dict[int, Getter] = {
            0x80: lambda _: b"\x30",
            0x82: lambda _: b"\x01\x0e\x01\x00",
            0x83: lambda _: b"\xfe\x00\x00\x16" + bytes(12) + b"\x01",
            0x8A: lambda _: _MAKER,
            0xD3: lambda _: b"\x00\x00\x01",
            0xD4: lambda _: b"\x00\x02",
            0xD6: lambda _: _INSTANCE_LIST,
            0xD7: lambda _: b"\x01" + METER.to_bytes(3, "big")[:2],
        }
        announce: dict[int, Getter] = {0xD5: lambda _: _INSTANCE_LIST}
        return _with_maps(get, {}, announce)

    def _set_location(self, edt: bytes) -> bool:
        if len(edt) not in _INSTALLATION_SIZES:
            return False
        self._location = edt
        return True


def _write(
    given: tuple[Property, ...], setters: dict[int, Setter]
) -> tuple[bool, tuple[Property, ...]]:
    """Set properties; return whether all were accepted, and the answer's entry for each."""
    taken = [item.epc in setters and setters[item.epc](item.edt) for item in given]
    answers = tuple(
        Property(item.epc) if accepted else item
        for item, accepted in zip(given, taken, strict=True)
    )
    return all(taken), answers


def _with_maps(
    get: dict[int, Getter], set_: dict[int, Setter], announce: dict[int, Getter] | None = None
) -> _Object:
    """Return an object with its property maps, made from the tables themselves."""
    on_request = announce or {}
    announced = (_ANNOUNCED & get.keys()) | on_request.keys()
    maps = {
        0x9D: encode_property_map(frozenset(announced)),
        0x9E: encode_property_map(frozenset(set_)),
        0x9F: encode_property_map(frozenset({*get, 0x9D, 0x9E, 0x9F})),
    }
    getters = get | {epc: lambda _, edt=edt: edt for epc, edt in maps.items()}
    return _Object(getters, set_, on_request)
