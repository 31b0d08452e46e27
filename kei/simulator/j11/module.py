"""The state of the simulated module, and what changes it: start, link, PANA session, loss."""

import random
from enum import IntEnum

from kei.echonet.frame import UDP_PORT
from kei.simulator.air.air_time import AirTime
from kei.simulator.air.meter_link import Damage
from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.air.timeline import Group, Timeline
from kei.simulator.air.timing import LIFETIME_S, RENEW_SHARE, Timing
from kei.simulator.faults import FaultKind, FaultPlan
from kei.simulator.j11.frames import from_module
from kei.simulator.meter.meter import Meter

BOOT_S = 0.8  # nobody says how long; drivers allow 5 s and more
PANA_S = (4.0, 8.0)  # as with SKSTACK
REFUSED_S = 5.0  # of a wrong password; not known
SILENT_S = (491.9, 706.0)  # nobody answers (5.21, table 35)
RENEWAL_SILENT_S = (180.1, 236.7)
UNJOINED_MAX_S = 80 * 60  # then the network drops it (J11 stack description, 3.1.1)
ANNOUNCED_S = (0.3, 5.0)  # the instance list after authentication
RSSI_AT_ZERO, RSSI_PER_LQI = -104.27, 0.275
NO_RSSI = 0

LOWEST, HIGHEST = 4, 17
_LOWEST_OF_SKSTACK = 33  # 922.5 MHz, as channel 4 here; it counts steps of half the size
DUAL, NO_MODE = 0x05, 0xFF
CLEAR, ENCRYPTED = 0x01, 0x02  # what is received


class State(IntEnum):
    """How far the module has come; but for the first, as 0x2001 tells of the B route."""

    BOOTED = 0
    STARTED = 1
    RUNNING = 2
    AUTHENTICATED = 3


class Notice(IntEnum):
    """Codes of notifications."""

    SCANNED = 0x4051
    RECEIVED = 0x6018
    STARTED = 0x6019
    CONNECTION = 0x601A
    PANA = 0x6028
    NOT_RECEIVED = 0x6038
    PINGED = 0x60D1


class Pana(IntEnum):
    """Results of an authentication."""

    DONE = 1
    REFUSED = 2
    SILENT = 3


class Connection(IntEnum):
    """Changes that the host has not asked for."""

    MAC_LOST = 3
    PANA_ENDED = 4


_UNDECIPHERABLE, _PORT_CLOSED = 0x01, 0x40  # reasons of `Notice.NOT_RECEIVED`


