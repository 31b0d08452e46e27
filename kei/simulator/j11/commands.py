"""The requests that a J11 module takes: when, how long, and what they do."""

import struct
from collections.abc import Callable, Container
from dataclasses import dataclass

from kei.simulator.air.dongle import DONGLE_MAC, NOISE_LEVELS
from kei.simulator.air.meter_radio import link_local
from kei.simulator.air.timeline import Action, Group
from kei.simulator.j11.frames import Result
from kei.simulator.j11.module import (
    CLEAR,
    DUAL,
    ENCRYPTED,
    HIGHEST,
    LOWEST,
    NO_MODE,
    Module,
    Notice,
    State,
)

FIRMWARE = bytes.fromhex("040001030000158A")  # ID 0400, version 1.3, revision 158A
LINK_UP_S, NO_BEACON_S = 0.3, 2.6
PING_S, PING_UNANSWERED_S = 0.3, 10.4
SCAN_UNIT_S, SCAN_SWITCH_S = 0.00964, 0.09  # of a channel: the unit times 2^n, and this
ENERGY_S = 0.32
_MAX_PORTS = 10
RESERVED_PORTS = frozenset({716, 19788})  # PANA, MLE
_ID_CHARS, _PWD_CHARS = 32, 12
_HEX_DIGITS = frozenset("0123456789ABCDEF")
_B_ROUTE, _COORDINATOR = 0x01, 0x07
_OWN_DATA, _LETTERS, _NUMBERS = 0x00, 0x01, 0x02  # form of a ping
_HEARD, _NOTHING = 0x00, 0x01  # of a scan
_KEY_BYTES = 16

ALWAYS = frozenset(State)
LINKED = frozenset({State.RUNNING, State.AUTHENTICATED})
UNLINKED = frozenset({State.BOOTED, State.STARTED})
STARTED = ALWAYS - {State.BOOTED}
_NOT_IN = {
    State.BOOTED: Result.NOTHING_STARTED,
    State.STARTED: Result.BROUTE_NOT_STARTED,
    State.RUNNING: Result.RUNNING,
    State.AUTHENTICATED: Result.AUTHENTICATED,
}
"""What is answered to a request that this state does not allow; the choice is not documented."""


class Refused(Exception):
    """A request is answered with a result that is not `Result.DONE`."""

    def __init__(self, result: Result, after_s: float | None = None) -> None:
        super().__init__(result)
        self.result = result
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request that is done.

    Attributes:
        data: behind the result.
        after_s: from the request; None is the usual time.
        then: called after it.
    """

    data: bytes = b""
    after_s: float | None = None
    then: Action | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: when a request is allowed, how many data it has, and what it does."""

    states: frozenset[State]
    sizes: Container[int]
    run: Callable[[bytes, float], Reply]


