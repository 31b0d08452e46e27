"""The one Wi-SUN session: brought up by its keeper, shared by everybody who asks the meter.

Workers: `run` is the body of the keeper's thread and the only one that changes the state;
`get` may be called from any thread; the transport's reader calls `_on_message` and
`Troubles.port_lost`. `Turns` makes sure that one conversation with the dongle is in progress at
a time.
"""

import random

import structlog

from kei.core.clock import Clock
from kei.core.errors import KeiError, NotReady, PortLost, RejoinNeeded, RetryLater, Stopping
from kei.wisun import commands
from kei.wisun.connect_steps import Approach
from kei.wisun.interfaces import Listener, Memory, OpenPort, Settings, Status
from kei.wisun.joined_monitor import Watch
from kei.wisun.link import CommandRefused, Heard, NoReply, Tap
from kei.wisun.parts import Parts
from kei.wisun.requests import Answer, Request
from kei.wisun.skstack import Datagram, Event, Message
from kei.wisun.states import TRANSITIONS, Outcome, Pause, State

log = structlog.stdlib.get_logger("kei.session")

SHORT_PAUSE_S = 1.0  # a dongle that is plugged in again is back within 10 s
LOSS_PAUSE_MAX_S = 32.0  # a hub that cannot feed the radio drops it at each attempt
FLAPPING_MAX_S = 30.0  # a meter that can be joined is not left alone for long
STABLE_S = 60.0  # a session that is lost sooner does not count as success


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

    Attributes:
        heartbeat: of the keeper.
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
        parts = Parts.of(memory, self._on_message, clock=clock, rng=rng, tap=tap)
        self._listener = listener
        self._clock = clock
        self._backoff = parts.backoff
        self._incidents = parts.incidents
        self._tally = parts.tally
        self._turns = parts.turns
        self._gate = parts.gate
        self._candidates = parts.candidates
        self._link = parts.link
        self._exchange = parts.exchange
        self._troubles = parts.troubles
        self._approach = Approach(settings, open_port, parts)
        self._watch = Watch(parts, listener)
        self._turned = clock.monotonic()  # when it was joined, or was no more
        self._losses = 0  # of the port in a row, while it was used
        self.heartbeat = parts.troubles.heartbeat

    # ------------------------------------------------------------------ for everybody

    @property
    def is_joined(self) -> bool:
        """Whether the meter can be asked now."""
        introduced = self._approach.first is None  # the listener knows of the meter
        in_order = self._troubles.present is None
        return self._troubles.state is State.JOINED and introduced and in_order

    @property
    def state(self) -> State:
        """How far the way to the meter has been gone; any thread."""
        return self._troubles.state

    def status(self) -> Status:
        """Return a snapshot; safe from any thread."""
        return Status(
            state=self._troubles.state,
            since_s=self._clock.monotonic() - self._turned,
            network=self._exchange.network,
            dongle=self._approach.dongle,
            lqi=self._exchange.lqi,
            answered=self._tally.answered,
            missed=self._tally.missed,
            held_back=self._tally.held_back,
            ignored_frames=self._exchange.ignored,
            noise_lines=self._link.noise_lines,
        )

    def get(self, epcs: tuple[int, ...], budget_s: float) -> Answer:
        """Ask the meter for properties.

        Others get their turn between the tries, whoever has the nearest deadline first.

        Args:
            epcs: up to 6 property codes (what a meter must handle in one frame).
            budget_s: how long all tries together may take, waiting for the turn included.

        Returns:
            its answer, the good values of a partial one (Get_SNA) too.

        Raises:
            NotReady: not joined, or held back by the dongle; counted.
            RetryLater: no answer in time, or too many others ask; counted.
            Stopping: the program is being stopped.
        """
        begun = self._clock.monotonic()
        request = self._exchange.begin(epcs, budget_s)
        reason = "nothing came in time"
        try:
            self._check_ready()
            while request.is_open(self._clock.monotonic()) and self._take_turn(request):
                try:
                    if not request.is_open(self._clock.monotonic()):
                        break
                    if request.was_sent and (why := self._why_not_ready()) is not None:
                        reason = why  # it has been asked, so that this is a miss
                        break
                    self._check_ready()
                    self._exchange.attempt(request)
                finally:
                    self._turns.release()
        except PortLost as error:
            reason = str(error)
            self._troubles.asker_failed(Outcome.PORT_LOST, error)
        except RejoinNeeded as error:
            reason = str(error)
        finally:
            self._exchange.end(request)
        if request.answer is None:
            if not request.tries:
                reason = "the session is busy"
            elif request.refusal is not None:
                reason = self._why(CommandRefused("SKSENDTO", request.refusal))
                self._troubles.asker_failed(Outcome.BROKEN, RejoinNeeded(reason))
            self._miss(request)
            raise RetryLater(f"no answer to {' '.join(f'{epc:02X}' for epc in epcs)}: {reason}")
        self._tally.answer()
        log.debug(
            "request_answered",
            epc=" ".join(f"{epc:02X}" for epc in epcs),
            tries=request.tries,
            took_s=round(self._clock.monotonic() - begun, 2),
        )
        return request.answer

    def stop(self) -> None:
        """Make every wait end and `run` take leave of the meter and return."""
        self._troubles.stop()

    def _take_turn(self, request: Request) -> bool:
        left_s = self._clock.wait_s(request.deadline - self._clock.monotonic())
        return self._turns.acquire(left_s, urgency=request.deadline)

    def _check_ready(self) -> None:
        if self._troubles.is_stopping:
            raise Stopping("kei is being stopped")
        if (reason := self._why_not_ready()) is not None:
            self._tally.hold_back()
            raise NotReady(reason)

    def _why_not_ready(self) -> str | None:
        if not self.is_joined:
            return "not joined"
        if self._gate.is_limited:
            return "the dongle's transmission time is used up for this hour"
        return None

    def _miss(self, request: Request) -> None:
        """Count a missing answer, and have the keeper look for the cause."""
        self._tally.miss(asked=request.was_sent and not self._gate.is_limited)
        if request.tries:
            self._troubles.wake()

    # ------------------------------------------------------------------ reader's thread

    def _on_message(self, message: Message) -> Heard | None:
        match message:
            case Datagram():
                received = self._exchange.sort(message)
                if self._exchange.notifications:
                    self._troubles.wake()
                return received
            case Event(number):
                self._troubles.take(number)
        return message

    # ------------------------------------------------------------------ keeper's thread

    def run(self) -> None:
        """Bring the session up and hold it, until `stop`; never raises."""
        while not self._troubles.is_stopping:
            state = self._troubles.state
            try:
                outcome = self._hold() if state is State.JOINED else self._approach_from(state)
            except Stopping:
                break
            except Exception:
                # Our own mistake. The keeper must not die of it: start over from the port.
                log.exception("keeper_failed", state=state.value)
                outcome = Outcome.BROKEN
            if outcome is Outcome.PORT_LOST:
                self._rest_after_loss(state)
            transition = TRANSITIONS[state, outcome]
            log.debug(
                "session_step",
                state=state.value,
                outcome=outcome.value,
                next=transition.next.value,
            )
            self._move(state, transition.next)
            self._pause(transition.pause)
        self._take_leave()

    def _approach_from(self, state: State) -> Outcome:
        """Take the step of a state; every failure becomes one of its outcomes."""
        action = {
            State.INIT: self._approach.open,
            State.OPEN: self._approach.identify,
            State.SETUP: self._approach.set_up,
            State.SCAN: self._approach.scan,
            State.JOIN: self._approach.join,
        }[state]
        with self._turns:
            if not self._troubles.begin_step():
                return Outcome.PORT_LOST
            try:
                outcome = action()
            except PortLost as error:
                self._incidents.raised("port_lost", reason=str(error))
                return Outcome.PORT_LOST
            except (CommandRefused, NoReply, RejoinNeeded) as error:
                if self._troubles.has_lost_port:
                    return Outcome.PORT_LOST
                why = self._why(error)
                self._incidents.raised("dongle_failing", key=state, state=state.value, reason=why)
                return Outcome.BROKEN
            self._incidents.ended("dongle_failing", key=state)
            return outcome

    def _hold(self) -> Outcome:
        """Introduce a meter that has been joined, and watch over it."""
        first = self._approach.first
        if first is not None:
            self._watch.begin()
            self._listener.joined(self._candidates.current.mac, first)
            self._approach.first = None
            self._listener.ready()
        return self._watch.hold()

    def _why(self, error: KeiError) -> str:
        """Return what a person needs to know of a dongle that does not do what it should."""
        if isinstance(error, NoReply) and (others := self._link.shared_with()):
            return f"{error}; the port is also used by {', '.join(others)}"
        if isinstance(error, CommandRefused) and error.is_misunderstanding:
            return f'{error}; is broute.dongle right? "auto" finds out by itself'
        return str(error)

    def _move(self, before: State, after: State) -> None:
        self._troubles.move_to(after)
        if State.JOINED not in (before, after) or before is after:
            return
        now = self._clock.monotonic()
        if before is State.JOINED:
            if now - self._turned < STABLE_S:
                self._backoff.shorten(FLAPPING_MAX_S)
            else:
                self._backoff.reset()
                self._losses = 0
                self._watch.forget_silences()
        self._turned = now

    def _rest_after_loss(self, state: State) -> None:
        """Look for the port soon, except when it goes away again and again while it is used."""
        self._backoff.reset()  # whoever plugs it in again wants to see it work
        if state is State.INIT:
            self._losses = 0  # it is not there: that costs nothing
        elif state is not State.JOINED:
            self._losses += 1
            self._troubles.sleep_on(min(LOSS_PAUSE_MAX_S, 2.0**self._losses) - SHORT_PAUSE_S)

    def _pause(self, pause: Pause) -> None:
        if pause is Pause.SHORT:
            self._troubles.sleep(SHORT_PAUSE_S)
        elif pause is Pause.GROWING:
            self._troubles.sleep(self._backoff.after_failure())

    def _take_leave(self) -> None:
        """End the PANA session if there may be one, and give the port back."""
        state = self._troubles.state
        may_have_one = self._troubles.established or state in (State.JOIN, State.JOINED)
        try:
            if self._link.is_open and may_have_one:
                with self._turns:
                    joining = state is State.JOIN
                    ended = commands.last_leave(self._link, self._clock, joining=joining)
                log.info("session_left", ended=ended)
        finally:
            self._link.detach()
            self._troubles.move_to(State.INIT)
