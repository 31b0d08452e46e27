"""The meter at the other end of the air: its answers, its notifications, and the faults in them."""

import random
from collections.abc import Callable
from typing import Protocol

from kei.echonet.frame import Esv
from kei.simulator.air.timeline import Group, Timeline
from kei.simulator.air.timing import NOTICE_DELAY_S, TRANSMIT_S, Timing
from kei.simulator.faults import FaultKind
from kei.simulator.meter.meter import Meter
from kei.simulator.meter.registers import HALF_HOUR_S

REPEATS = 3  # of an INFC that is not confirmed; what real meters do is not known
_TID, _ESV = slice(2, 4), slice(10, 11)  # of an ECHONET Lite frame
_INFC_RES = bytes((Esv.INFC_RES,))
_HISTORY_BYTES = 200  # an answer as long as this holds a day of half-hours
_DUPLICATE_AFTER_S = 0.05

Damage = Callable[[bytes], bytes]
"""What becomes of the bytes on the way from the dongle to the host."""


class SessionState(Protocol):
    """What the meter's side has to know of the PANA session."""

    @property
    def is_open(self) -> bool:
        """Whether encrypted datagrams can be sent."""

    @property
    def is_renewing(self) -> bool:
        """Whether it has run out and is being renewed."""

    @property
    def known_to_meter(self) -> bool:
        """Whether the meter knows of it, too."""


class MeterLink:
    """What the meter sends over the air, and when.

    Args:
        meter: what it answers.
        session: without it nothing is sent.
        deliver: has the dongle write a datagram of the meter to the host, damaged so.
        timeline: for what is on its way.
        timing: the delays.
        rng: chance.
    """

    def __init__(
        self,
        meter: Meter,
        session: SessionState,
        deliver: Callable[[bytes, Damage], None],
        *,
        timeline: Timeline,
        timing: Timing,
        rng: random.Random,
    ) -> None:
        self._meter = meter
        self._session = session
        self._deliver = deliver
        self._timeline = timeline
        self._timing = timing
        self._rng = rng
        self._unconfirmed: bytes | None = None  # TID of the latest INFC

    def notify(self, now: float, *, confirmed: bool) -> None:
        """Have the meter send its half-hour values at `now`, if there is a session.

        If they are to be confirmed (INFC), it repeats them until they are.
        """
        if not (self._session.is_open and self._session.known_to_meter):
            return
        values = self._meter.half_hour_values(confirmed=confirmed)
        if values is None:
            return
        self._deliver(values, bytes)
        if confirmed:
            self._unconfirmed = values[_TID]
            self._repeat(now, values, REPEATS)

    def _repeat(self, now: float, values: bytes, left: int) -> None:
        """Schedule the next repetition of an INFC, `left` of them at most.

        They end with its confirmation or a newer one, and wait while the session is renewed.
        """

        def repeat(due: float) -> None:
            if values[_TID] != self._unconfirmed:
                return
            if self._session.is_renewing:
                self._repeat(due, values, left)
            elif left and self._session.is_open and self._session.known_to_meter:
                self._deliver(values, bytes)
                self._repeat(due, values, left - 1)
            else:
                self._unconfirmed = None

        self._timeline.at(now + self._timing.repeat_s, repeat, Group.AIR)

    def schedule_notification(self, now: float) -> None:
        """Schedule the next half-hour values, a little after :00 or :30 of the meter's clock.

        Those missed while the process was stopped are left out.
        """
        wall = self._meter.now()
        boundary = (int(wall) // HALF_HOUR_S + 1) * HALF_HOUR_S
        send_at = boundary + self._rng.uniform(*NOTICE_DELAY_S)

        def send(due: float) -> None:
            self.notify(due, confirmed=self._meter.kind.confirmed)
            self.schedule_notification(self._timeline.now)

        self._timeline.at(now + (send_at - wall) / self._timing.speed, send, Group.METER)

    def request(self, sent: float, payload: bytes, kinds: frozenset[FaultKind]) -> None:
        """Pass a request to the meter and schedule its answer."""
        if not self._session.known_to_meter:
            return
        if payload[_ESV] == _INFC_RES and payload[_TID] == self._unconfirmed:
            self._unconfirmed = None
        answer = self._meter.respond(payload, refuse=FaultKind.SNA in kinds)
        if answer is None or FaultKind.DROP in kinds:
            return
        wrong_tid = answer[:2] + bytes((answer[2] ^ 0x80, answer[3])) + answer[4:]
        reply = wrong_tid if FaultKind.WRONG_TID in kinds else answer
        delay = self._timing.answer(self._rng, history=len(reply) >= _HISTORY_BYTES)
        delay = max(0.0, delay - TRANSMIT_S * self._timing.latency)
        if FaultKind.LATE in kinds:
            delay = self._rng.uniform(*self._timing.late_s)
        damage = self._garbled if FaultKind.GARBLE in kinds else bytes
        for copy in range(2 if FaultKind.DUPLICATE in kinds else 1):
            self._timeline.at(
                sent + delay + copy * _DUPLICATE_AFTER_S * self._timing.latency,
                lambda _now: self._deliver(reply, damage),
                Group.AIR,
            )

    def _garbled(self, line: bytes) -> bytes:
        """Return a line with a few characters damaged, as by a bad cable or a second program."""
        damaged = bytearray(line)
        for _ in range(self._rng.randint(1, 4)):
            damaged[self._rng.randrange(len(damaged))] ^= self._rng.randrange(1, 256)
        return bytes(damaged)
