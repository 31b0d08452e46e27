"""Requests and answers: ECHONET Lite frames over the dongle, matched by TID and by sender."""

import random
from collections import deque
from dataclasses import dataclass, field

import structlog

from kei.core.clock import Clock
from kei.core.errors import Malformed
from kei.echonet.frame import METER, Esv, Frame, Property, decode, get_request
from kei.wisun.commands import Network
from kei.wisun.link import Link, Received
from kei.wisun.send_gate import Gate
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

TRY_S = 5.0  # weak links answer within 6 s, median 3.7 s; an answer to an earlier try counts, too
LEAST_TRY_S = 1.0  # with less than that left there is no point in sending
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


@dataclass(slots=True)
class Request:
    """A Get with all its tries; an answer to any of them will do.

    Attributes:
        epcs: what is asked for.
        deadline: monotonic.
        try_s: how long to wait for the answer to one try.
        tries: how many there have been.
        tids: the transaction numbers whose answers are awaited.
        answer: the meter's, once it has come; the good values of a partial one too.
        refusal: the code of the dongle's FAIL to the last try, if it was one.
        was_sent: whether the dongle was given anything to send.
    """

    epcs: tuple[int, ...]
    deadline: float
    try_s: float
    tries: int = 0
    tids: set[int] = field(default_factory=set)
    answer: Answer | None = None
    refusal: int | None = None
    was_sent: bool = False

    def is_open(self, now: float) -> bool:
        """Tell whether to try, or try again; failures at once leave time for more tries."""
        if self.answer is not None or self.tries == MOST_TRIES:
            return False
        least = max if self.tries else min
        return now + least(LEAST_TRY_S, self.try_s / 2) <= self.deadline

    def is_answered_by(self, frame: Frame) -> bool:
        """Tell whether a frame with one of our TIDs is an answer to this."""
        given = {item.epc for item in frame.properties}
        is_answer = frame.esv in (Esv.GET_RES, Esv.GET_SNA) and frame.seoj == METER
        return is_answer and bool(given) and given <= set(self.epcs)


class Exchange:
    """The meter's side of the conversation.

    `begin` and `end` may be called from any thread; `attempt`, `ask` and `confirm` by whoever
    has the turn; `sort` by the transport's reader. `network` and `side` are set by the keeper
    before anything is asked.

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
        self._awaited: dict[int, Request] = {}
        self._current: Request | None = None
        self.network: Network | None = None
        self.side = False
        self.notifications: deque[Received] = deque(maxlen=NOTIFICATIONS_MAX)
        self.lqi: int | None = None
        self.ignored = 0

    def begin(self, epcs: tuple[int, ...], budget_s: float) -> Request:
        """Return a request of which no try has been made yet.

        Args:
            epcs: up to 6 property codes.
            budget_s: for all tries together; decides how many there are, at most 3.
        """
        return Request(epcs, self._clock.monotonic() + budget_s, min(TRY_S, budget_s))

    def end(self, request: Request) -> None:
        """Await no answer any more."""
        for tid in tuple(request.tids):
            self._awaited.pop(tid, None)

    def ask(self, epcs: tuple[int, ...], budget_s: float) -> Request:
        """Make all tries of a request, for whoever keeps the turn meanwhile.

        Raises:
            KeiError: the port or the session was lost, or kei is being stopped.
        """
        request = self.begin(epcs, budget_s)
        try:
            while request.is_open(self._clock.monotonic()):
                self.attempt(request)
        finally:
            self.end(request)
        return request

    def attempt(self, request: Request) -> None:
        """Make one try: send, and wait for the answer for as long as a try lasts.

        Raises:
            KeiError: the port or the session was lost, or kei is being stopped.
        """
        request.tries += 1
        if request.answer is not None or not self._may_send(request.deadline):
            return
        self._tid = (self._tid + 1) & 0xFFFF
        request.tids.add(self._tid)
        self._awaited[self._tid] = request
        self._current = request
        try:
            self._send(get_request(self._tid, request.epcs))
            request.was_sent = True
            now = self._clock.monotonic()
            self._await(request, min(now + request.try_s, max(request.deadline, now)))
        finally:
            self._current = None

    def confirm(self, infc: Frame) -> None:
        """Answer a confirmed notification (INFC) with INFC_Res: the same EPCs without data."""
        if not self._may_send(self._clock.monotonic() + TRY_S):
            return
        properties = tuple(Property(item.epc) for item in infc.properties)
        self._send(Frame(infc.tid, infc.deoj, infc.seoj, Esv.INFC_RES, properties))
        self._await_reply()

    def _may_send(self, deadline: float) -> bool:
        """Wait while the dongle renews the session; tell whether it may send in time."""
        while self._gate.is_renewing:
            if self._link.next(deadline) is None:
                return False
        return not self._gate.is_limited

    def _await(self, request: Request, deadline: float) -> None:
        """Wait for the answer; the dongle's own OK has to come, too, before it can do more."""
        taken = answered = failed = refused = False
        request.refusal = None
        while not (taken and answered) and (heard := self._link.next(deadline)) is not None:
            match heard:
                case Received():
                    answered = True
                case Ok():
                    taken = True
                case Fail(code):
                    request.refusal, taken, refused = code, True, True
                case Event(EventNumber.SENT, _, SendResult.FAILED):
                    log.debug("send_failed")
                    failed = True
            # EVENT 21 with 01 may only mean that the acknowledgement was lost: the last try waits.
            if answered or refused or (failed and request.tries < MOST_TRIES):
                deadline = min(deadline, self._clock.monotonic() + AFTERMATH_S)
        if not taken:
            self._await_reply()

    def _await_reply(self) -> None:
        for heard in self._link.heard(AFTERMATH_S):
            if isinstance(heard, Ok | Fail):
                return

    def _send(self, frame: Frame) -> None:
        assert self.network is not None, "nobody asks before a network is known"
        self._link.say(send_to(self.network.address, frame.encode(), side=self.side))

    def sort(self, datagram: Datagram) -> Received | None:
        """Sort a datagram: give an answer to its request, queue a notification, count the rest.

        Returns:
            the answer that the conversation in progress waits for.
        """
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
        request = self._awaited.get(frame.tid)
        if request is None or not request.is_answered_by(frame):
            self.ignored += 1
            log.debug("frame_ignored", reason="not awaited", tid=frame.tid, esv=frame.esv.name)
            return None
        request.answer = _answer(received)
        self.end(request)  # the same answer again is none
        return received if request is self._current else None


def _answer(received: Received) -> Answer:
    properties = received.frame.properties
    return Answer(
        at_ms=received.at_ms,
        properties={item.epc: item.edt for item in properties if item.edt},
        refused=frozenset(item.epc for item in properties if not item.edt),
    )
