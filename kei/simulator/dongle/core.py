"""What the parts of one simulated dongle share: registers, timeline, output. No clock, no I/O."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from kei.echonet.frame import UDP_PORT
from kei.simulator.dongle.registers import Reg, Registers
from kei.simulator.dongle.timing import Timing
from kei.simulator.dongle.wire import MeterRadio, Received, Wire, link_local
from kei.simulator.faults import FaultPlan

DONGLE_MAC = 0x001D12900003C890
PANA_PORT = 716  # RFC 5191

Action = Callable[[float], None]
"""Called with the time at which it is due (monotonic seconds)."""


class Group(Enum):
    """Kinds of actions, which are cancelled together."""

    COMMAND = auto()  # the reply to the command that is being carried out
    SCAN = auto()
    SESSION = auto()  # joining, renewing, leaving, the end of the lifetime
    AIR = auto()  # datagrams on their way
    LIMIT = auto()  # the transmission limit
    METER = auto()  # what the meter does by itself
    FAULT = auto()  # faults at a time


@dataclass(order=True, slots=True)
class _Entry:
    due: float
    number: int
    group: Group = field(compare=False)
    action: Action = field(compare=False)


class Timeline:
    """A queue of actions by due time; those due at the same time keep their order.

    It stays short: a command schedules a handful of actions, and one command runs at a time.

    Attributes:
        now: when it was last run, monotonic seconds; an action may get an earlier time.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._count = 0
        self.now = 0.0

    def at(self, due: float, action: Action, group: Group) -> None:
        """Schedule an action; a time in the past means as soon as possible."""
        self._count += 1
        heapq.heappush(self._entries, _Entry(due, self._count, group, action))

    def next_due(self) -> float | None:
        """Return when the next action is due, or None when there is none."""
        return self._entries[0].due if self._entries else None

    def run(self, now: float) -> None:
        """Run the actions that are due, including those that they schedule."""
        self.now = now
        while self._entries and self._entries[0].due <= now:
            entry = heapq.heappop(self._entries)
            entry.action(entry.due)

    def cancel(self, *groups: Group) -> None:
        """Drop the actions of these groups."""
        self._entries = [entry for entry in self._entries if entry.group not in groups]
        heapq.heapify(self._entries)


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
        self.registers = Registers(dual=wire.model.dual, mac=DONGLE_MAC)
        self.flash = Flash(binary=wire.model.product_commands)
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

    def deliver(
        self, payload: bytes, destination: str, damage: Callable[[bytes], bytes] = bytes
    ) -> None:
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
