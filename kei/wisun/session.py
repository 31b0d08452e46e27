"""The one Wi-SUN session: brought up by its keeper, shared by everybody who asks the meter.

Threads: `run` is the body of the keeper's thread and the only one that changes the state;
`get` may be called from any thread; the transport's reader calls `_on_message` and `_on_lost`.
A lock makes sure that one conversation with the dongle is in progress at a time.
"""

import logging
import random
import threading

import structlog

from kei.clock import Clock
from kei.echonet.frame import METER, Esv
from kei.errors import KeiError, NotReady, PortLost, RejoinNeeded, RetryLater, Stopping
from kei.faults import Faults
from kei.wisun import bringup
from kei.wisun.bringup import Dongle
from kei.wisun.candidates import Candidates
from kei.wisun.exchange import Answer, Exchange
from kei.wisun.gate import Gate
from kei.wisun.link import CommandRefused, Heard, Link, NoReply, Received, Tap
from kei.wisun.seams import Listener, Memory, OpenPort, Settings, Status
from kei.wisun.skstack import Datagram, Event, EventNumber, Message, rssi_dbm
from kei.wisun.states import TRANSITIONS, Outcome, Pause, State
from kei.wisun.tally import Tally
from kei.wisun.turns import Turns

log = structlog.stdlib.get_logger("kei.session")

SCAN_DURATIONS = (4, 5, 6, 7)  # 4.8, 9.2, 18 and 36 s over all channels
REST_AFTER_LEAVING_S = 10.0  # a join at once after SKTERM fails (field experience)
FIRST_ANSWER_TIMEOUT_S = 20.0  # two tries; for each of two questions
MISSES_UNTIL_PROBE = 3
PROBE_EPCS = (0x80,)  # operation status: every device has it (super class, required)
PROBE_TIMEOUT_S = 10.0  # two tries; weak links answer within 6 s
WRONG_ARGUMENTS = (5, 6)  # FAIL ER05 and ER06: their number, their form
SHORT_PAUSE_S = 2.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 2.0, 600.0


