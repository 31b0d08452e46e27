"""Power set by hand, and the energy that follows from it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.simulator.household.adjustable import AdjustableLoad
from kei.simulator.household.household import MAX_WATT, Household
from kei.simulator.household.profile import Energy

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

NOON_S = 19_737 * 86_400 + 43_200  # 2024-01-15 12:00
WATTS = st.none() | st.integers(-MAX_WATT, MAX_WATT)
SWITCHES = st.lists(st.tuples(st.integers(0, 90), WATTS), max_size=8)
HOME = Household(0, solar=True)


def adjusted(*switches: tuple[int, int | None]) -> AdjustableLoad:
    load, second = AdjustableLoad(HOME), NOON_S
    for wait, watt in switches:
        second += wait
        load.set_power(watt, second)
    return load


def test_power_is_what_was_set_until_the_household_has_its_own_way_again() -> None:
    load = adjusted((0, 3500), (60, None))
    assert [load.watt(NOON_S - 1), load.watt(NOON_S + 60)] == [
        HOME.watt(NOON_S - 1),
        HOME.watt(NOON_S + 60),
    ]
    assert load.watt(NOON_S) == load.watt(NOON_S + 59) == 3500


def test_an_hour_of_power_that_was_set_is_an_hour_of_its_energy() -> None:
    load = adjusted((0, 3500), (3600, -200))
    hour = load.energy(NOON_S + 3600) - load.energy(NOON_S)
    next_hour = load.energy(NOON_S + 7200) - load.energy(NOON_S + 3600)
    assert (hour, next_hour) == (Energy(3500 * 3600, 0), Energy(0, 200 * 3600))


@given(SWITCHES)
def test_energy_is_the_sum_of_power_whatever_was_set_when(
    switches: list[tuple[int, int | None]],
) -> None:
    load = adjusted(*switches)
    seconds = range(NOON_S - 10, NOON_S + sum(wait for wait, _ in switches) + 30)
    shown = [load.energy(second) for second in seconds]
    for second, (before, after) in zip(seconds, pairwise(shown), strict=False):
        watt = load.watt(second)
        assert after - before == Energy(max(watt, 0), max(-watt, 0))


@given(SWITCHES)
def test_setting_power_changes_nothing_of_what_was_before(
    switches: list[tuple[int, int | None]],
) -> None:
    load = adjusted(*switches)
    now = NOON_S + sum(wait for wait, _ in switches) + 10
    before = [load.energy(second) for second in range(NOON_S - 5, now + 1)]
    load.set_power(1234, now)
    assert [load.energy(second) for second in range(NOON_S - 5, now + 1)] == before


def test_switches_without_end_are_kept_in_bounds_and_energy_goes_on_without_a_jump() -> None:
    load = AdjustableLoad(HOME)
    for number in range(10_100):
        load.set_power(number % 50, NOON_S + number)
    last = NOON_S + 10_099
    assert load.energy(last) - load.energy(last - 50) == Energy(sum(range(50)), 0)


@given(st.integers(-MAX_WATT, MAX_WATT), st.integers(0, 86_400))
def test_the_currents_of_both_phases_are_those_of_the_power(watt: int, second: int) -> None:
    load = adjusted((0, watt))
    on_r, on_t = load.current_tenths(NOON_S + second)
    assert on_r + on_t == round(watt / 10)
    assert on_r * on_t >= 0


def test_a_clock_that_is_set_back_takes_the_new_power_at_once() -> None:
    load = adjusted((0, 3500), (600, 1000))
    load.set_power(200, NOON_S + 300)
    assert [load.watt(NOON_S + 299), load.watt(NOON_S + 300), load.watt(NOON_S + 601)] == [
        3500,
        200,
        200,
    ]
