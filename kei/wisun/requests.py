"""Requests and answers: ECHONET Lite frames over the dongle, matched by TID and by sender."""

import random
from collections import deque
from dataclasses import dataclass, field

import structlog

from kei.core.clock import Clock, instant
from kei.core.errors import Malformed
from kei.echonet.frame import (
    METER,
    UDP_PORT,
    Esv,
    Frame,
    Property,
    decode,
    get_request,
    set_request,
)
from kei.wisun.commands import Commands
from kei.wisun.interfaces import (
    NOT_NOW,
    Answer,
    Datagram,
    Event,
    EventNumber,
    Fail,
    Inbound,
    Ok,
    Reason,
    Received,
    SendResult,
)
from kei.wisun.link import CommandRefused, Link
from kei.wisun.network import Network
from kei.wisun.recogniser import Recogniser
from kei.wisun.send_gate import SendGate

log = structlog.stdlib.get_logger("kei.session")

TRY_S = 5.0  # weak links answer within 6 s, median 3.7 s; an answer to an earlier try counts, too
LEAST_TRY_S = 1.0  # with less than that left there is no point in sending
MOST_TRIES = 3
REPLY_GRACE_S = 1.0  # the dongle's OK after the answer; the pause after EVENT 21 with 01 (busy)
NOTIFICATIONS_MAX = 64  # the meter sends two each half hour


@dataclass(slots=True)
class Request:
    """A Get, or the Set of one property, with all its tries; an answer to any of them counts.

    Attributes:
        epcs: what is asked for.
        deadline: monotonic.
        try_s: how long to wait for the answer to one try.
        tries: how many there have been.
        tids: the transaction numbers whose answers are awaited.
        answer: the meter's, once it has come; the good values of a partial one too.
        refusal: set if the dongle refused to send the last try, and not because it was busy.
        was_sent: whether any try has been handed to the dongle.
        was_heard: whether the meter is likely to have got any try: it has acknowledged it, or at
            least the dongle has taken it and does not report that nobody has.
        sets: what is to be set; None of a Get.
    """

    epcs: tuple[int, ...]
    deadline: float
    try_s: float
    tries: int = 0
    tids: set[int] = field(default_factory=set)
    answer: Answer | None = None
    refusal: CommandRefused | None = None
    was_sent: bool = False
    was_heard: bool = False
    sets: Property | None = None

    def frame(self, tid: int) -> Frame:
        """Return the frame of a try."""
        if self.sets is not None:
            return set_request(tid, self.sets)
        return get_request(tid, self.epcs)

    def is_open(self, now: float) -> bool:
        """Return whether to try, or try again; immediate failures leave time for more tries."""
        if self.answer is not None or self.tries == MOST_TRIES:
            return False
        least = max if self.tries else min
        return now + least(LEAST_TRY_S, self.try_s / 2) <= self.deadline

    def accept(self, received: Received) -> bool:
        """Take a frame with one of the TIDs as the answer; return False if it is none.

        A value that is given has data; a property that is set has none, and one that is refused
        comes back with what it was to be set to.
        """
        frame = received.frame
        properties: dict[int, bytes] = {}
        refused: set[int] = set()
        for item in frame.properties:
            if bool(item.edt) is (self.sets is None):
                properties[item.epc] = item.edt
            else:
                refused.add(item.epc)
        given = properties.keys() | refused
        services = (Esv.GET_RES, Esv.GET_SNA) if self.sets is None else (Esv.SET_RES, Esv.SETC_SNA)
        is_answer = frame.esv in services and frame.seoj == METER
        if not is_answer or not given or not given <= set(self.epcs):
            return False
        self.answer = Answer(received.at, properties, frozenset(refused))
        return True


