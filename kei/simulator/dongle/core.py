"""What the parts of one virtual dongle share: its model, registers, timeline and output."""

import random
from dataclasses import dataclass, field

from kei.simulator.dongle.registers import Reg, Registers
from kei.simulator.dongle.timeline import Action, Group, Timeline
from kei.simulator.dongle.timing import Timing
from kei.simulator.dongle.wire import Beacon, Event, Received, Wire, link_local
from kei.simulator.faults import FaultPlan

DONGLE_MAC = 0x001D12900003C890
METER_MAC = 0x001D129012345678


@dataclass(frozen=True, slots=True)
class MeterRadio:
    """How the meter is found and joined.

    Attributes:
        broute_id: its Route-B ID, 32 characters.
        broute_pwd: the password, 12 characters.
        channel: 0x21..0x3C, as in S02.
        pan_id: as in S03.
        mac: its MAC address.
        lqi: how strong it is heard, 0..255.
    """

    broute_id: str = field(repr=False)
    broute_pwd: str = field(repr=False)
    channel: int = 0x21
    pan_id: int = 0x8888
    mac: int = METER_MAC
    lqi: int = 0xE1

    @property
    def address(self) -> str:
        """Its IPv6 address."""
        return link_local(self.mac)

    @property
    def beacon(self) -> Beacon:
        """What a scan hears of it."""
        return Beacon(self.channel, self.pan_id, self.mac, self.lqi, self.broute_id[-8:])


@dataclass(slots=True)
class Flash:
    """What survives SKRESET and a power cut.

    Attributes:
        saved: the values of SKSAVE, or None.
        binary: WOPT: whether ERXUDP data are raw.
        uart: WUART.
    """

    saved: dict[Reg, int] | None = None
    binary: bool = False
    uart: int = 0


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
    """An entry of the neighbour cache.

    Attributes:
        mac: its address.
        fixed: put there by SKADDNBR, so that no solicitation precedes the first datagram.
    """

    mac: int
    fixed: bool


DEFAULT_PORTS = {1: 3610, 2: 716, 3: 0, 4: 0, 5: 0, 6: 0}  # UDP port by handle, 0 = closed


class Core:
    """The shared state of one dongle."""

    def __init__(
        self,
        *,
        wire: Wire,
        meter: MeterRadio,
        timing: Timing,
        faults: FaultPlan,
        chance: random.Random,
    ) -> None:
        self.wire = wire
        self.meter = meter
        self.timing = timing
        self.faults = faults
        self.chance = chance
        self.registers = Registers(dual=wire.model.dual, mac=DONGLE_MAC)
        self.flash = Flash(binary=wire.model.product_commands)
        self.timeline = Timeline()
        self.address = link_local(DONGLE_MAC)
        self.out = bytearray()
        self.credentials = Credentials()
        self.neighbours: dict[str, Neighbour] = {}
        self.ports = dict(DEFAULT_PORTS)

    def reset(self) -> None:
        """Put everything at its defaults, as SKRESET does; meter and faults keep their plans."""
        self.registers.reset()
        self.credentials = Credentials()
        self.neighbours.clear()
        self.ports = dict(DEFAULT_PORTS)
        self.timeline.cancel(*(set(Group) - {Group.METER, Group.FAULT}))

    def at(self, due: float, action: Action, group: Group) -> None:
        """Have something happen at `due`, monotonic seconds."""
        self.timeline.at(due, action, group)

    def emit(self, data: bytes) -> None:
        """Write to the host, now."""
        self.out += data

    def emit_at(self, due: float, data: bytes, group: Group) -> None:
        """Write to the host at `due`, monotonic seconds."""
        self.timeline.at(due, lambda _now: self.emit(data), group)

    def event(self, number: Event, address: str, parameter: int | None = None) -> bytes:
        """Return an EVENT line."""
        return self.wire.event(number, address, parameter)

    def received(self, datagram: Received) -> bytes:
        """Return the ERXUDP line of a datagram, as the registers and WOPT want it now."""
        with_lqi = self.wire.model.dual and self.registers[Reg.LQI_FIELD]
        return self.wire.received(
            datagram,
            lqi=self.meter.lqi if with_lqi else None,
            binary=self.flash.binary,
        )

    def hear(self, datagram: Received) -> Action:
        """Return the action that writes the ERXUDP line of a datagram."""
        return lambda _now: self.emit(self.received(datagram))

    def in_range(self) -> bool:
        """Return whether the dongle is tuned to the meter's channel and network."""
        tuned = self.registers[Reg.CHANNEL], self.registers[Reg.PAN_ID]
        return tuned == (self.meter.channel, self.meter.pan_id)
