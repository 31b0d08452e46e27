"""The session's state machine as one table: state and outcome to what happens next.

Everything else derives from it: `session.py` has one action for each state, and each action
ends with one of its outcomes. What is not in the table cannot happen; a test sees to it.
"""

from dataclasses import dataclass
from enum import StrEnum, auto


class State(StrEnum):
    """How far the way to the meter has been gone."""

    INIT = auto()  # the port is closed: open it
    OPEN = auto()  # the port is open: find out what is on it, reset it
    SETUP = auto()  # a dongle answers: hand it registers and credentials
    SCAN = auto()  # it is ready: look for the meter's network
    JOIN = auto()  # a network is known: authenticate and get a first answer
    JOINED = auto()  # the meter answers: watch over it


class Outcome(StrEnum):
    """How the action of a state ended."""

    DONE = auto()
    KNOWN = auto()  # set up, and a network is remembered from an earlier time
    FAILED = auto()  # not now; again after a pause
    BROKEN = auto()  # the dongle does not do what it should: start over from the port
    GIVEN_UP = auto()  # failed so often that what this step builds on is in doubt
    CLOSED = auto()  # the PANA session ended
    SILENT = auto()  # joined, but the meter has stopped answering
    PORT_LOST = auto()


class Pause(StrEnum):
    """How long to wait before the next state's action."""

    NONE = auto()
    SHORT = auto()  # a port that is missing is looked for every few seconds
    GROWING = auto()  # back-off with jitter, reset by a session that lasts


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows an outcome."""

    next: State
    pause: Pause = Pause.NONE


_REOPEN = Transition(State.INIT, Pause.GROWING)
_PORT_GONE = Transition(State.INIT, Pause.SHORT)

TRANSITIONS: dict[tuple[State, Outcome], Transition] = {
    (State.INIT, Outcome.DONE): Transition(State.OPEN),
    (State.INIT, Outcome.BROKEN): _REOPEN,
    (State.INIT, Outcome.PORT_LOST): _PORT_GONE,
    (State.OPEN, Outcome.DONE): Transition(State.SETUP),
    (State.OPEN, Outcome.BROKEN): _REOPEN,
    (State.OPEN, Outcome.PORT_LOST): _PORT_GONE,
    (State.SETUP, Outcome.DONE): Transition(State.SCAN),
    (State.SETUP, Outcome.KNOWN): Transition(State.JOIN),
    (State.SETUP, Outcome.BROKEN): _REOPEN,
    (State.SETUP, Outcome.PORT_LOST): _PORT_GONE,
    (State.SCAN, Outcome.DONE): Transition(State.JOIN),
    (State.SCAN, Outcome.FAILED): _REOPEN,
    (State.SCAN, Outcome.BROKEN): _REOPEN,
    (State.SCAN, Outcome.PORT_LOST): _PORT_GONE,
    (State.JOIN, Outcome.DONE): Transition(State.JOINED),
    (State.JOIN, Outcome.FAILED): Transition(State.JOIN, Pause.GROWING),
    (State.JOIN, Outcome.GIVEN_UP): Transition(State.OPEN, Pause.GROWING),
    (State.JOIN, Outcome.BROKEN): _REOPEN,
    (State.JOIN, Outcome.PORT_LOST): _PORT_GONE,
    (State.JOINED, Outcome.CLOSED): Transition(State.JOIN, Pause.GROWING),
    (State.JOINED, Outcome.SILENT): Transition(State.JOIN, Pause.GROWING),
    (State.JOINED, Outcome.BROKEN): _REOPEN,
    (State.JOINED, Outcome.PORT_LOST): _PORT_GONE,
}
