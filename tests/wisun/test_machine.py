"""The transition table leaves nothing out."""

from kei.wisun.interfaces import State
from kei.wisun.machine import TRANSITIONS, Outcome


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
