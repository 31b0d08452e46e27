"""The session's state machine: all state that decides a transition, and the loop.

The thread that runs `Machine.run` is the session thread. It takes the action of the present
state (`connect_steps`, `joined_monitor`), which returns an outcome, and the table of `transitions`
says what follows. Any other thread only reports: requests in vain, events of the dongle, a lost
port.
"""

import random
import threading
from collections.abc import Callable, Mapping

import structlog

from kei.core.backoff import Backoff
from kei.core.clock import Clock
from kei.core.errors import KeiError, PortLost, RejoinNeeded, Stopping
from kei.core.heartbeat import HEARTBEAT_S, Heartbeat
from kei.core.incidents import Incidents
from kei.wisun.interfaces import Answer, EventNumber, State
from kei.wisun.link import CommandRefused, Link, NoReply
from kei.wisun.priority_lock import PriorityLock
from kei.wisun.send_gate import SendGate
from kei.wisun.transitions import TRANSITIONS, Outcome, Pause

log = structlog.stdlib.get_logger("kei.session")

BACKOFF_FIRST_S, BACKOFF_MAX_S = 2.0, 600.0
BACKOFF_JITTER = (0.5, 1.0)  # so that a whole street does not come back at the same moment
REFUSED_PAUSE_S = 600.0  # a password that a meter has refused is not offered again and again
FLAPPING_MAX_S = 30.0  # a meter that can be joined is not left alone for long
SHORT_PAUSE_S = 1.0  # a dongle that is plugged in again is back within 10 s
LOSS_PAUSE_MAX_S = 32.0  # a hub that cannot feed the radio drops it at each attempt
STABLE_S = 60.0  # a session that is lost sooner does not count as success
STILL_LIMIT_S = 600.0  # a step takes four minutes at most, if no scan tells its end
UNDECIPHERABLE_MAX = 2  # frames in a row; a single one is noise (J11 specification, 12.5.4)
SESSION_ENDS = frozenset(
    {
        EventNumber.JOIN_FAILED,  # of a renewal
        EventNumber.PEER_CLOSED,
        EventNumber.CLOSED,
        EventNumber.CLOSE_TIMED_OUT,
        EventNumber.LINK_LOST,
    }
)
# The address of these is the other end of the session.
OF_METER = SESSION_ENDS | {
    EventNumber.JOINED,
    EventNumber.LIFETIME_EXPIRED,
    EventNumber.UNDECIPHERABLE,
}


