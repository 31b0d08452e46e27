"""The Wi-SUN session as its callers see it: ask the meter, see the status, run, stop.

Threads: `run` is the session thread; `get`, `status` and `stop` may be called from any thread;
the transport's reader thread calls `_on_message`. The priority lock makes sure that one
conversation with the dongle is in progress at a time.
"""

import random
from contextlib import nullcontext

import structlog

from kei.core.clock import Clock
from kei.core.errors import NotAsked, NotReady, PortLost, RejoinNeeded, RetryLater, Stopping
from kei.core.incidents import Lasting
from kei.echonet.frame import Property
from kei.wisun.connect_steps import ConnectSteps
from kei.wisun.interfaces import (
    Answer,
    Datagram,
    Dongle,
    Event,
    EventNumber,
    Inbound,
    Info,
    Listener,
    Memory,
    Message,
    OpenPort,
    SessionStatus,
    Settings,
    State,
    Tap,
)
from kei.wisun.joined_monitor import JoinedMonitor
from kei.wisun.link import Link
from kei.wisun.machine import OF_METER, Machine
from kei.wisun.network import Network
from kei.wisun.quality import rssi_dbm
from kei.wisun.recogniser import Recogniser
from kei.wisun.remembered import KnownNetworks, LastSession, Notes, fingerprint
from kei.wisun.requests import Request, Requests
from kei.wisun.transitions import Outcome

log = structlog.stdlib.get_logger("kei.session")

# Longer than a request every 10 s takes with all its tries. Where others ask all the time, who
# gives way comes to its turn all the same.
PATIENCE_S = 12.0
LATE_LOOK_S = 0.5  # for an answer that nobody waits for at the dongle


