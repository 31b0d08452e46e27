import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kei.simulator.household import appliances
from kei.simulator.household.profile import SECONDS_PER_DAY, DayProfile, Energy, Noise

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

NOISE = Noise.of(random.Random(0))
IN_DAY = st.integers(0, SECONDS_PER_DAY - 1)


@st.composite
def profiles(draw: st.DrawFn) -> DayProfile:
    """Return a day of any steps, many of them about 0 W, where power changes sides."""
    levels = st.integers(-200, 200)
    edges = {0: draw(levels), **draw(st.dictionaries(IN_DAY, levels, max_size=30))}
    return DayProfile(edges, NOISE, draw(st.integers(0, NOISE.cycle_s - 1)))


def integral(profile: DayProfile, start: int, end: int) -> Energy:
    watts = array("l", (profile.watt(second) for second in range(start, end)))
    bought = sum(watt for watt in watts if watt > 0)
    return Energy(bought, bought - sum(watts))


@settings(max_examples=150, deadline=None)
@given(profiles(), IN_DAY, st.integers(0, 1500))
def test_energy_is_the_integral_of_power_at_any_second(
    profile: DayProfile, start: int, length: int
) -> None:
    end = min(start + length, SECONDS_PER_DAY)
    assert profile.energy(end) - profile.energy(start) == integral(profile, start, end)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000_000), position=st.integers(0, 363), solar=st.booleans())
def test_a_whole_day_of_a_home_adds_up(*, seed: int, position: int, solar: bool) -> None:
    chance = random.Random(seed)
    edges = appliances.day(appliances.Home.of(chance, solar=solar), position, chance)
    profile = DayProfile(edges, NOISE, seed % NOISE.cycle_s)
    assert profile.total == integral(profile, 0, SECONDS_PER_DAY)
    assert profile.total == profile.energy(SECONDS_PER_DAY)


def test_a_day_begins_with_no_energy() -> None:
    assert DayProfile({0: 500}, NOISE, 77).energy(0) == Energy(0, 0)


def test_without_a_murmur_power_is_what_the_steps_say() -> None:
    profile = DayProfile({0: 500, 61: 1200, 200: -1700, 300: -200})
    assert [profile.watt(second) for second in (0, 60, 61, 199, 200, 300, 86_399)] == [
        *(500, 500, 1700, 1700, 0, -200, -200)
    ]


@pytest.mark.parametrize("offset", [0, NOISE.cycle_s - 1])
def test_the_murmur_lasts_for_a_day_wherever_that_begins(offset: int) -> None:
    profile = DayProfile({0: 500}, NOISE, offset)
    assert abs(profile.watt(SECONDS_PER_DAY - 1) - 500) <= NOISE.peak_w


def test_the_murmur_is_small_and_about_nothing() -> None:
    cycle = NOISE.watts[: NOISE.cycle_s]
    assert NOISE.peak_w <= 80
    assert abs(sum(cycle) / len(cycle)) < 5