class Session:
    """A PANA session with the meter that is held through everything.

    Args:
        settings: credentials and dialect.
        open_port: opens the port anew each time.
        memory: survives restarts.
        listener: hears of joins and notifications.
        clock: wall and monotonic time.
        rng: for the jitter of pauses.
        tap: is shown everything that is said on the port; None for nobody.
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
        self._settings = settings
        self._open_port = open_port
        self._listener = listener
        self._clock = clock
        self._rng = rng
        self._faults = Faults(log, clock)
        self._link = Link(clock, self._on_message, tap)
        self._gate = Gate(clock)
        self._exchange = Exchange(self._link, self._gate, clock, rng)
        self._tally = Tally()
        self._lock = Turns()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._state = State.INIT
        self._turned = clock.monotonic()  # when it was joined, or was no more
        self._trouble: Outcome | None = None
        self._dongle: Dongle | None = None
        self._candidates = Candidates(memory)
        self._first: Answer | None = None
        self._backoff_s = BACKOFF_FIRST_S
        self._rest_until = 0.0

    # ------------------------------------------------------------------ for everybody

    @property
    def is_joined(self) -> bool:
        """Whether the meter can be asked now."""
        return self._state is State.JOINED and self._trouble is None

    def status(self) -> Status:
        """Return a snapshot; safe from any thread."""
        return Status(
            state=self._state,
            since_s=self._clock.monotonic() - self._turned,
            network=self._exchange.network,
            dongle=self._dongle,
            lqi=self._exchange.lqi,
            answered=self._tally.answered,
            missed=self._tally.missed,
            held_back=self._tally.held_back,
            ignored_frames=self._exchange.ignored,
            noise_lines=self._link.noise_lines,
        )

    def get(self, epcs: tuple[int, ...], budget_s: float) -> Answer:
        """Ask the meter for properties.

        Args:
            epcs: up to 6 property codes (what a meter must handle in one frame).
            budget_s: how long all tries together may take, waiting for the turn included.

        Returns:
            its answer, the good values of a partial one (Get_SNA) too.

        Raises:
            NotReady: not joined, or held back by the dongle.
            RetryLater: no answer in time, or too many others ask; counted.
            Stopping: the program is being stopped.
        """
        deadline = self._clock.monotonic() + budget_s
        self._check_ready()
        if not self._lock.acquire(self._clock.wait_s(budget_s)):
            self._tally.miss(asked=False)
            raise RetryLater("the session is busy")
        reason = "nothing came in time"
        try:
            self._check_ready()
            answer = self._exchange.ask(epcs, deadline)
        except (CommandRefused, PortLost, RejoinNeeded) as error:
            answer, reason = None, str(error)
        finally:
            self._lock.release()
        if answer is None:
            self._tally.miss(asked=True)
            if self._is_silent:
                self._wake.set()
            raise RetryLater(f"no answer to {' '.join(f'{epc:02X}' for epc in epcs)}: {reason}")
        self._tally.answer()
        return answer

    def stop(self) -> None:
        """Make every wait end and `run` take leave of the meter and return."""
        self._stop.set()
        self._link.stop()
        self._wake.set()

    def run(self) -> None:
        """Bring the session up and hold it, until `stop`; never raises."""
        while not self._stop.is_set():
            try:
                outcome = self._act()
            except Stopping:
                break
            except Exception:
                # Our own mistake. The keeper must not die of it: start over from the port.
                log.exception("keeper_failed", state=self._state.value)
                outcome = Outcome.BROKEN
            transition = TRANSITIONS[self._state, outcome]
            log.debug(
                "session_step",
                state=self._state.value,
                outcome=outcome.value,
                next=transition.next.value,
            )
            self._move_to(transition.next)
            self._pause(transition.pause)
        self._take_leave()

    def _check_ready(self) -> None:
        if self._stop.is_set():
            raise Stopping("kei is being stopped")
        reason = None
        if not self.is_joined:
            reason = "not joined"
        elif self._gate.is_limited:
            reason = "the dongle's transmission time is used up for this hour"
        if reason is not None:
            self._tally.hold_back()
            raise NotReady(reason)

    @property
    def _is_silent(self) -> bool:
        return self._tally.misses_in_a_row >= MISSES_UNTIL_PROBE

    # ------------------------------------------------------------------ reader's thread

    def _on_message(self, message: Message) -> Heard | None:
        match message:
            case Datagram():
                received = self._exchange.sort(message)
                if self._exchange.notifications:
                    self._wake.set()
                return received
            case Event(number):
                self._on_event(number)
        return message

    def _on_event(self, number: int) -> None:
        self._gate.take(number)
        match number:
            case EventNumber.LIFETIME_EXPIRED:
                self._wake.set()
            case (
                EventNumber.JOIN_FAILED
                | EventNumber.PEER_CLOSED
                | EventNumber.CLOSED
                | EventNumber.CLOSE_TIMED_OUT
            ):
                if self._state is State.JOINED:
                    self._report(Outcome.CLOSED, number)

    def _on_lost(self, error: PortLost) -> None:
        self._faults.raised("port_lost", reason=str(error))
        self._report(Outcome.PORT_LOST)
        self._link.halt(error)

    def _report(self, trouble: Outcome, event: int | None = None) -> None:
        """Tell the keeper that the session cannot go on; the first report counts."""
        if self._stop.is_set():
            return  # taking leave ends the session, too
        if self._trouble is None or trouble is Outcome.PORT_LOST:
            self._trouble = trouble
            if self._state is State.JOINED:
                number = None if event is None else f"{event:02X}"
                self._faults.raised("session_lost", trouble=trouble.value, number=number)
            self._link.halt(RejoinNeeded("the session is lost"))
        self._wake.set()

    # ------------------------------------------------------------------ keeper's thread

    def _act(self) -> Outcome:
        """Take the step of the present state; every failure becomes one of its outcomes."""
        if self._state is State.JOINED:
            return self._watch()
        action = {
            State.INIT: self._open,
            State.OPEN: self._identify,
            State.SETUP: self._set_up,
            State.SCAN: self._scan,
            State.JOIN: self._join,
        }[self._state]
        with self._lock:
            if self._trouble is Outcome.PORT_LOST and self._state is not State.INIT:
                return Outcome.PORT_LOST
            self._trouble = None
            self._link.resume()
            try:
                return action()
            except PortLost as error:
                self._faults.raised("port_lost", reason=str(error))
                return Outcome.PORT_LOST
            except (CommandRefused, NoReply, RejoinNeeded) as error:
                self._faults.raised(
                    "dongle_failing", state=self._state.value, reason=self._why(error)
                )
                return Outcome.BROKEN

    def _why(self, error: KeiError) -> str:
        """Return what a person needs to know of a dongle that does not do what it should."""
        if isinstance(error, NoReply) and (others := self._link.shared_with()):
            return f"{error}; the port is also used by {', '.join(others)}"
        if isinstance(error, CommandRefused) and error.code in WRONG_ARGUMENTS:
            return f'{error}; is broute.dongle right? "auto" finds out by itself'
        return str(error)

    def _open(self) -> Outcome:
        self._link.detach()
        self._link.attach(self._open_port(self._link.on_data, self._on_lost))
        return Outcome.DONE

    def _identify(self) -> Outcome:
        dongle, had_session = bringup.identify(self._link, self._settings.dialect)
        known = dongle == self._dongle
        self._dongle = dongle
        self._exchange.side = dongle.dialect.side
        if had_session:
            self._rest()
        self._faults.ended("dongle_failing")
        self._faults.ended("port_lost")
        log.log(
            logging.DEBUG if known else logging.INFO,  # told once, not at each attempt
            "dongle_ready",
            dongle=dongle.dialect.name,
            firmware=dongle.firmware,
            product=dongle.product,
        )
        return Outcome.DONE

    def _set_up(self) -> Outcome:
        assert self._dongle is not None, "OPEN comes before SETUP"
        settings = self._settings
        bringup.set_up(self._link, self._dongle.dialect, settings.broute_id, settings.broute_pwd)
        return Outcome.KNOWN if self._candidates.recall() else Outcome.DONE

    def _scan(self) -> Outcome:
        assert self._dongle is not None, "OPEN comes before SCAN"
        for duration in SCAN_DURATIONS:
            log.debug("scan_started", duration=duration)
            found = bringup.scan(self._link, self._clock, self._dongle.dialect, duration)
            if found:
                self._candidates.replace(found)
                self._faults.ended("meter_not_found")
                before = self._exchange.network
                known = before is not None and before.mac == found[0].mac
                log.log(
                    logging.DEBUG if known else logging.INFO,
                    "meter_found",
                    channel=found[0].channel,
                    lqi=found[0].lqi,
                )
                return Outcome.DONE
        self._faults.raised(
            "meter_not_found",
            hint="check the B-route ID, and move the dongle closer to the meter",
        )
        return Outcome.FAILED

    def _join(self) -> Outcome:
        self._sleep(self._rest_until - self._clock.monotonic())
        network = self._candidates.current
        self._exchange.network = network
        self._gate.open()
        if bringup.join(self._link, network):
            # Joined but silent happens: only an answer proves the session.
            self._first = self._first_answer()
            if self._first is not None:
                self._settle_in()
                return Outcome.DONE
            bringup.leave(self._link)
            self._rest()
        self._faults.raised(
            "join_failed",
            hint="check the B-route password; another device may hold the meter's only session",
        )
        return Outcome.GIVEN_UP if self._candidates.failed() else Outcome.FAILED

    def _first_answer(self) -> Answer | None:
        """Ask what is needed first; if need be less, as some meters answer one property only."""
        for epcs in (self._settings.first_epcs, PROBE_EPCS):
            deadline = self._clock.monotonic() + FIRST_ANSWER_TIMEOUT_S
            if (answer := self._exchange.ask(epcs, deadline)) is not None:
                return answer
        return None

    def _settle_in(self) -> None:
        network = self._candidates.current
        self._candidates.joined()
        self._backoff_s = BACKOFF_FIRST_S
        self._tally.forgive()
        lqi = network.lqi if self._exchange.lqi is None else self._exchange.lqi
        log.info(
            "session_joined",
            channel=network.channel,
            pan_id=f"{network.pan_id:04X}",
            lqi=lqi,
            rssi_dbm=rssi_dbm(lqi),
        )
        self._faults.all_ended()

    def _watch(self) -> Outcome:
        """Hand on what the meter says, until the session is lost."""
        first, self._first = self._first, None
        if first is not None:
            self._listener.joined(self._candidates.current.mac, first)
        while not self._stop.is_set():
            while self._exchange.notifications:
                self._notify(self._exchange.notifications.popleft())
            if self._is_silent and not self._gate.is_renewing and self._trouble is None:
                self._probe()
            if self._trouble is not None:
                return self._trouble
            patience_s = self._gate.patience_s()
            if patience_s is not None and patience_s <= 0:
                self._report(Outcome.CLOSED, EventNumber.LIFETIME_EXPIRED)
                continue
            self._wake.wait(None if patience_s is None else self._clock.wait_s(patience_s))
            self._wake.clear()
        raise Stopping("kei is being stopped")

    def _probe(self) -> None:
        """Find out whether the meter is silent, or only did not like what it was asked."""
        deadline = self._clock.monotonic() + PROBE_TIMEOUT_S
        try:
            with self._lock:
                answered = self._exchange.ask(PROBE_EPCS, deadline) is not None
        except (CommandRefused, PortLost, RejoinNeeded) as error:
            answered = False
            log.debug("probe_broken", reason=str(error))
        self._tally.forgive()
        if not answered:
            self._report(Outcome.SILENT)

    def _notify(self, received: Received) -> None:
        """Hand on what the meter sent by itself, and confirm it if the meter asks for that."""
        frame = received.frame
        if frame.seoj == METER:
            self._listener.notified(frame.properties, received.at_ms)
        else:
            log.debug("instance_list", seoj=f"{frame.seoj:06X}")
        if frame.esv is not Esv.INFC:
            return
        try:
            with self._lock:
                self._exchange.confirm(frame)
        except KeiError as error:
            log.debug("confirmation_failed", reason=str(error))

    def _take_leave(self) -> None:
        """End the PANA session if there may be one, and give the port back."""
        try:
            if self._link.is_open and self._state in (State.JOIN, State.JOINED):
                with self._lock:
                    ended = bringup.last_leave(self._link, joining=self._state is State.JOIN)
                log.info("session_left", ended=ended)
        finally:
            self._link.detach()
            self._move_to(State.INIT)

    def _move_to(self, state: State) -> None:
        if State.JOINED in (state, self._state) and state is not self._state:
            self._turned = self._clock.monotonic()
        self._state = state

    def _pause(self, pause: Pause) -> None:
        if pause is Pause.SHORT:
            self._sleep(SHORT_PAUSE_S)
        elif pause is Pause.GROWING:
            self._sleep(self._backoff_s * self._rng.uniform(0.5, 1.0))
            self._backoff_s = min(BACKOFF_MAX_S, self._backoff_s * 2)

    def _sleep(self, seconds: float) -> None:
        """Do nothing for so long, or until `stop`."""
        self._stop.wait(self._clock.wait_s(seconds))

    def _rest(self) -> None:
        self._rest_until = self._clock.monotonic() + REST_AFTER_LEAVING_S
