"""The transition table leaves nothing out."""

import random
from functools import partial

import pytest
from fakes import FakeClock

from kei.core.errors import Stopping
from kei.wisun.interfaces import State
from kei.wisun.link import Link
from kei.wisun.machine import BACKOFF_FIRST_S, REFUSED_PAUSE_S, Machine
from kei.wisun.transitions import TRANSITIONS, Outcome, Pause


def test_every_state_can_be_left_and_reached() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {transition.next for transition in TRANSITIONS.values()} == set(State)


def test_every_outcome_is_used() -> None:
    assert {outcome for _, outcome in TRANSITIONS} == set(Outcome)


def test_a_lost_port_leads_back_to_the_start_from_everywhere() -> None:
    for state in State:
        assert TRANSITIONS[state, Outcome.PORT_LOST].next is State.INIT


def test_our_own_mistakes_are_survived_in_every_state() -> None:
    for state in State:
        assert TRANSITIONS[state, Outcome.BROKEN].next is State.INIT


class Patient(FakeClock):
    """A clock on which every wait is over at once, and has lasted."""

    def wait_s(self, seconds: float) -> float:
        self.advance(seconds)
        return 0.0


@pytest.mark.parametrize(("state", "outcome"), TRANSITIONS, ids=str)
def test_each_row_leads_where_it_says_after_its_pause(state: State, outcome: Outcome) -> None:
    clock = Patient()
    machine = Machine(Link(clock, lambda _message: None), clock, random.Random(1))
    machine.state = state
    began, taken = clock.monotonic(), list[tuple[State, float]]()

    def action(of: State) -> Outcome:
        taken.append((of, clock.monotonic() - began))
        if len(taken) == 1:
            return outcome
        raise Stopping("the second step has begun")

    machine.run({each: partial(action, each) for each in State})
    (_, began_s), (after, paused_s) = taken
    row = TRANSITIONS[state, outcome]
    assert (began_s, after) == (0.0, row.next)
    assert (paused_s > 0) == (row.pause is not Pause.NONE)
    least_s = REFUSED_PAUSE_S if row.pause is Pause.LONG else 0
    assert least_s <= paused_s <= least_s + BACKOFF_FIRST_S


@pytest.mark.parametrize("outcome", Outcome)
def test_a_session_that_is_taken_over_is_joined_or_set_up_anew(outcome: Outcome) -> None:
    row = TRANSITIONS.get((State.ADOPT, outcome))
    wanted = {
        Outcome.DONE: State.JOINED,
        Outcome.FAILED: State.SETUP,
        Outcome.BROKEN: State.INIT,
        Outcome.PORT_LOST: State.INIT,
    }
    assert (row and row.next) == wanted.get(outcome)
