"""What the reader and the askers report to the keeper: that the session cannot go on."""

import threading

from kei.core.clock import Clock
from kei.core.errors import KeiError, PortLost, RejoinNeeded
from kei.core.heartbeat import HEARTBEAT_S, Heartbeat
from kei.core.incidents import Incidents
from kei.wisun.link import Link
from kei.wisun.send_gate import Gate
from kei.wisun.skstack import EventNumber
from kei.wisun.states import Outcome, State

# A step towards the meter takes two minutes at most, when every scan goes on to its end.
KEEPER_STILL_S = 600.0
SESSION_ENDS = frozenset(
    {
        EventNumber.JOIN_FAILED,  # of a renewal
        EventNumber.PEER_CLOSED,
        EventNumber.CLOSED,
        EventNumber.CLOSE_TIMED_OUT,
    }
)


class Troubles:
    """Keeps together the state, what is wrong with it, and whether conversations may go on.

    Reports come from any thread; everything else is the keeper's.

    Args:
        link: is halted by a report.
        gate: follows the events, too.
        incidents: are told.
        clock: for how long the keeper sleeps.

    Attributes:
        established: EVENT 25 was there, and nothing that ends the session since.
        heartbeat: of the keeper.
    """

    def __init__(self, link: Link, gate: Gate, incidents: Incidents, clock: Clock) -> None:
        self._link = link
        self._gate = gate
        self._incidents = incidents
        self._clock = clock
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()  # there is something to look at while joined
        self._interrupt = threading.Event()  # a pause has lost its point
        self._state = State.INIT
        self._present: Outcome | None = None
        self.established = False
        self.heartbeat = Heartbeat(clock, KEEPER_STILL_S)

    # ------------------------------------------------------------------ any thread

    @property
    def state(self) -> State:
        """Where the keeper is."""
        return self._state

    @property
    def present(self) -> Outcome | None:
        """What is wrong, if anything."""
        return self._present

    @property
    def is_stopping(self) -> bool:
        """Whether the program is being stopped."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Make every wait end, now and later."""
        with self._mutex:  # or else a step that begins would take the interruption back
            self._stop.set()
            self._interrupt.set()
        self._link.stop()
        self._wake.set()

    def wake(self) -> None:
        """Have the keeper look at what is new."""
        self._wake.set()

    def take(self, number: int) -> None:
        """Follow an EVENT line (reader's thread)."""
        self._gate.take(number)
        if number in (EventNumber.LIFETIME_EXPIRED, EventNumber.LIMIT_ON):
            self._wake.set()
        elif number == EventNumber.JOINED:
            self.established = True
        elif number in SESSION_ENDS and self.established:
            self.established = False
            self.report(Outcome.CLOSED, RejoinNeeded(f"EVENT {number:02X} ended the session"))

    def port_lost(self, error: PortLost) -> None:
        """Tell that the port is gone."""
        self.report(Outcome.PORT_LOST, error)

    def asker_failed(self, trouble: Outcome, error: KeiError) -> None:
        """Tell what is wrong, unless the keeper has noticed and is on its way again."""
        self._report(trouble, error, (State.JOINED,))

    def report(self, trouble: Outcome, error: KeiError) -> None:
        """Tell what is wrong; the first report counts, except that a lost port outdoes others.

        Args:
            trouble: the outcome of the present state.
            error: what conversations in progress and later ones end with.
        """
        self._report(trouble, error, tuple(State))

    def _report(self, trouble: Outcome, error: KeiError, states: tuple[State, ...]) -> None:
        with self._mutex:
            if self._stop.is_set():
                return  # taking leave ends the session, too
            if self._state not in states:
                return
            if self._present is not None and trouble is not Outcome.PORT_LOST:
                return
            self._present = trouble
            self._link.halt(error)
            was_joined = self._state is State.JOINED
        if trouble is Outcome.PORT_LOST:
            self._interrupt.set()
            self._incidents.raised("port_lost", reason=str(error))
        if was_joined:
            self._incidents.raised("session_lost", trouble=trouble.value, reason=str(error))
        self._wake.set()

    # ------------------------------------------------------------------ the keeper

    def move_to(self, state: State) -> None:
        """Go on to the next state."""
        self.heartbeat.beat()
        with self._mutex:
            self._state = state

    def begin_step(self) -> bool:
        """Forget earlier troubles, which led here; tell whether there is a port to work with."""
        with self._mutex:
            if self.has_lost_port and self._state is not State.INIT:
                return False
            self._present = None
            self._link.resume()
            if not self._stop.is_set():
                self._interrupt.clear()
            return True

    @property
    def has_lost_port(self) -> bool:
        """Whether the port is gone."""
        return self._present is Outcome.PORT_LOST

    def sleep(self, seconds: float) -> None:
        """Do nothing for so long, or until `stop`, or until the port is lost."""
        self._wait(self._interrupt, seconds)

    def sleep_on(self, seconds: float) -> None:
        """Do nothing for so long, or until `stop`, even though the port is lost."""
        self._wait(self._stop, seconds)

    def await_news(self, limit_s: float | None) -> None:
        """Wait for something to look at, for so long at most, and never for longer than a beat."""
        wait_s = HEARTBEAT_S if limit_s is None else min(limit_s, HEARTBEAT_S)
        self._wake.wait(self._clock.wait_s(wait_s))
        self._wake.clear()

    def _wait(self, event: threading.Event, seconds: float) -> None:
        """Wait for an event, but for so long at most."""
        until = self._clock.monotonic() + seconds
        while (left_s := until - self._clock.monotonic()) > 0:
            self.heartbeat.beat()
            if event.wait(self._clock.wait_s(min(left_s, HEARTBEAT_S))):
                return
