"""What the session does next: the table of its state machine.

What is not in the table cannot happen; a test checks that it is complete.
"""

from dataclasses import dataclass
from enum import StrEnum, auto

from kei.wisun.interfaces import State


class Outcome(StrEnum):
    """How the action of a state ended."""

    DONE = auto()
    KNOWN = auto()  # as DONE, and what an earlier time has left makes the way shorter
    FAILED = auto()  # not now; again after a pause
    BROKEN = auto()  # the dongle does not do what it should: start over from the port
    GIVEN_UP = auto()  # failed so often that what this step builds on is in doubt
    REFUSED = auto()  # as GIVEN_UP, and the meter has said no: nobody but a person can mend that
    CLOSED = auto()  # the PANA session ended
    SILENT = auto()  # joined, but the meter has stopped answering
    PORT_LOST = auto()


class Pause(StrEnum):
    """How long to wait before the next state's action."""

    NONE = auto()
    SHORT = auto()  # a port that is missing is looked for every few seconds
    GROWING = auto()  # back-off with jitter, reset by a session that lasts
    LONG = auto()  # the same after `REFUSED_PAUSE_S`


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows an outcome."""

    next: State
    pause: Pause = Pause.NONE


TRANSITIONS: dict[tuple[State, Outcome], Transition] = {
    (State.INIT, Outcome.DONE): Transition(State.OPEN),
    (State.OPEN, Outcome.DONE): Transition(State.SETUP),
    (State.OPEN, Outcome.KNOWN): Transition(State.ADOPT),
    (State.ADOPT, Outcome.DONE): Transition(State.JOINED),
    (State.ADOPT, Outcome.FAILED): Transition(State.SETUP),
    (State.SETUP, Outcome.DONE): Transition(State.SCAN),
    (State.SETUP, Outcome.KNOWN): Transition(State.JOIN),
    (State.SCAN, Outcome.DONE): Transition(State.JOIN),
    (State.SCAN, Outcome.FAILED): Transition(State.INIT, Pause.GROWING),
    (State.JOIN, Outcome.DONE): Transition(State.JOINED),
    (State.JOIN, Outcome.FAILED): Transition(State.JOIN, Pause.GROWING),
    (State.JOIN, Outcome.GIVEN_UP): Transition(State.OPEN, Pause.GROWING),
    (State.JOIN, Outcome.REFUSED): Transition(State.OPEN, Pause.LONG),
    (State.JOINED, Outcome.CLOSED): Transition(State.JOIN, Pause.GROWING),
    (State.JOINED, Outcome.SILENT): Transition(State.JOIN, Pause.GROWING),
    **{(state, Outcome.BROKEN): Transition(State.INIT, Pause.GROWING) for state in State},
    **{(state, Outcome.PORT_LOST): Transition(State.INIT, Pause.SHORT) for state in State},
}
