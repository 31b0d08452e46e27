"""The simulated SKSTACK-IP dongle: bytes in, bytes out, the time passed in. No I/O.

Commands that only a coordinator, the home network or the key table needs are left out.
"""

import random
from collections.abc import Iterable
from functools import partial

from kei.simulator.air.air_time import AirTime
from kei.simulator.air.dongle import SimulatedDongle
from kei.simulator.air.meter_link import MeterLink
from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import COMMAND_S, Timing
from kei.simulator.faults import (
    OF_ITSELF,
    FaultKind,
    FaultPlan,
    FaultSpec,
    check_happens_to_skstack,
)
from kei.simulator.meter.meter import Meter
from kei.simulator.skstack.command_reader import (
    EMPTY_LINE,
    BadHeader,
    CommandReader,
    Datagram,
    Line,
    Overrun,
)
from kei.simulator.skstack.command_reader import Command as HostCommand
from kei.simulator.skstack.commands import CommandSet, address, hex_number, split
from kei.simulator.skstack.core import Core, Reply
from kei.simulator.skstack.models import DongleModel
from kei.simulator.skstack.radio import Radio
from kei.simulator.skstack.registers import SAVED, Reg
from kei.simulator.skstack.scan import Scanner
from kei.simulator.skstack.session import Session
from kei.simulator.skstack.wire import CRLF, Event, Fail, Refused, Wire, fail


class SkstackDongle(SimulatedDongle):
    """A dongle with a smart meter in range, switched on at `now` (monotonic seconds)."""

    def __init__(
        self,
        model: DongleModel,
        radio: MeterRadio,
        meter: Meter,
        *,
        timing: Timing,
        faults: Iterable[FaultSpec] = (),
        rng: random.Random,
        now: float,
    ) -> None:
        self._core = core = Core(
            wire=Wire(model),
            meter=radio,
            timing=timing,
            faults=FaultPlan(random.Random(rng.random())),
            rng=rng,
        )
        super().__init__(meter, core.timeline, core.out, core.faults)
        self._session = Session(core, meter)
        self._scanner = Scanner(core)
        self._air_time = AirTime(core.timeline, self._limit_changed)
        self._link = MeterLink(
            meter,
            self._session,
            partial(core.deliver, destination=core.address),
            timeline=core.timeline,
            timing=timing,
            rng=rng,
        )
        self._radio = Radio(core, self._session, self._air_time, self._link)
        self._commands = CommandSet(
            core, self._session, self._scanner, self._air_time, self._restart
        )
        self._reader = CommandReader()
        self._busy = False
        self._link.schedule_notification(now)
        for spec in faults:
            self.add_fault(spec, now)

    def receive(self, data: bytes, now: float) -> None:
        """See `SimulatedDongle.receive`."""
        self._work(now)
        self._reader.feed(data)
        self._work(now)

    def add_fault(self, spec: FaultSpec, now: float) -> None:
        """See `SimulatedDongle.add_fault`."""
        check_happens_to_skstack(spec.kind)
        super().add_fault(spec, now)

    def power_on(self) -> None:
        """Restart after a power cut: defaults, and what SKSAVE kept if SFF says so."""
        self.unplugged = False
        self._busy = False
        self._reader.clear()
        self._restart()
        saved = self._core.flash.saved
        if saved is not None and saved[Reg.AUTOLOAD]:
            for register in SAVED:
                self._core.registers[register] = saved[register]

    def _restart(self) -> None:
        self._core.reset()
        self._session.reset()
        self._scanner.reset()
        self._air_time.reset()

    def _limit_changed(self) -> None:
        core, is_reached = self._core, self._air_time.used_up
        core.registers[Reg.LIMITED] = int(is_reached)
        event = Event.LIMIT_REACHED if is_reached else Event.LIMIT_LIFTED
        core.emit(core.wire.event(event, core.address))

    def _work(self, now: float) -> None:
        self._core.timeline.run(now)
        while not self._busy and (command := self._reader.next()) is not None:
            if command == EMPTY_LINE:
                self._echo(b"", CRLF)
            else:
                self._carry_out(command, now)
            self._core.timeline.run(now)

    def _carry_out(self, command: HostCommand, now: float) -> None:
        self._busy = True
        try:
            reply = self._reply(command, now)
        except Refused as refusal:
            reply = Reply(fail(refusal.code))
        if reply is None:
            return
        core = self._core
        usual = COMMAND_S * core.timing.latency
        delay = usual if reply.delay_s is None else reply.delay_s

        def finish(due: float) -> None:
            core.emit(reply.data)
            self._busy = False
            if reply.then is not None:
                reply.then(due)

        core.timeline.at(now + delay, finish, Group.COMMAND)

    def _reply(self, command: HostCommand, now: float) -> Reply | None:
        core = self._core
        match command:
            case Line(text):
                name, arguments = split(text.decode("latin-1"))
                row = self._commands.table.get(name)
                self._echo(text, CRLF)
                if row is None:
                    raise Refused(Fail.UNKNOWN)
                if len(arguments) not in row.counts:
                    raise Refused(Fail.COUNT)
                return row.run(arguments)
            case Datagram():
                self._echo(command.header, b"")
                core.emit(CRLF)
                return self._send(command, now)
            case BadHeader(header):
                self._echo(header, CRLF)
                raise Refused(Fail.RANGE)
            case Overrun():
                raise Refused(Fail.INPUT)

    def _echo(self, text: bytes, end: bytes) -> None:
        if self._core.registers[Reg.ECHO]:
            self._core.emit(text + end)

    def _send(self, datagram: Datagram, now: float) -> Reply | None:
        """Carry out a SKSENDTO; return None if a fault restarts or unplugs the dongle."""
        core = self._core
        kinds = core.faults.on_send(now)
        for kind in sorted(kinds & OF_ITSELF):
            self._inject(kind, now)
        if kinds & {FaultKind.REBOOT, FaultKind.UNPLUG}:
            return None
        if core.wire.model.dual != (datagram.side is not None):
            raise Refused(Fail.COUNT)
        port = core.ports[hex_number(datagram.handle, digits=1, allowed=core.ports)]
        remote = hex_number(datagram.port, digits=4, allowed=range(1, 0x10000))
        destination = address(datagram.address)
        security = hex_number(datagram.security, digits=1, allowed=range(3))
        if datagram.side not in {None, "0", "1"} or len(datagram.port) != 4:
            raise Refused(Fail.RANGE)
        if not port or self._scanner.running or datagram.side == "1" or FaultKind.FAIL in kinds:
            raise Refused(Fail.FAILED)
        return self._radio.send(now, destination, remote, security, datagram.payload, kinds)

    def _inject(self, kind: FaultKind, now: float) -> None:
        match kind:
            case FaultKind.EXPIRE:
                self._session.expire(now)
            case FaultKind.CLOSED:
                self._session.end_by_meter()
            case FaultKind.LOST:
                self._session.forget_at_meter()
            case FaultKind.LIMIT:
                self._air_time.forbid(now + self._core.timing.limit_s)
            case FaultKind.INF | FaultKind.INFC:
                self._link.notify(now, confirmed=kind is FaultKind.INFC)
            case FaultKind.REBOOT:
                self.power_on()
            case FaultKind.UNPLUG:
                self.unplugged = True
            case _:
                raise AssertionError(f"{kind} hits commands only")
