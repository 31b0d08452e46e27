"""What the parts of one simulated dongle share: registers, timeline, output. No clock, no I/O."""

import random
from dataclasses import dataclass, field

from kei.echonet.frame import UDP_PORT
from kei.simulator.air.dongle import DONGLE_MAC
from kei.simulator.air.meter_link import Damage
from kei.simulator.air.meter_radio import MeterRadio, link_local
from kei.simulator.air.timeline import Action, Group, Timeline
from kei.simulator.air.timing import Timing
from kei.simulator.faults import FaultPlan
from kei.simulator.skstack.registers import Reg, Registers
from kei.simulator.skstack.wire import Received, Wire

PANA_PORT = 716  # RFC 5191


@dataclass(slots=True)
class Flash:
    """What survives SKRESET and a power cut."""

    saved: dict[Reg, int] | None = None  # by SKSAVE
    binary: bool = False  # WOPT: whether ERXUDP data are raw
    uart: int = 0  # WUART


@dataclass(slots=True)
class Credentials:
    """What SKSETRBID and SKSETPWD set; empty until then."""

    broute_id: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    key_given: bool = False

    @property
    def complete(self) -> bool:
        """Whether a join may be tried."""
        return bool(self.broute_id) and (bool(self.password) or self.key_given)


@dataclass(slots=True)
class Neighbour:
    """An entry of the neighbour cache."""

    mac: int
    fixed: bool  # by SKADDNBR: no solicitation precedes the first datagram


# UDP ports by handle; 0 is closed.
DEFAULT_PORTS = {1: UDP_PORT, 2: PANA_PORT, 3: 0, 4: 0, 5: 0, 6: 0}


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a command."""

    data: bytes  # everything behind the echo
    delay_s: float | None = None  # from the command to its last byte; None is the usual one
    then: Action | None = None  # called after the reply


class Core:
    """The shared state of one dongle."""

    def __init__(
        self,
        *,
        wire: Wire,
        meter: MeterRadio,
        timing: Timing,
        faults: FaultPlan,
        rng: random.Random,
    ) -> None:
        self.wire = wire
        self.meter = meter
        self.timing = timing
        self.faults = faults
        self.rng = rng
        self.registers = Registers(
            dual=wire.model.dual, mac=DONGLE_MAC, takes_sa2=wire.model.takes_sa2
        )
        self.flash = Flash(binary=wire.model.binary)
        self.timeline = Timeline()
        self.address = link_local(DONGLE_MAC)
        self.out = bytearray()
        self.credentials = Credentials()
        self.neighbours: dict[str, Neighbour] = {}
        self.ports = dict(DEFAULT_PORTS)

    def reset(self) -> None:
        """Reset everything to its defaults, as SKRESET does; the meter and faults go on."""
        self.registers.reset()
        self.credentials = Credentials()
        self.neighbours.clear()
        self.ports = dict(DEFAULT_PORTS)
        self.timeline.cancel(*(set(Group) - {Group.METER, Group.FAULT}))

    def emit(self, data: bytes) -> None:
        """Write to the host now."""
        self.out += data

    def emit_at(self, due: float, data: bytes, group: Group) -> None:
        """Write to the host at `due`, monotonic seconds."""
        self.timeline.at(due, lambda _now: self.emit(data), group)

    def received(self, datagram: Received) -> bytes:
        """Return the ERXUDP line of a datagram, in the format of the registers and WOPT."""
        with_lqi = self.wire.model.dual and self.registers[Reg.LQI_FIELD]
        return self.wire.received(
            datagram, lqi=self.meter.lqi if with_lqi else None, binary=self.flash.binary
        )

    def deliver(self, payload: bytes, damage: Damage = bytes, *, destination: str) -> None:
        """Write an ECHONET Lite datagram of the meter to the host, if its UDP port is open."""
        if UDP_PORT in self.ports.values():
            meter = self.meter
            datagram = Received(
                meter.address, destination, UDP_PORT, meter.mac, secured=True, payload=payload
            )
            self.emit(damage(self.received(datagram)))

    def in_range(self) -> bool:
        """Return whether the dongle is tuned to the meter's channel and network."""
        tuned = self.registers[Reg.CHANNEL], self.registers[Reg.PAN_ID]
        return tuned == (self.meter.channel, self.meter.pan_id)