class CommandSet:
    """The requests by code, but for the reset and what sends a datagram.

    Attributes:
        table: a row for each.
    """

    def __init__(self, module: Module) -> None:
        self._module = module
        nothing, one, any_size = (0,), (1,), range(0xFFFF)
        self.table = {
            0x0001: Command(ALWAYS, nothing, self._status),
            0x0005: Command(LINKED, (2,), self._open_port),
            0x0006: Command(LINKED, (2,), self._close_port),
            0x0007: Command(LINKED, nothing, self._show_ports),
            0x0009: Command(ALWAYS, nothing, lambda *_: Reply(_ipv6(link_local(DONGLE_MAC)))),
            0x000E: Command(ALWAYS, nothing, lambda *_: Reply(DONGLE_MAC.to_bytes(8, "big"))),
            0x0011: Command(ALWAYS, nothing, self._connections),
            0x0051: Command(STARTED, (6, 14), self._scan),
            0x0053: Command(frozenset({State.STARTED}), nothing, self._link_up),
            0x0054: Command(
                frozenset({State.STARTED, State.RUNNING}), (_ID_CHARS + _PWD_CHARS,), self._set_id
            ),
            0x0056: Command(frozenset({State.RUNNING}), nothing, self._authenticate),
            0x0057: Command(frozenset({State.AUTHENTICATED}), nothing, self._end_session),
            0x0058: Command(frozenset({State.RUNNING}), nothing, self._stop),
            0x0059: Command(
                frozenset({State.AUTHENTICATED}),
                nothing,
                lambda *_: Reply(module.rng.randbytes(_KEY_BYTES)),
            ),
            0x005E: Command(LINKED, nothing, lambda *_: Reply(module.pan_id)),
            0x005F: Command(UNLINKED, (4,), self._settings),
            0x006B: Command(ALWAYS, nothing, lambda *_: Reply(FIRMWARE)),
            0x00D1: Command(LINKED, any_size, self._ping),
            0x00D2: Command(frozenset({State.AUTHENTICATED}), nothing, self._authenticate_again),
            0x00DB: Command(STARTED, (4,), self._energy_scan),
            0x00F0: Command(frozenset({State.BOOTED}), nothing, self._rewrite),
            0x0100: Command(ALWAYS, nothing, self._terminals),
            0x0101: Command(UNLINKED, one, self._set_switch(0x0102)),
            0x0102: Command(ALWAYS, nothing, self._show_switch(0x0102)),
            0x0107: Command(ALWAYS, nothing, self._show_settings),
            0x010A: Command(UNLINKED, one, self._set_switch(0x010B)),
            0x010B: Command(ALWAYS, nothing, self._show_switch(0x010B)),
        }

    def carry_out(self, code: int, data: bytes, now: float) -> Reply:
        """Carry out a request at a monotonic time.

        Raises:
            Refused: not now, not so long, or not with these data.
        """
        command = self.table[code]
        check_state(self._module.state, command.states)
        if len(data) not in command.sizes:
            raise Refused(Result.SIZE)
        return command.run(data, now)

    # ------------------------------------------------------------------ what it says of itself

    def _status(self, _data: bytes, _now: float) -> Reply:
        state = self._module.state
        whole = 2 if state is State.BOOTED else 3
        return Reply(bytes((whole, max(state, State.STARTED), 1)))

    def _connections(self, _data: bytes, _now: float) -> Reply:
        module = self._module
        if module.state not in LINKED:
            return Reply(b"\0")
        about = bytes((_B_ROUTE, _COORDINATOR, module.state - State.STARTED))
        return Reply(b"\1\1" + module.mac + module.pan_id + about)

    def _terminals(self, _data: bytes, _now: float) -> Reply:
        module = self._module
        mode = 0 if module.state is State.BOOTED else DUAL
        if module.state not in LINKED:
            return Reply(bytes((mode, 0)))
        about = bytes((_COORDINATOR, module.state - State.STARTED))
        return Reply(bytes((mode, 1)) + module.address + about)

    def _show_settings(self, _data: bytes, _now: float) -> Reply:
        module = self._module
        if module.state is State.BOOTED:
            return Reply(bytes((NO_MODE, 0, 0xFF, 0)))
        return Reply(bytes((DUAL, 0, module.channel, module.power)))

    def _show_switch(self, code: int) -> Callable[[bytes, float], Reply]:
        return lambda *_: Reply(bytes((code in self._module.switched_on,)))

    def _set_switch(self, code: int) -> Callable[[bytes, float], Reply]:
        def write(data: bytes, _now: float) -> Reply:
            _check(data[0] in (0, 1))
            change = self._module.switched_on.add if data[0] else self._module.switched_on.discard
            change(code)
            return Reply()

        return write

    def _rewrite(self, _data: bytes, _now: float) -> Reply:
        self._module.is_rewriting = True
        return Reply()

    # ------------------------------------------------------------------ set-up and join

    def _settings(self, data: bytes, _now: float) -> Reply:
        mode, sleep, channel, power = data
        _check(mode == DUAL and sleep in (0, 1))
        _check(LOWEST <= channel <= HIGHEST and power in range(3))
        module = self._module
        module.channel, module.power = channel, power
        module.state = State.STARTED
        return Reply()

    def _set_id(self, data: bytes, _now: float) -> Reply:
        text = data.decode("latin-1")
        broute_id, password = text[:_ID_CHARS], text[_ID_CHARS:]
        _check(_HEX_DIGITS.issuperset(broute_id))
        _check(password.isascii() and password.isalnum())
        self._module.credentials = (broute_id, password.upper())
        return Reply()

    def _scan(self, data: bytes, now: float) -> Reply:
        """Look on one channel after another; the response is the end."""
        module = self._module
        duration, mask, by_id = struct.unpack_from(">BIB", data)
        pairing_id = data[6:].decode("latin-1")
        if by_id and not pairing_id:
            raise Refused(Result.SIZE)
        _check(1 <= duration <= 14 and by_id in (0, 1) and not mask & ~0x3FFF0)
        channels = [channel for channel in range(LOWEST, HIGHEST + 1) if mask >> channel & 1]
        _check(bool(channels))
        given = module.timing.scan_s
        each_s = SCAN_UNIT_S * (1 << duration) + SCAN_SWITCH_S
        total_s = each_s * len(channels) if given is None else given
        is_missed = module.faults.on_scan(now)
        can_ask = not (is_missed or module.air_time.used_up)
        is_heard = can_ask and duration >= module.radio.heard_from
        is_ours = is_heard and by_id == 1 and pairing_id == module.radio.pairing_id
        for number, channel in enumerate(channels, 1):
            found = b""
            if is_ours and channel == module.meter_channel:
                found = b"\1" + module.mac + module.pan_id + module.rssi
            about = bytes((_HEARD if found else _NOTHING, channel)) + found
            due = now + total_s * number / len(channels)
            module.timeline.at(due, self._tell(Notice.SCANNED, about), Group.COMMAND)
        return Reply(after_s=total_s)

    def _tell(self, code: int, data: bytes) -> Action:
        return lambda _now: self._module.emit(code, data)

    def _energy_scan(self, data: bytes, _now: float) -> Reply:
        module, mask = self._module, int.from_bytes(data, "big")
        _check(bool(mask) and not mask & ~0x3FFF0)
        channels = [channel for channel in range(LOWEST, HIGHEST + 1) if mask >> channel & 1]
        levels = [(channel, module.rng.randint(*NOISE_LEVELS)) for channel in channels]
        found = b"".join(bytes(pair) for pair in levels)
        return Reply(
            bytes((len(channels),)) + found, ENERGY_S * len(channels) * module.timing.hurry
        )

    def _link_up(self, _data: bytes, _now: float) -> Reply:
        module = self._module
        if not all(module.credentials):
            raise Refused(Result.NO_CREDENTIALS)
        if not module.reaches_meter():
            raise Refused(Result.NO_BEACON, NO_BEACON_S * module.timing.hurry)

        found = bytes((module.channel,)) + module.pan_id + module.mac + module.rssi
        return Reply(found, LINK_UP_S * module.timing.hurry, lambda _now: module.link_up())

    def _authenticate(self, _data: bytes, _now: float) -> Reply:
        if not all(self._module.credentials):
            raise Refused(Result.NO_CREDENTIALS)
        return Reply(then=self._module.authenticate)

    def _authenticate_again(self, _data: bytes, _now: float) -> Reply:
        return Reply(then=lambda now: self._module.authenticate(now, again=True))

    def _end_session(self, _data: bytes, _now: float) -> Reply:
        self._module.end_session()
        return Reply()

    def _stop(self, _data: bytes, _now: float) -> Reply:
        self._module.stop()
        return Reply()

    # ------------------------------------------------------------------ ports and ping

    def _open_port(self, data: bytes, _now: float) -> Reply:
        ports, port = self._module.ports, int.from_bytes(data, "big")
        _check(port not in RESERVED_PORTS and port != 0)
        if port in ports:
            raise Refused(Result.PORT_OPEN)
        if len(ports) == _MAX_PORTS:
            raise Refused(Result.TOO_MANY_PORTS)
        ports.add(port)
        return Reply()

    def _close_port(self, data: bytes, _now: float) -> Reply:
        ports, port = self._module.ports, int.from_bytes(data, "big")
        if port not in ports:
            raise Refused(Result.PORT_NOT_OPEN)
        ports.remove(port)
        return Reply()

    def _show_ports(self, _data: bytes, _now: float) -> Reply:
        ports = sorted(self._module.ports)
        return Reply(bytes((len(ports),)) + struct.pack(f">{len(ports)}H", *ports))

    def _ping(self, data: bytes, _now: float) -> Reply:
        module = self._module
        if module.is_pinging:
            raise Refused(Result.PING_GOES_ON)
        if len(data) < 19:
            raise Refused(Result.SIZE)
        size, form = struct.unpack_from(">HB", data, 16)
        _check(1 <= size <= 1232 and form in range(3))
        content = data[19:]
        if len(content) != (size if form == _OWN_DATA else 0):
            raise Refused(Result.SIZE)
        if form == _LETTERS:
            content = bytes(0x61 + at % 26 for at in range(size))
        elif form == _NUMBERS:
            content = b"".join(b"%04d" % number for number in range(1, size // 4 + 2))[:size]
        if data[:16] == module.address and not module.air_time.used_up:
            is_joined = module.state is State.AUTHENTICATED
            about = b"\1" + module.address
            about += bytes((ENCRYPTED if is_joined else CLEAR,)) + module.rssi
            reply = about + size.to_bytes(2, "big") + content
            after_s = PING_S
        else:
            reply, after_s = b"\0", PING_UNANSWERED_S

        def tell(_now: float) -> None:
            module.is_pinging = False
            module.emit(Notice.PINGED, reply)

        module.is_pinging = True
        return Reply(
            then=lambda due: module.timeline.at(
                due + after_s * module.timing.latency, tell, Group.AIR
            )
        )


def check_state(state: State, allowed: frozenset[State]) -> None:
    """Check that a request may run now.

    Raises:
        Refused: it may not.
    """
    if state not in allowed:
        raise Refused(_NOT_IN[state])


def _check(is_in_range: bool) -> None:  # noqa: FBT001 - reads as a sentence
    if not is_in_range:
        raise Refused(Result.RANGE)


def _ipv6(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
