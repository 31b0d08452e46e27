"""The PANA session between dongle and meter, seen from the dongle."""

from enum import Enum, auto
from functools import partial

from kei.simulator.air.meter_radio import MULTICAST
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import (
    INSTANCE_LIST_S,
    LEAVE_S,
    LEAVE_UNANSWERED_S,
    LIFETIME_S,
    PANA_STEP_S,
    PANA_STEPS,
    RENEW_SHARE,
    SOLICITATION_S,
)
from kei.simulator.meter.meter import Meter
from kei.simulator.skstack import pana
from kei.simulator.skstack.core import PANA_PORT, Core, Neighbour
from kei.simulator.skstack.registers import Reg
from kei.simulator.skstack.wire import Event, Fail, Received, Refused, Sent

_SOLICITED_S = 0.05  # until the solicitation is sent
_STEPS_OF_WRONG_PASSWORD = 2  # the meter then goes silent


class _Phase(Enum):
    IDLE = auto()
    JOINING = auto()
    JOINED = auto()
    RENEWING = auto()  # from EVENT 29 to EVENT 25: nothing may be sent


class Session:
    """The state of the session and its transitions.

    Attributes:
        known_to_meter: whether the meter knows of it, too.
    """

    def __init__(self, core: Core, meter: Meter) -> None:
        self._core = core
        self._meter = meter
        self._phase = _Phase.IDLE
        self._peer = core.meter.address
        self.known_to_meter = False

    @property
    def is_open(self) -> bool:
        """Whether encrypted datagrams can be sent."""
        return self._phase is _Phase.JOINED

    @property
    def is_renewing(self) -> bool:
        """Whether it has run out and is being renewed."""
        return self._phase is _Phase.RENEWING

    def reset(self) -> None:
        """Drop the session; its actions are cancelled by the caller."""
        self._phase = _Phase.IDLE
        self.known_to_meter = False

    def forget_at_meter(self) -> None:
        """Have the meter lose the session, unnoticed by the dongle."""
        self.known_to_meter = False

    def check_join(self) -> None:
        """Check that SKJOIN is possible.

        Raises:
            Refused: without credentials, or while a join runs.
        """
        if not self._core.credentials.complete or self._phase is _Phase.JOINING:
            raise Refused(Fail.FAILED)

    def check_open(self) -> None:
        """Check that there is a session to renew or to end.

        Raises:
            Refused: there is none.
        """
        if self._phase in {_Phase.IDLE, _Phase.JOINING}:
            raise Refused(Fail.FAILED)

    def join(self, now: float, address: str) -> None:
        """Start authentication; EVENT 25 or 24 follows."""
        core = self._core
        core.timeline.cancel(Group.SESSION)
        self._phase = _Phase.JOINING
        self._peer = address
        known = core.neighbours.get(address)
        start = now
        if known is None:
            solicited = core.wire.event(Event.SENT, address, Sent.SOLICITATION_FIRST)
            core.emit_at(now + _SOLICITED_S * core.timing.join, solicited, Group.SESSION)
        if core.faults.on_join(now) or not core.in_range() or address != core.meter.address:
            self._fail_at(now + core.timing.join_failure(core.rng))
            return
        if known is None:
            start += SOLICITATION_S * core.timing.join
            core.timeline.at(start, lambda _now: self._found_meter(), Group.SESSION)
        self._authenticate(start)

    def renew(self, now: float) -> None:
        """Authenticate again (SKREJOIN, or by itself); EVENT 25 or 24 follows."""
        core = self._core
        core.timeline.cancel(Group.SESSION)
        if core.faults.on_join(now) or not core.in_range():
            self._fail_at(now + core.timing.join_failure(core.rng))
        else:
            self._authenticate(now)

    def expire(self, now: float) -> None:
        """Reach the end of the lifetime: EVENT 29, then a renewal if S17 wants one."""
        core = self._core
        if self._phase is not _Phase.JOINED:
            return
        core.emit(core.wire.event(Event.EXPIRED, core.meter.address))
        if core.registers[Reg.AUTO_RENEW]:
            self._phase = _Phase.RENEWING
            self.renew(now)
        else:
            core.timeline.cancel(Group.SESSION)
            self.reset()

    def end_by_meter(self) -> None:
        """Have the meter end it: EVENT 26, if there is one."""
        if self._phase not in {_Phase.JOINED, _Phase.RENEWING}:
            return
        self._core.timeline.cancel(Group.SESSION, Group.AIR)
        self.reset()
        self._core.emit(self._core.wire.event(Event.ENDED_BY_METER, self._core.meter.address))

    def leave(self, now: float) -> None:
        """End the session (SKTERM): EVENT 27, or 28 if the meter knows nothing of it."""
        core = self._core
        core.timeline.cancel(Group.SESSION, Group.AIR)
        answered = self.known_to_meter
        self.reset()
        delay, event = (
            (LEAVE_S, Event.LEFT) if answered else (LEAVE_UNANSWERED_S, Event.LEFT_UNANSWERED)
        )
        line = core.wire.event(event, core.meter.address)
        core.emit_at(now + delay * core.timing.latency, line, Group.SESSION)

    def _found_meter(self) -> None:
        core = self._core
        core.neighbours[core.meter.address] = Neighbour(core.meter.mac, fixed=False)
        core.emit(core.wire.event(Event.NEIGHBOUR_FOUND, core.meter.address))

    def _authenticate(self, start: float) -> None:
        core = self._core
        meter = core.meter
        given = core.credentials
        accepted = (given.broute_id, given.password) == (meter.broute_id, meter.broute_pwd)
        step_s = PANA_STEP_S * core.timing.join
        sent = core.wire.event(Event.SENT, meter.address, Sent.OK)
        steps = pana.messages(meter.broute_id, LIFETIME_S, core.rng)
        for number, message in enumerate(steps[: None if accepted else _STEPS_OF_WRONG_PASSWORD]):
            datagram = Received(
                meter.address, core.address, PANA_PORT, meter.mac, secured=False, payload=message
            )
            core.timeline.at(
                start + (number + 0.5) * step_s, partial(self._receive, datagram), Group.SESSION
            )
            core.emit_at(start + (number + 1) * step_s, sent, Group.SESSION)
        end = start + PANA_STEPS * step_s
        if accepted:
            core.timeline.at(end, self._joined, Group.SESSION)
        else:
            self._fail_at(end)

    def _receive(self, datagram: Received, _now: float) -> None:
        self._core.emit(self._core.received(datagram))

    def _joined(self, now: float) -> None:
        core = self._core
        self._phase = _Phase.JOINED
        self.known_to_meter = True
        core.emit(core.wire.event(Event.JOINED, core.meter.address))
        announced = now + INSTANCE_LIST_S * core.timing.join
        core.timeline.at(announced, lambda _now: self._announce(), Group.AIR)
        core.timeline.at(now + LIFETIME_S * RENEW_SHARE, self._renewal_due, Group.SESSION)

    def _announce(self) -> None:
        """Have the meter send its instance list to all."""
        self._core.deliver(self._meter.instance_list(), destination=MULTICAST)

    def _renewal_due(self, now: float) -> None:
        if self._core.registers[Reg.AUTO_RENEW]:
            self.expire(now)
        else:
            self._core.timeline.at(now + LIFETIME_S * (1 - RENEW_SHARE), self.expire, Group.SESSION)

    def _fail_at(self, due: float) -> None:
        core = self._core

        def failed(_now: float) -> None:
            self.reset()
            core.emit(core.wire.event(Event.JOIN_FAILED, self._peer))

        core.timeline.at(due, failed, Group.SESSION)
