"""Requests and answers: ECHONET Lite frames over the dongle, matched by TID and by sender."""

import random
from collections import deque
from dataclasses import dataclass

import structlog

from kei.clock import Clock
from kei.echonet.frame import METER, Esv, Frame, Property, decode, get_request
from kei.errors import Malformed
from kei.wisun.bringup import Network
from kei.wisun.gate import Gate
from kei.wisun.link import CommandRefused, Link, Received
from kei.wisun.skstack import (
    ECHONET_PORT,
    Datagram,
    Event,
    EventNumber,
    Fail,
    Ok,
    SendResult,
    send_to,
)

log = structlog.stdlib.get_logger("kei.session")

SHORTEST_TRY_S = 5.0  # weak links answer within 6 s, median 3.7 s
LONGEST_TRY_S = 10.0  # answers are rarely later, and one to an earlier try is taken as well
MOST_TRIES = 3
AFTERMATH_S = 1.0  # the dongle's OK after the answer; the pause after EVENT 21 with 01 (busy)
NOTIFICATIONS_MAX = 64  # the meter sends two each half hour


@dataclass(frozen=True, slots=True)
class Answer:
    """What the meter said to a Get.

    Attributes:
        at_ms: when it came, milliseconds since 1970 in UTC.
        properties: the data of each property that it gave.
        refused: the properties that it says it cannot give now.
    """

    at_ms: int
    properties: dict[int, bytes]
    refused: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """What an answer has to be like to be ours."""

    tids: frozenset[int]
    epcs: frozenset[int]

    def matches(self, frame: Frame) -> bool:
        return (
            frame.esv in (Esv.GET_RES, Esv.GET_SNA)
            and frame.tid in self.tids
            and frame.seoj == METER
            and {item.epc for item in frame.properties} <= self.epcs
        )


_NOTHING = _Awaited(frozenset(), frozenset())


class Exchange:
    """The meter's side of the conversation.

    `ask` and `confirm` belong to whoever holds the session's lock, `sort` to the transport's
    reader. `network` and `side` are set by the keeper before anything is asked.

    Args:
        link: over which to talk.
        gate: says when not to.
        clock: for deadlines and the time of answers.
        rng: for the first TID, so that a late answer to an earlier run is not taken for ours.
    """

    def __init__(self, link: Link, gate: Gate, clock: Clock, rng: random.Random) -> None:
        self._link = link
        self._gate = gate
        self._clock = clock
        self._tid = rng.randrange(0x10000)
        self._awaited = _NOTHING
        self.network: Network | None = None
        self.side = False
        self.notifications: deque[Received] = deque(maxlen=NOTIFICATIONS_MAX)
        self.lqi: int | None = None
        self.ignored = 0

    def ask(self, epcs: tuple[int, ...], deadline: float) -> Answer | None:
        """Send a Get, again if need be; an answer to any of the tries will do.

        Args:
            epcs: up to 6 property codes.
            deadline: monotonic; decides how many tries there are, at most 3.

        Returns:
            the answer, the good values of a partial one too; None if none came.

        Raises:
            CommandRefused: the dongle refuses to send, to the last.
            KeiError: the port or the session was lost, or kei is being stopped.
        """
        budget_s = max(0.0, deadline - self._clock.monotonic())
        planned = max(1, min(MOST_TRIES, round(budget_s / SHORTEST_TRY_S)))
        try_s = min(LONGEST_TRY_S, budget_s / planned)
        tids: frozenset[int] = frozenset()
        try:
            for number in range(1, MOST_TRIES + 1):
                if not self._may_send(deadline):
                    break
                self._tid = (self._tid + 1) & 0xFFFF
                tids |= {self._tid}
                self._awaited = _Awaited(tids, frozenset(epcs))
                outcome = self._converse(get_request(self._tid, epcs), try_s)
                if isinstance(outcome, Received):
                    return _answer(outcome)
                # Tries that failed at once leave time for more than were planned.
                is_last = number == MOST_TRIES or self._clock.monotonic() + try_s / 2 > deadline
                if is_last and outcome is not None:
                    raise CommandRefused("SKSENDTO", outcome.code)
                if is_last:
                    break
        finally:
            self._awaited = _NOTHING
        return None

    def _may_send(self, deadline: float) -> bool:
        """Wait while the dongle renews the session; tell whether that was over in time."""
        while self._gate.is_renewing:
            if self._link.next(deadline) is None:
                return False
        return True

    def confirm(self, infc: Frame) -> None:
        """Answer a confirmed notification (INFC) with INFC_Res: the same EPCs without data."""
        if not self._may_send(self._clock.monotonic() + LONGEST_TRY_S):
            return
        properties = tuple(Property(item.epc) for item in infc.properties)
        self._send(Frame(infc.tid, infc.deoj, infc.seoj, Esv.INFC_RES, properties))
        for heard in self._link.heard(AFTERMATH_S):
            if isinstance(heard, Ok | Fail):
                return

    def _converse(self, frame: Frame, try_s: float) -> Received | Fail | None:
        """Send one frame and wait for its answer; the dongle's own OK has to come, too.

        Returns:
            the answer, how the dongle refused, or None where nothing came.
        """
        self._send(frame)
        deadline = self._clock.monotonic() + try_s
        received, refused, taken = None, None, False
        while (heard := self._link.next(deadline)) is not None:
            soon = min(deadline, self._clock.monotonic() + AFTERMATH_S)
            match heard:
                case Received():
                    received, deadline = heard, soon
                case Ok():
                    taken = True
                case Fail():
                    refused, deadline = heard, soon
                case Event(EventNumber.SENT, _, SendResult.FAILED):
                    log.debug("send_failed")
                    deadline = soon
            if received and (taken or refused):
                break
        return received or refused

    def _send(self, frame: Frame) -> None:
        assert self.network is not None, "nobody asks before a network is known"
        self._link.say(send_to(self.network.address, frame.encode(), side=self.side))

    def sort(self, datagram: Datagram) -> Received | None:
        """Sort a datagram: return an awaited answer, queue a notification, count the rest."""
        if datagram.sender_port != ECHONET_PORT or self.network is None:
            return None  # PANA, handled in the dongle; it holds the B-route ID in clear text
        if datagram.sender != self.network.address:
            self.ignored += 1
            return None
        if datagram.lqi is not None:
            self.lqi = datagram.lqi
        try:
            frame = decode(datagram.payload)
        except Malformed as error:
            self.ignored += 1
            log.debug("frame_ignored", reason=str(error))
            return None
        received = Received(frame, self._clock.now_ms())
        if frame.esv in (Esv.INF, Esv.INFC):
            self.notifications.append(received)
            return None
        if self._awaited.matches(frame):
            self._awaited = _NOTHING  # the same answer again is none
            return received
        self.ignored += 1
        log.debug("frame_ignored", reason="not awaited", tid=frame.tid, esv=frame.esv.name)
        return None


def _answer(received: Received) -> Answer:
    properties = received.frame.properties
    return Answer(
        at_ms=received.at_ms,
        properties={item.epc: item.edt for item in properties if item.edt},
        refused=frozenset(item.epc for item in properties if not item.edt),
    )