class Module:
    """One module and its meter.

    Args:
        radio: what it takes to find and join the meter.
        meter: what it says.
        timing: the delays.
        faults: may hit a join.
        rng: chance.

    Attributes:
        state: how far it has come.
        is_booting: it hears nothing.
        is_rewriting: its firmware is to be written, and it hears nothing until it is without power.
        is_working: an authentication goes on: every request is refused, but for a reset.
        is_pinging: a ping has not been answered, and no other is taken.
        channel: of the settings; 0 before them.
        power: of the settings.
        ports: UDP ports that are open.
        credentials: ID and password; empty until given.
        switched_on: requests that read a switch which is on; none does anything here.
        known_to_meter: whether the meter knows of the session, too.
        keys_differ: what the meter sends cannot be deciphered.
        timeline: what is to happen.
        air_time: what has been sent in the last hour; nobody is told when that is all it may.
        out: what was written to the host.
    """

    def __init__(
        self,
        radio: MeterRadio,
        meter: Meter,
        *,
        timing: Timing,
        faults: FaultPlan,
        rng: random.Random,
    ) -> None:
        self.radio = radio
        self.meter = meter
        self.timing = timing
        self.faults = faults
        self.rng = rng
        self.timeline = Timeline()
        self.air_time = AirTime(self.timeline, lambda: None)
        self.out = bytearray()
        self.is_booting = False
        self._forget()

    def _forget(self) -> None:
        self.state = State.BOOTED
        self.is_working = self.is_renewing = self.is_pinging = self.is_rewriting = False
        self.known_to_meter = self.keys_differ = False
        self.channel = 0
        self.power = 0
        self.ports: set[int] = set()
        self.credentials = ("", "")
        self.switched_on: set[int] = set()
        self.air_time.reset()
        self.timeline.cancel(*(set(Group) - {Group.METER, Group.FAULT}))

    @property
    def is_open(self) -> bool:
        """Whether encrypted datagrams can be sent."""
        return self.state is State.AUTHENTICATED and not self.is_renewing

    @property
    def mac(self) -> bytes:
        """The meter's, as notifications have it."""
        return self.radio.mac.to_bytes(8, "big")

    @property
    def address(self) -> bytes:
        """The meter's IPv6 address."""
        return bytes.fromhex(self.radio.address.replace(":", ""))

    @property
    def pan_id(self) -> bytes:
        """Of the meter's network."""
        return self.radio.pan_id.to_bytes(2, "big")

    @property
    def rssi(self) -> bytes:
        """The power of the meter's frames, dBm."""
        dbm = round(RSSI_PER_LQI * self.radio.lqi + RSSI_AT_ZERO)
        return dbm.to_bytes(1, "big", signed=True)

    @property
    def meter_channel(self) -> int:
        """The meter's, as the module counts."""
        return LOWEST + (self.radio.channel - _LOWEST_OF_SKSTACK) // 2

    def emit(self, code: int, data: bytes = b"", damage: Damage = bytes) -> None:
        """Write a frame to the host now."""
        self.out += damage(from_module(code, data))

    def restart(self, now: float) -> None:
        """Lose everything, as by a reset or a watchdog; `Notice.STARTED` follows."""
        self._forget()
        self.is_booting = True

        def started(_now: float) -> None:
            self.is_booting = False
            self.emit(Notice.STARTED)

        self.timeline.at(now + BOOT_S * self.timing.latency, started, Group.SESSION)

    def power_on(self) -> None:
        """Come back from a power cut; its notice was over before the port could be opened."""
        self._forget()
        self.is_booting = False

    def reaches_meter(self) -> bool:
        """Return whether the meter answers it: it may send, on its channel, and asks for its ID."""
        is_tuned = self.channel == self.meter_channel and not self.air_time.used_up
        return is_tuned and self.credentials[0] == self.radio.broute_id

    # ------------------------------------------------------------------ the PANA session

    def authenticate(self, now: float, *, again: bool = False) -> None:
        """Start PANA, or repeat it; `Notice.PANA` follows."""
        self.is_working = True
        if not self.is_renewing:
            self._begin(now, again=again)

    def renew(self, now: float) -> None:
        """Authenticate again by itself: nobody is told, unless that fails."""
        if self.is_open and not self.is_working:
            self.is_renewing = True
            self._begin(now, again=True)

    def _begin(self, now: float, *, again: bool) -> None:
        after_s, result = self._authentication(now, again=again)

        def over(due: float) -> None:
            is_asked_for = self.is_working
            self.is_working = self.is_renewing = False
            if result is Pana.DONE:
                self._authenticated(due)
            if is_asked_for:
                self._tell_result(result)
            elif result is not Pana.DONE:
                self.fail_renewal(due, result)

        self.timeline.at(now + after_s, over, Group.SESSION)

    def _tell_result(self, result: Pana) -> None:
        self.emit(Notice.PANA, bytes((result,)) + self.mac)

    def _authentication(self, now: float, *, again: bool) -> tuple[float, Pana]:
        timing, rng = self.timing, self.rng
        if self.faults.on_join(now) or not self.reaches_meter():
            return rng.uniform(
                *(RENEWAL_SILENT_S if again else SILENT_S)
            ) * timing.hurry, Pana.SILENT
        if self.credentials[1] != self.radio.broute_pwd:
            return REFUSED_S * timing.hurry, Pana.REFUSED
        given = timing.join_s
        return (rng.uniform(*PANA_S) if given is None else given), Pana.DONE

    def _authenticated(self, now: float) -> None:
        self.state = State.AUTHENTICATED
        self.known_to_meter = True
        self.keys_differ = False
        self.timeline.cancel(Group.SESSION)
        announced_s = self.rng.uniform(*ANNOUNCED_S) * self.timing.hurry
        self.timeline.at(now + announced_s, lambda _now: self._announce(), Group.AIR)
        self.timeline.at(now + LIFETIME_S * RENEW_SHARE, self.renew, Group.SESSION)

    def _announce(self) -> None:
        self.deliver(self.meter.instance_list(), multicast=True)

    def fail_renewal(self, now: float, result: Pana = Pana.SILENT) -> None:
        """Tell that the renewal has failed; the meter's side ends with the lifetime."""
        if self.state is not State.AUTHENTICATED:
            return
        self.timeline.cancel(Group.SESSION)
        self.is_renewing = self.known_to_meter = False
        self._tell_result(result)
        ended = now + LIFETIME_S * (1 - RENEW_SHARE)
        self.timeline.at(ended, lambda _now: self.end_by_meter(), Group.SESSION)

    def inject(self, kind: FaultKind, now: float) -> None:
        """Carry out a fault of the session that happens of itself."""
        match kind:
            case FaultKind.EXPIRE:
                self.renew(now)
            case FaultKind.REAUTH_FAIL:
                self.fail_renewal(now)
            case FaultKind.CLOSED:
                self.end_by_meter()
            case FaultKind.MAC_LOST:
                self.lose_mac()
            case FaultKind.KEYS:
                self.keys_differ = True
            case FaultKind.LOST:
                self.known_to_meter = False
            case _:
                raise AssertionError(f"{kind} is no fault of the session")

    def end_by_meter(self) -> None:
        """Have the meter end the session."""
        if self.state is State.AUTHENTICATED:
            self._fall_back(State.RUNNING)
            self._tell_change(Connection.PANA_ENDED, self.rssi)

    def lose_mac(self) -> None:
        """Lose the meter's network."""
        if self.state >= State.RUNNING:
            self._fall_back(State.STARTED)
            self._tell_change(Connection.MAC_LOST, bytes((NO_RSSI,)))

    def end_session(self) -> None:
        """End the session for the host, who has to give the credentials again."""
        self._fall_back(State.RUNNING)
        self.credentials = ("", "")

    def stop(self) -> None:
        """Leave the meter's network for the host."""
        self._fall_back(State.STARTED)

    def link_up(self) -> None:
        """Be in the meter's network, which drops what does not join it."""
        self.state = State.RUNNING
        due = self.timeline.now + UNJOINED_MAX_S
        self.timeline.at(due, lambda _now: self.lose_mac(), Group.SESSION)

    def _fall_back(self, state: State) -> None:
        self.timeline.cancel(Group.SESSION, Group.AIR)
        self.is_working = self.is_renewing = self.is_pinging = self.known_to_meter = False
        if state is State.RUNNING:
            self.link_up()
        else:
            self.state = state
            self.ports.clear()

    def _tell_change(self, change: Connection, rssi: bytes) -> None:
        self.emit(Notice.CONNECTION, bytes((change,)) + self.mac + rssi)

    def deliver(self, payload: bytes, damage: Damage = bytes, *, multicast: bool = False) -> None:
        """Write a datagram of the meter to the host, or why it cannot be received."""
        port = UDP_PORT.to_bytes(2, "big")
        if self.keys_differ or UDP_PORT not in self.ports:
            reason = _UNDECIPHERABLE if self.keys_differ else _PORT_CLOSED
            about = bytes((reason,)) + self.address + bytes(4)
            self.emit(Notice.NOT_RECEIVED, about + payload[:5])
            return
        about = self.address + 2 * port + self.pan_id + bytes((multicast, ENCRYPTED)) + self.rssi
        self.emit(Notice.RECEIVED, about + len(payload).to_bytes(2, "big") + payload, damage)