class Session:
    """A PANA session with the meter, kept up through restarts and losses of every kind.

    Args:
        settings: credentials and dialect.
        open_port: opens the port anew each time.
        memory: survives restarts.
        listener: receives joins and notifications.
        clock: wall and monotonic time.
        rng: for the jitter of pauses.
        tap: observes everything that is sent and received on the port; None for no observer.

    Attributes:
        heartbeat: of the session thread.
    """

    def __init__(
        self,
        settings: Settings,
        open_port: OpenPort,
        memory: Memory,
        listener: Listener,
        *,
        clock: Clock,
        rng: random.Random,
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._own_address = ""  # the dongle's, as far as it has told it
        self._link = link = Link(clock, self._on_message, tap)
        self._recogniser = recogniser = Recogniser(link, clock, settings)
        self._machine = machine = Machine(link, clock, rng)
        self._requests = requests = Requests(link, recogniser, machine.gate, clock, rng)
        credentials = fingerprint(settings.broute_id, settings.broute_pwd)
        self._networks = KnownNetworks(Notes(memory, machine.incidents), credentials)
        lasting = memory if settings.outlives_us else None
        last = LastSession(Notes(lasting, machine.incidents), clock)
        self._steps = ConnectSteps(
            settings, open_port, machine, recogniser, requests, self._networks, last
        )
        self._monitor = JoinedMonitor(machine, recogniser, requests, listener)
        self.heartbeat = machine.heartbeat

    @property
    def is_joined(self) -> bool:
        """Whether the meter can be asked now."""
        return self._machine.is_joined

    @property
    def state(self) -> State:
        """How far the session has come; any thread."""
        return self._machine.state

    @property
    def is_pausing(self) -> bool:
        """Whether it waits before the next attempt to join; any thread."""
        return self._machine.pause_left_s is not None

    @property
    def fault(self) -> Lasting | None:
        """What is in the way, or was last; None if all is well. Any thread."""
        return self._machine.incidents.latest()

    @property
    def dongle(self) -> Dongle | None:
        """What is on the port; None until it has been recognised. Any thread."""
        return self._recogniser.commands.dongle

    @property
    def network(self) -> Network | None:
        """The last network that was tried; None until one was found. Any thread."""
        return self._requests.network

    @property
    def are_credentials_proven(self) -> bool:
        """Whether a meter has taken ID and password, now or in an earlier life. Any thread."""
        return self._networks.are_credentials_proven

    @property
    def lqi(self) -> float | None:
        """Of the meter's last frame, or else of its beacon; None without either. Any thread."""
        heard, network = self._requests.lqi, self.network
        return network.lqi if heard is None and network is not None else heard

    def status(self) -> SessionStatus:
        """Return a snapshot; any thread."""
        machine, dongle, network = self._machine, self.dongle, self.network
        lqi, fault = self.lqi, self.fault
        return SessionStatus(
            state=machine.state.value,
            joined=machine.state is State.JOINED,
            since_s=round(self._clock.monotonic() - machine.changed_at, 1),
            dongle=dongle.dialect.name if dongle else None,
            firmware=dongle.firmware if dongle else None,
            channel=network.channel if network else None,
            pan_id=f"{network.pan_id:04X}" if network else None,
            lqi=None if lqi is None else round(lqi),
            rssi_dbm=None if lqi is None else rssi_dbm(lqi),
            answered=machine.counters.answered,
            missed=machine.counters.missed,
            held_back=machine.counters.held_back,
            ignored_frames=self._requests.ignored,
            next_try_s=machine.pause_left_s,
            fault=str(fault) if fault else None,
            fault_s=round(fault.last_s, 1) if fault else None,
        )

    def get(self, epcs: tuple[int, ...], budget_s: float, *, gives_way: bool = False) -> Answer:
        """Ask the meter for properties.

        Between the tries other requests are sent, the one with the nearest deadline first.

        Args:
            epcs: up to 6 property codes (what a meter must handle in one frame).
            budget_s: how long all tries together may take, waiting for the lock included.
            gives_way: whether each try waits while any other request is unanswered, for
                `PATIENCE_S` at most; then it has its turn by its deadline, as others.

        Returns:
            the answer; of a partial one (Get_SNA) the values that are there.

        Raises:
            NotReady: not joined, or the dongle is at its transmission limit; counted.
            NotAsked: the dongle renewed the session, or was busy, or could not reach the meter;
                counted.
            RetryLater: no answer in time; counted.
            Stopping: the program is being stopped.
        """
        return self._converse(self._requests.begin(epcs, budget_s), gives_way=gives_way)

    def set(self, item: Property, budget_s: float, *, gives_way: bool = False) -> bool:
        """Set a property of the meter; return whether it took it.

        Args:
            item: code and data.
            budget_s: as of `get`, whose errors this raises, too.
            gives_way: as of `get`.
        """
        request = self._requests.begin((item.epc,), budget_s, sets=item)
        answer = self._converse(request, gives_way=gives_way)
        return item.epc in answer.properties

    def _converse(self, request: Request, *, gives_way: bool) -> Answer:
        """Make the tries of a request; return the answer. Errors as of `get`."""
        names = bytes(request.epcs).hex(" ").upper()
        machine = self._machine
        begun = self._clock.monotonic()
        reason: str | None = None
        try:
            with nullcontext() if gives_way else machine.lock.claimed():
                reason = self._try(request, gives_way=gives_way)
            if gives_way:
                self._wait_for_late(request)
        except PortLost as error:
            reason = str(error)
            machine.report(Outcome.PORT_LOST, error, only_if_joined=True)
        except RejoinNeeded as error:
            reason = str(error)
        finally:
            self._requests.end(request)
        if request.answer is None:
            why = self._note_miss(request, reason or "nothing came in time")
            told = f"no answer to {names}: {why}"
            raise RetryLater(told) if request.was_heard else NotAsked(told)
        machine.counters.answer()
        took_s = round(self._clock.monotonic() - begun, 2)
        log.debug("request_answered", epc=names, tries=request.tries, took_s=took_s)
        return request.answer

    def _try(self, request: Request, *, gives_way: bool) -> str | None:
        """Make the tries, each when it is its turn; return what ended them, if it is no time-out.

        Raises:
            KeiError: the port or the session was lost, it was not up, or kei is being stopped.
        """
        machine, lock, monotonic = self._machine, self._machine.lock, self._clock.monotonic
        self._check_ready()
        patient_until = monotonic() + PATIENCE_S
        while request.is_open(now := monotonic()):
            is_patient = gives_way and now < patient_until
            until = min(request.deadline, patient_until) if is_patient else request.deadline
            left_s = self._clock.wait_s(until - now)
            if not lock.acquire(left_s, urgency=request.deadline, gives_way=is_patient):
                continue
            try:
                if not request.is_open(monotonic()):
                    break
                if request.was_sent and (why := machine.why_not_ready()) is not None:
                    return why  # it has been asked, so that this is a miss
                self._check_ready()
                self._requests.attempt(request)
            finally:
                lock.release()
            patient_until = monotonic() + PATIENCE_S
        return None

    def _wait_for_late(self, request: Request) -> None:
        """Let others talk while an answer may still come: one of a day may take a minute."""
        while request.answer is None and request.was_sent and not self._machine.why_not_ready():
            left_s = request.deadline - self._clock.monotonic()
            if left_s <= 0:
                return
            self.rest(min(LATE_LOOK_S, left_s))

    def rest(self, seconds: float) -> None:
        """Wait between two questions, while others may ask theirs.

        Raises:
            Stopping: the program is being stopped.
        """
        if self._machine.stopping.wait(self._clock.wait_s(seconds)):
            raise Stopping("kei is being stopped")

    def _check_ready(self) -> None:
        if self._machine.stopping.is_set():
            raise Stopping("kei is being stopped")
        if (reason := self._machine.why_not_ready()) is not None:
            self._machine.counters.hold_back()
            raise NotReady(reason)

    def _note_miss(self, request: Request, reason: str) -> str:
        """Count a missing answer, have its cause looked for, and return the reason to tell."""
        machine = self._machine
        if not request.tries:
            reason = "the session is busy"
        elif request.refusal is not None:
            reason = self._link.explain(request.refusal)
            machine.report(Outcome.BROKEN, RejoinNeeded(reason), only_if_joined=True)
        elif not request.was_sent and machine.gate.is_renewing:
            reason = "the dongle is renewing the session"
        machine.counters.miss(asked=request.was_sent and not machine.gate.is_limited)
        if request.tries:
            machine.wake()
        return reason

    def _on_message(self, message: Message) -> Inbound | None:
        """Return what the conversation in progress gets to see of a message (reader thread)."""
        match message:
            case Datagram():
                if message.secured and not self._is_foreign(message.sender):
                    self._machine.hear()
                received = self._requests.sort(message)
                if self._requests.notifications:
                    self._machine.wake()
                return received
            case Info(address) | Event(EventNumber.SCAN_DONE, address):
                self._own_address = address
            case Event(number, peer) if number in OF_METER and self._is_foreign(peer):
                return None
            case Event(number):
                self._machine.on_event(number)
        return message

    def _is_foreign(self, address: str) -> bool:
        """Return whether it is another one's; some firmware names itself instead of the meter."""
        meter = self._requests.address
        return bool(meter) and address not in (meter, self._own_address, "")

    def run(self) -> None:
        """Bring the session up and hold it, until `stop`; never raises."""
        self._machine.run(
            {
                State.INIT: self._steps.open,
                State.OPEN: self._steps.identify,
                State.ADOPT: self._steps.adopt,
                State.SETUP: self._steps.set_up,
                State.SCAN: self._steps.scan,
                State.JOIN: self._steps.join,
                State.JOINED: self._monitor.hold,
            }
        )
        self._steps.leave_on_shutdown()

    def stop(self) -> None:
        """Make every wait end, and `run` leave the meter and return; any thread."""
        self._machine.stop()