class Requests:
    """Sends requests to the meter and matches what comes back.

    `begin` and `end` may be called from any thread; `attempt`, `ask` and `confirm` by the
    holder of the priority lock; `sort` by the transport's reader.

    Args:
        link: over which the dongle's replies and the answers come.
        recogniser: has the commands of the dongle.
        gate: when nothing may be sent.
        clock: for deadlines and the time of answers.
        rng: for the first TID, so that a late answer to an earlier run is not taken for ours.

    Attributes:
        network: the meter's; None until `talk_to`.
        address: of the meter; empty until then.
        notifications: received and not yet taken by the session thread.
        lqi: of the meter's last frame; None if no frame told it.
        ignored: late, duplicate, foreign and damaged frames so far.
        is_channel_busy: whether the last frame could not be sent, as others were sending.
    """

    def __init__(
        self, link: Link, recogniser: Recogniser, gate: SendGate, clock: Clock, rng: random.Random
    ) -> None:
        self._link = link
        self._recogniser = recogniser
        self._gate = gate
        self._clock = clock
        self._tid = rng.randrange(0x10000)
        self._awaited: dict[int, Request] = {}
        self._current: Request | None = None
        self.address = ""
        self.network: Network | None = None
        self.notifications: deque[Received] = deque(maxlen=NOTIFICATIONS_MAX)
        self.lqi: float | None = None
        self.ignored = 0
        self.is_channel_busy = False

    @property
    def _commands(self) -> Commands:
        return self._recogniser.commands

    def talk_to(self, network: Network) -> None:
        """Send to this meter and accept its frames only, from now on (session thread)."""
        self.address = network.address
        self.network = network
        self.is_channel_busy = False

    def begin(
        self, epcs: tuple[int, ...], budget_s: float, sets: Property | None = None
    ) -> Request:
        """Return a request that has not been tried yet.

        Args:
            epcs: up to 6 property codes.
            budget_s: for all tries together; decides how many there are, at most 3.
            sets: what is to be set; None to ask for these.
        """
        deadline = self._clock.monotonic() + budget_s
        return Request(epcs, deadline, min(TRY_S, budget_s), sets=sets)

    def end(self, request: Request) -> None:
        """Ignore answers from now on."""
        for tid in tuple(request.tids):
            self._awaited.pop(tid, None)

    def ask(self, epcs: tuple[int, ...], budget_s: float) -> Request:
        """Make all tries of a request without releasing the priority lock in between.

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
        is_again = request.was_sent
        if not self._may_send(request.deadline) or (is_again and not self._commands.may_send()):
            return
        self._link.begin()
        self._tid = (self._tid + 1) & 0xFFFF
        request.tids.add(self._tid)
        self._awaited[self._tid] = request
        self._current = request
        try:
            if request.answer is not None:  # to an earlier try, just before its turn
                return
            payload = request.frame(self._tid).encode()
            self._commands.send_datagram(self.address, payload)
            request.was_sent = True
            now = self._clock.monotonic()
            self._await(request, payload, min(now + request.try_s, max(request.deadline, now)))
        finally:
            self._current = None

    def confirm(self, infc: Frame) -> None:
        """Answer a confirmed notification (INFC) with INFC_Res: the same EPCs without data."""
        if not self._may_send(self._clock.monotonic() + TRY_S):
            return
        properties = tuple(Property(item.epc) for item in infc.properties)
        self._link.begin()
        reply = Frame(infc.tid, infc.deoj, infc.seoj, Esv.INFC_RES, properties)
        payload = reply.encode()
        self._commands.send_datagram(self.address, payload)
        self._await_reply(payload)

    def _may_send(self, deadline: float) -> bool:
        """Wait while the dongle renews the session; return whether it may send in time."""
        while self._gate.is_renewing:
            if self._link.receive(deadline) is None:
                return False
        return not self._gate.is_limited

    def _await(self, request: Request, payload: bytes, deadline: float) -> None:
        """Wait for the answer, and for the dongle's own OK, before which it can do nothing else."""
        taken = answered = failed = refused = is_busy = False
        request.refusal = None
        while not (taken and answered) and (inbound := self._hear(payload, deadline)) is not None:
            match inbound:
                case Received():
                    answered = True
                case Ok():
                    taken = True
                case Fail(reason=Reason.BUSY):
                    taken = failed = True
                case Fail(reason=reason):
                    request.refusal = CommandRefused(self._commands.send_name, inbound)
                    taken = True
                    failed, refused = reason in NOT_NOW, reason not in NOT_NOW
                case Event(EventNumber.SENT, _, SendResult.SENT):
                    request.was_heard = True
                case Event(EventNumber.SENT, _, SendResult.FAILED | SendResult.BUSY as result):
                    is_busy = result == SendResult.BUSY
                    log.debug("send_failed", is_busy=is_busy)
                    failed = True
            # EVENT 21 with 01 may only mean that the acknowledgement was lost: the last try waits.
            if answered or refused or (failed and request.tries < MOST_TRIES):
                deadline = min(deadline, self._clock.monotonic() + REPLY_GRACE_S)
        request.was_heard |= taken and not (refused or failed)
        self.is_channel_busy = is_busy
        if not taken:
            self._await_reply(payload)

    def _await_reply(self, payload: bytes) -> None:
        deadline = self._clock.monotonic() + REPLY_GRACE_S
        while (inbound := self._hear(payload, deadline)) is not None:
            if isinstance(inbound, Ok | Fail):
                return

    def _hear(self, payload: bytes, deadline: float) -> Inbound | None:
        """Return the next message but for late ones about an earlier datagram; None if none."""
        while (inbound := self._link.receive(deadline)) is not None:
            if not (isinstance(inbound, Ok | Event) and not payload.startswith(inbound.about)):
                return inbound
        return None

    def sort(self, datagram: Datagram) -> Received | None:
        """Give an answer to its request, queue a notification, and count everything else.

        Returns:
            the answer if the conversation in progress waits for it, else None.
        """
        if datagram.sender_port != UDP_PORT or self.network is None:
            return None  # PANA, handled in the dongle; it holds the B-route ID in clear text
        is_ours = (datagram.sender, datagram.own_port) == (self.address, UDP_PORT)
        if not (is_ours and datagram.secured):
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
        received = Received(frame, instant(self._clock))
        if frame.esv in (Esv.INF, Esv.INFC):
            self.notifications.append(received)
            return None
        request = self._awaited.get(frame.tid)
        if request is None or not request.accept(received):
            self.ignored += 1
            log.debug("frame_ignored", reason="not awaited", tid=frame.tid, esv=frame.esv.name)
            return None
        self.end(request)  # a repeated answer is ignored
        return received if request is self._current else None
