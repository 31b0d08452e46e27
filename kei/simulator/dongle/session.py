"""The PANA session between dongle and meter, seen from the dongle."""

from collections.abc import Callable
from enum import Enum, auto

from kei.simulator.dongle import pana
from kei.simulator.dongle.core import Core, Group, Neighbour
from kei.simulator.dongle.registers import Reg
from kei.simulator.dongle.timing import (
    INSTANCE_LIST_S,
    LEAVE_S,
    LEAVE_UNANSWERED_S,
    LIFETIME_S,
    PANA_STEP_S,
    PANA_STEPS,
    RENEW_SHARE,
    SOLICITATION_S,
)
from kei.simulator.dongle.wire import Event, Fail, Received, Refused, Sent

PANA_PORT = 716
_SOLICITED_S = 0.05  # when the solicitation itself has gone out
_STEPS_OF_WRONG_PASSWORD = 2  # the meter then falls silent, as it cannot verify the answer


class _Phase(Enum):
    IDLE = auto()
    JOINING = auto()
    JOINED = auto()
    RENEWING = auto()  # EVENT 29 was there: nothing may be sent until EVENT 25


class Session:
    """The state of the session and everything that changes it.

    Args:
        core: the dongle.
        on_joined: called at every EVENT 25 with the time at which the meter announces itself.
    """

    def __init__(self, core: Core, on_joined: Callable[[float], None]) -> None:
        self._core = core
        self._on_joined = on_joined
        self._phase = _Phase.IDLE
        self._peer = core.meter.address
        self.remembered = False  # whether the meter knows of the session

    @property
    def open(self) -> bool:
        """Whether encrypted datagrams can be sent."""
        return self._phase is _Phase.JOINED

    @property
    def renewing(self) -> bool:
        """Whether it has run out and is being authenticated again by itself."""
        return self._phase is _Phase.RENEWING

    def reset(self) -> None:
        """Forget the session; its actions were called off with the dongle's."""
        self._phase = _Phase.IDLE
        self.remembered = False

    def forget_at_meter(self) -> None:
        """Have the meter lose the session; the dongle does not notice."""
        self.remembered = False

    def check_join(self) -> None:
        """See whether SKJOIN is possible.

        Raises:
            Refused: without credentials, or while a join runs.
        """
        if not self._core.credentials.complete or self._phase is _Phase.JOINING:
            raise Refused(Fail.FAILED)

    def check_open(self) -> None:
        """See whether there is a session to renew or to end.

        Raises:
            Refused: there is none.
        """
        if self._phase in {_Phase.IDLE, _Phase.JOINING}:
            raise Refused(Fail.FAILED)

    def join(self, now: float, address: str) -> None:
        """Start to authenticate; EVENT 25 or 24 follows."""
        core = self._core
        core.timeline.cancel(Group.SESSION)
        self._phase = _Phase.JOINING
        self._peer = address
        known = core.neighbours.get(address)
        start = now
        if known is None:
            solicited = core.event(Event.SENT, address, Sent.SOLICITATION_FIRST)
            core.emit_at(now + _SOLICITED_S * core.timing.join, solicited, Group.SESSION)
        if core.faults.on_join(now) or not core.in_range() or address != core.meter.address:
            self._fail_at(now + core.timing.join_failure(core.rng))
            return
        if known is None:
            start += SOLICITATION_S * core.timing.join
            core.at(start, lambda _now: self._meet(), Group.SESSION)
        self._authenticate(start, first=True)

    def renew(self, now: float) -> None:
        """Authenticate again (SKREJOIN, or by itself); EVENT 25 or 24 follows."""
        core = self._core
        core.timeline.cancel(Group.SESSION)
        if core.faults.on_join(now) or not core.in_range():
            self._fail_at(now + core.timing.join_failure(core.rng))
        else:
            self._authenticate(now, first=False)

    def expire(self, now: float) -> None:
        """Reach the end of the lifetime: EVENT 29, then a renewal if S17 wants one."""
        core = self._core
        if self._phase is not _Phase.JOINED:
            return
        core.emit(core.event(Event.EXPIRED, core.meter.address))
        if core.registers[Reg.AUTO_RENEW]:
            self._phase = _Phase.RENEWING
            self.renew(now)
        else:
            core.timeline.cancel(Group.SESSION)
            self.reset()

    def leave(self, now: float) -> None:
        """End the session (SKTERM): EVENT 27, or 28 if the meter knows nothing of it."""
        core = self._core
        core.timeline.cancel(Group.SESSION, Group.AIR)
        answered = self.remembered
        self.reset()
        delay, event = (
            (LEAVE_S, Event.LEFT) if answered else (LEAVE_UNANSWERED_S, Event.LEFT_UNANSWERED)
        )
        line = core.event(event, core.meter.address)
        core.emit_at(now + delay * core.timing.latency, line, Group.SESSION)

    def _meet(self) -> None:
        core = self._core
        core.neighbours[core.meter.address] = Neighbour(core.meter.mac, fixed=False)
        core.emit(core.event(Event.NEIGHBOUR_FOUND, core.meter.address))

    def _authenticate(self, start: float, *, first: bool) -> None:
        core = self._core
        meter = core.meter
        given = core.credentials
        welcome = (given.broute_id, given.password) == (meter.broute_id, meter.broute_pwd)
        step_s = PANA_STEP_S * core.timing.join
        sent = core.event(Event.SENT, meter.address, Sent.OK)
        steps = pana.messages(meter.broute_id, LIFETIME_S, core.rng)
        for number, message in enumerate(steps[: None if welcome else _STEPS_OF_WRONG_PASSWORD]):
            datagram = Received(
                meter.address, core.address, PANA_PORT, meter.mac, secured=False, payload=message
            )
            core.at(start + (number + 0.5) * step_s, core.hear(datagram), Group.SESSION)
            core.emit_at(start + (number + 1) * step_s, sent, Group.SESSION)
        end = start + PANA_STEPS * step_s
        if welcome:
            core.at(end, lambda now: self._joined(now, first=first), Group.SESSION)
        else:
            self._fail_at(end)

    def _joined(self, now: float, *, first: bool) -> None:
        core = self._core
        self._phase = _Phase.JOINED
        self.remembered = True
        if first:
            self._forget_solicited()
        core.emit(core.event(Event.JOINED, core.meter.address))
        self._on_joined(now + INSTANCE_LIST_S * core.timing.join)
        core.at(now + LIFETIME_S * RENEW_SHARE, self._near_end, Group.SESSION)

    def _forget_solicited(self) -> None:
        """A first datagram is solicited again after a join, unless SKADDNBR spared it."""
        neighbour = self._core.neighbours.get(self._core.meter.address)
        if neighbour is not None and not neighbour.fixed:
            del self._core.neighbours[self._core.meter.address]

    def _near_end(self, now: float) -> None:
        if self._core.registers[Reg.AUTO_RENEW]:
            self.expire(now)
        else:
            self._core.at(now + LIFETIME_S * (1 - RENEW_SHARE), self.expire, Group.SESSION)

    def _fail_at(self, due: float) -> None:
        core = self._core

        def failed(_now: float) -> None:
            self.reset()
            core.emit(core.event(Event.JOIN_FAILED, self._peer))

        core.at(due, failed, Group.SESSION)
