"""The simulated J11 module as a device: bytes in, bytes out, the time passed in. No I/O."""

import random
from collections.abc import Iterable

from kei.simulator.air.dongle import SimulatedDongle
from kei.simulator.air.meter_link import MeterLink
from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import Timing
from kei.simulator.faults import OF_ITSELF, FaultKind, FaultPlan, FaultSpec
from kei.simulator.j11.commands import CommandSet, Refused, Reply
from kei.simulator.j11.frames import (
    CODE_ERROR,
    HEADER_ERROR,
    RESPONSE_OFFSET,
    FrameReader,
    Request,
    Result,
    Unreadable,
)
from kei.simulator.j11.module import Module
from kei.simulator.j11.radio import Radio
from kei.simulator.meter.meter import Meter

COMMAND_S = 0.005
_SEND, _PANA, _RESET = 0x0008, 0x0056, 0x00D9


class J11Dongle(SimulatedDongle):
    """A J11 module with a smart meter in range, switched on a while before `now`."""

    def __init__(
        self,
        radio: MeterRadio,
        meter: Meter,
        *,
        timing: Timing,
        faults: Iterable[FaultSpec] = (),
        rng: random.Random,
        now: float,
        zero_sums: bool = True,
    ) -> None:
        plan = FaultPlan(random.Random(rng.random()))
        self._module = module = Module(radio, meter, timing=timing, faults=plan, rng=rng)
        super().__init__(meter, module.timeline, module.out, plan)
        self._link = MeterLink(
            meter, module, module.deliver, timeline=module.timeline, timing=timing, rng=rng
        )
        self._radio = Radio(module, self._link)
        self._commands = CommandSet(module)
        self._known = self._commands.table.keys() | {_SEND}
        self._reader = FrameReader(zero_sums=zero_sums)
        self._outstanding = False
        self._link.schedule_notification(now)
        for spec in faults:
            self.add_fault(spec, now)

    def receive(self, data: bytes, now: float) -> None:
        """See `SimulatedDongle.receive`; it hears nothing while it boots, or in rewrite mode."""
        self._work(now)
        if self._module.is_booting or self._module.is_rewriting:
            return
        self._reader.feed(data, now)
        self._work(now)
        if (due := self._reader.unfinished_at()) is not None:
            self._module.timeline.at(due, lambda _due: None, Group.COMMAND)

    def power_on(self) -> None:
        """Restart after a power cut: nothing is kept."""
        self.unplugged = self._outstanding = False
        self._reader.clear()
        self._module.power_on()

    def _restart(self, now: float) -> None:
        self._outstanding = False
        self._reader.clear()
        self._module.restart(now)

    def _work(self, now: float) -> None:
        self._timeline.run(now)
        while (request := self._reader.next(now)) is not None:
            self._take(request, now)
            self._timeline.run(now)

    def _take(self, request: Request | Unreadable, now: float) -> None:
        match request:
            case Unreadable(response, result):
                self._answer_at(now, response, bytes((result,)))
            case Request(code) if code == _RESET:
                self._restart(now)
            case Request(code) if code == _PANA and self._module.is_working:
                self._answer_at(now, code + RESPONSE_OFFSET, bytes((Result.PANA_GOES_ON,)))
            case Request(code) if self._outstanding or self._module.is_working:
                self._answer_at(now, code + RESPONSE_OFFSET, bytes((Result.BUSY,)))
            case Request(code) if code not in self._known:
                self._answer_at(now, CODE_ERROR, bytes((Result.BAD_CODE,)))
            case Request(code, data):
                self._carry_out(code, data, now)

    def _answer_at(self, now: float, response: int, data: bytes) -> None:
        """Answer what is no request that is carried out, beside the one that may be."""
        due = now + COMMAND_S * self._module.timing.latency
        self._module.timeline.at(
            due, lambda _now: self._module.emit(response & 0xFFFF, data), Group.COMMAND
        )

    def _carry_out(self, code: int, data: bytes, now: float) -> None:
        module, then = self._module, None
        usual_s = COMMAND_S * module.timing.latency
        try:
            reply = self._reply(code, data, now)
        except Refused as refusal:
            answer = bytes((refusal.result,))
            after_s = refusal.after_s
        else:
            if reply is None:
                return
            answer, after_s, then = bytes((Result.DONE,)) + reply.data, reply.after_s, reply.then
        self._outstanding = True

        def finish(due: float) -> None:
            self._outstanding = False
            module.emit(code + RESPONSE_OFFSET & 0xFFFF, answer)
            if then is not None:
                then(due)

        module.timeline.at(now + (usual_s if after_s is None else after_s), finish, Group.COMMAND)

    def _reply(self, code: int, data: bytes, now: float) -> Reply | None:
        """Return what is answered; None if that is nothing, or something else."""
        if code == _SEND:
            return self._send(data, now)
        return self._commands.carry_out(code, data, now)

    def _send(self, data: bytes, now: float) -> Reply | None:
        kinds = self._plan.on_send(now)
        for kind in sorted(kinds & OF_ITSELF):
            self._inject(kind, now)
        if kinds & {FaultKind.REBOOT, FaultKind.UNPLUG}:
            return None
        if FaultKind.HEADER_SUM in kinds:
            self._answer_at(now, HEADER_ERROR, bytes((Result.HEADER_SUM,)))
            return None
        if FaultKind.DATA_SUM in kinds:
            raise Refused(Result.DATA_SUM)
        if FaultKind.FAIL in kinds:
            raise Refused(Result.BUSY)
        return self._radio.send(data, kinds, now)

    def _inject(self, kind: FaultKind, now: float) -> None:
        module = self._module
        match kind:
            case FaultKind.LIMIT:
                module.air_time.forbid(now + module.timing.limit_s)
            case FaultKind.INF | FaultKind.INFC:
                self._link.notify(now, confirmed=kind is FaultKind.INFC)
            case FaultKind.REBOOT:
                self._restart(now)
            case FaultKind.UNPLUG:
                self.unplugged = True
            case _:
                module.inject(kind, now)