class RequestCounters:
    """What became of the requests since the start. Thread-safe.

    Attributes:
        answered: the meter answered.
        missed: it was asked, or should have been, and did not answer in time.
        held_back: the meter could not be asked: not joined, or no transmission time left.
        misses_in_a_row: since the last answer, or the last `forgive`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered = self.missed = self.held_back = self.misses_in_a_row = 0

    def answer(self) -> None:
        """Count a request that was answered."""
        with self._lock:
            self.answered += 1
            self.misses_in_a_row = 0

    def miss(self, *, asked: bool) -> None:
        """Count a missing answer; `asked` is whether it says anything about the meter."""
        with self._lock:
            self.missed += 1
            self.misses_in_a_row += asked

    def hold_back(self) -> None:
        """Count a request that was refused before it was sent."""
        with self._lock:
            self.held_back += 1

    def forgive(self) -> None:
        """Begin to count misses in a row anew."""
        with self._lock:
            self.misses_in_a_row = 0


class Machine:
    """The state of one session, the failure latch, and the loop of the session thread.

    The failure latch: any thread reports what is wrong with `report`, which ends the conversation
    in progress; the session thread acts on it with its next transition.

    Attributes:
        gate: renewals of the PANA session and the dongle's transmission limit.
        lock: held by the thread that talks to the dongle.
        incidents: the faults that are going on.
        counters: what became of the requests; misses in a row make the meter count as silent.
        heartbeat: of the session thread.
        stopping: set when the program is being stopped.
        state: the present one.
        failure: what is wrong with it, if anything.
        established: the dongle has a PANA session, for all that is known.
        first_answer: of a meter that has been joined and not yet announced to the listener.
        changed_at: when the meter was joined, or the session was lost (monotonic).
        scanned_in_vain: scans of every usual length have not heard a meter.
        failed_rounds: rounds of joining every known network in vain since the last join.
        silences: sessions in a row that were lost because the meter was silent.
        needs_reset: the dongle has failed while joined, so that its session is not taken over.
        checked_misses: missed requests up to which the dongle has been checked for a restart.
        check_limit_at: when to check whether the dongle is still limited (monotonic).
        backoff: the growing pauses.
    """

    def __init__(self, link: Link, clock: Clock, rng: random.Random) -> None:
        self.link = link
        self.clock = clock
        self.lock = PriorityLock()
        self.incidents = Incidents(log, clock)
        self.gate = SendGate(clock, self.incidents)
        self.counters = RequestCounters()
        self.heartbeat = Heartbeat(clock, STILL_LIMIT_S)
        self.stopping = threading.Event()
        self._wake = threading.Event()  # there is something to look at while joined
        self._interrupt = threading.Event()  # a pause has become pointless
        # Read by any thread; the first two are written under the mutex.
        self._mutex = threading.Lock()
        self.state = State.INIT
        self.failure: Outcome | None = None
        self.established = False
        self.first_answer: Answer | None = None
        self.changed_at = clock.monotonic()
        self._pause_until: float | None = None
        self._undecipherable = 0  # frames since the last that was not
        # Used by the session thread alone.
        self.scanned_in_vain = False
        self.failed_rounds = 0
        self.silences = 0
        self.needs_reset = False
        self.checked_misses = 0
        self.check_limit_at: float | None = None
        self.backoff = Backoff(
            rng, first_s=BACKOFF_FIRST_S, max_s=BACKOFF_MAX_S, jitter=BACKOFF_JITTER
        )
        self._port_losses = 0  # in a row, while the port was in use

    # ------------------------------------------------------------------ any thread

    @property
    def is_joined(self) -> bool:
        """Whether the meter can be asked now."""
        announced = self.first_answer is None
        return self.state is State.JOINED and announced and self.failure is None

    @property
    def pause_left_s(self) -> float | None:
        """How long it still waits before the next attempt; None unless it does."""
        until = self._pause_until
        return None if until is None else round(max(0.0, until - self.clock.monotonic()), 1)

    def why_not_ready(self) -> str | None:
        """Return why no request can be sent now; None if one can."""
        if not self.is_joined:
            return "not joined"
        if self.gate.is_limited:
            return "the dongle's transmission time is used up for this hour"
        return None

    def stop(self) -> None:
        """Make every wait end, now and later, and `run` return."""
        with self._mutex:  # or else a step that begins would clear the interruption
            self.stopping.set()
            self._interrupt.set()
        self.link.stop()
        self._wake.set()

    def wake(self) -> None:
        """Have the session thread check misses, notifications and renewals now, if joined."""
        self._wake.set()

    def on_event(self, number: int) -> None:
        """Follow an event of the dongle (reader's thread)."""
        self.gate.on_event(number)
        if number in (EventNumber.LIFETIME_EXPIRED, EventNumber.LIMIT_ON):
            self._wake.set()
        elif number == EventNumber.JOINED:
            self.established = True
            self.hear()
        elif number in SESSION_ENDS and self.established:
            self.established = False
            told = EventNumber(number).name.lower().replace("_", " ")
            self.report(Outcome.CLOSED, RejoinNeeded(f"the session ended ({told})"))
        elif number == EventNumber.UNDECIPHERABLE:
            self._undecipherable += 1
            if self._undecipherable == UNDECIPHERABLE_MAX and self.established:
                self.established = False  # so that it is authenticated anew, and not left
                self.report(Outcome.CLOSED, RejoinNeeded("the meter cannot be understood any more"))
        elif number == EventNumber.RESTARTED and self.established:
            self.established = False
            self.report(Outcome.BROKEN, RejoinNeeded("the dongle has restarted"))

    def hear(self) -> None:
        """Note that a frame of the meter could be deciphered (reader's thread)."""
        self._undecipherable = 0

    def report(self, failure: Outcome, error: KeiError, *, only_if_joined: bool = False) -> None:
        """Report what is wrong; the first report counts, except that a lost port replaces it.

        Args:
            failure: the outcome of the present state.
            error: what the conversation in progress and later ones end with.
            only_if_joined: ignore it if the session thread has noticed and is reconnecting.
        """
        with self._mutex:
            if self.stopping.is_set():
                return  # leaving the meter ends the session, too
            was_joined = self.state is State.JOINED
            if only_if_joined and not was_joined:
                return
            if self.failure is not None and failure is not Outcome.PORT_LOST:
                return
            self.failure = failure
            self.link.halt(error)
        if failure is Outcome.PORT_LOST:
            self._interrupt.set()
            self.incidents.raised("port_lost", reason=str(error))
        if was_joined:
            self.incidents.raised("session_lost", trouble=failure.value, reason=str(error))
        self._wake.set()

    # ------------------------------------------------------------------ session thread

    def run(self, actions: Mapping[State, Callable[[], Outcome]]) -> None:
        """Take the action of each state in turn until `stop`; never raises.

        Args:
            actions: one a state; may raise Stopping, and before JOINED what means that the
                dongle fails: PortLost, CommandRefused, NoReply, RejoinNeeded.
        """
        while not self.stopping.is_set():
            state = self.state
            try:
                outcome = self._act(state, actions[state])
            except Stopping:
                return
            except Exception:
                # A bug of ours. The thread must survive it: start over from the port.
                log.exception("keeper_failed", state=state.value)
                outcome = Outcome.BROKEN
            if outcome is Outcome.PORT_LOST:
                self._rest_after_loss(state)
            self.needs_reset |= (state, outcome) == (State.JOINED, Outcome.BROKEN)
            transition = TRANSITIONS[state, outcome]
            self.move_to(transition.next)
            pause_s = self._pause_s(transition.pause)
            log.debug(
                "session_step",
                state=state.value,
                outcome=outcome.value,
                next=transition.next.value,
                pause=transition.pause.value,
                pause_s=round(pause_s, 1),
            )
            if transition.pause is Pause.SHORT:
                self.sleep(pause_s)
            elif pause_s:
                self.pause(pause_s)

    def _act(self, state: State, action: Callable[[], Outcome]) -> Outcome:
        """Take an action; a dongle that fails on the way to JOINED becomes an outcome."""
        if state is State.JOINED:
            return action()
        with self.lock:
            if not self._begin_step():
                return Outcome.PORT_LOST
            try:
                outcome = action()
            except PortLost as error:
                self.incidents.raised("port_lost", reason=str(error))
                return Outcome.PORT_LOST
            except (CommandRefused, NoReply, RejoinNeeded) as error:
                if self.failure is Outcome.PORT_LOST:
                    return Outcome.PORT_LOST
                why = self.link.explain(error)
                self.incidents.raised("dongle_failing", key=state, state=state.value, reason=why)
                return Outcome.BROKEN
            self.incidents.ended("dongle_failing", key=state)
            return outcome

    def _begin_step(self) -> bool:
        """Clear the failure, which led to this step; return whether there is a port for it."""
        with self._mutex:
            if self.failure is Outcome.PORT_LOST and self.state is not State.INIT:
                return False
            self.failure = None
            self.link.resume()
            if not self.stopping.is_set():
                self._interrupt.clear()
            return True

    def move_to(self, state: State) -> None:
        """Go on to the next state; a session that lasted clears what failed before."""
        self.heartbeat.beat()
        with self._mutex:
            before, self.state = self.state, state
        if before is state or State.JOINED not in (before, state):
            return
        lasted_s = self.clock.monotonic() - self.changed_at
        self.changed_at += lasted_s
        if before is not State.JOINED:
            return
        if lasted_s < STABLE_S:
            self.shorten_backoff()
        else:
            self.backoff.reset()
            self._port_losses = 0
            self.silences = 0

    def _pause_s(self, pause: Pause) -> float:
        match pause:
            case Pause.SHORT:
                return SHORT_PAUSE_S
            case Pause.GROWING:
                return self.backoff.after_failure()
            case Pause.LONG:
                return REFUSED_PAUSE_S + self.backoff.after_failure()
        return 0.0

    def shorten_backoff(self) -> None:
        """Try again soon, because the meter or the dongle did what it should."""
        self.backoff.shorten(FLAPPING_MAX_S)

    def _rest_after_loss(self, state: State) -> None:
        """Look for the port soon, except when it is lost again and again while it is used."""
        self.backoff.reset()  # a person who plugs it in again wants to see it work
        if state is State.INIT:
            self._port_losses = 0  # it is not there: that costs nothing
        elif state is not State.JOINED:
            self._port_losses += 1
            pause_s = min(LOSS_PAUSE_MAX_S, 2.0**self._port_losses) - SHORT_PAUSE_S
            self._wait(self.stopping, pause_s)

    def pause(self, seconds: float) -> None:
        """Sleep before the next attempt, so that others can see it."""
        self._pause_until = self.clock.monotonic() + seconds
        self.sleep(seconds)
        self._pause_until = None

    def sleep(self, seconds: float) -> None:
        """Wait for so long, or until `stop`, or until the port is lost."""
        self._wait(self._interrupt, seconds)

    def _wait(self, event: threading.Event, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while (left_s := until - self.clock.monotonic()) > 0:
            self.heartbeat.beat()
            if event.wait(self.clock.wait_s(min(left_s, HEARTBEAT_S))):
                return

    def wait_for_wake(self, limit_s: float | None) -> None:
        """Wait until woken, for so long at most, and never for longer than a heartbeat."""
        wait_s = HEARTBEAT_S if limit_s is None else min(limit_s, HEARTBEAT_S)
        self._wake.wait(self.clock.wait_s(wait_s))
        self._wake.clear()
