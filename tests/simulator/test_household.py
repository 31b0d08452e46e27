from hypothesis import given, settings
from hypothesis import strategies as st

from kei.simulator.household import INSTALLED_S, PERIOD_DAYS, SECONDS_PER_DAY, Household

NEW_YEAR_2024_S = 19_723 * SECONDS_PER_DAY
YEARS_S = 6 * 365 * SECONDS_PER_DAY

HOMES = st.sampled_from(
    [Household(seed, solar=solar) for seed in (0, 1) for solar in (False, True)]
)
SECONDS = st.integers(INSTALLED_S, NEW_YEAR_2024_S + YEARS_S)
SOME = settings(max_examples=50, deadline=None)
FEW = settings(max_examples=8, deadline=None)  # a new home takes a tenth of a second


def integral(home: Household, start: int, end: int) -> tuple[int, int]:
    """Add the power up second by second: bought and sold, Ws."""
    watts = [home.watt(second) for second in range(start, end)]
    return sum(max(0, watt) for watt in watts), sum(max(0, -watt) for watt in watts)


@SOME
@given(HOMES, SECONDS, st.integers(0, 4000))
def test_energy_is_the_integral_of_power(home: Household, start: int, length: int) -> None:
    used = home.energy(start + length) - home.energy(start)
    assert (used.normal, used.reverse) == integral(home, start, start + length)


@SOME
@given(HOMES, st.integers(-3, 3))
def test_energy_is_the_integral_across_the_end_of_a_period(home: Household, periods: int) -> None:
    border = NEW_YEAR_2024_S + periods * PERIOD_DAYS * SECONDS_PER_DAY
    used = home.energy(border + 300) - home.energy(border - 300)
    assert (used.normal, used.reverse) == integral(home, border - 300, border + 300)


@SOME
@given(HOMES, SECONDS, SECONDS)
def test_energy_never_goes_back(home: Household, one: int, other: int) -> None:
    first, last = sorted((one, other))
    before, after = home.energy(first), home.energy(last)
    assert before.normal <= after.normal
    assert before.reverse <= after.reverse


@SOME
@given(seed=st.integers(0, 1_000_000), solar=st.booleans(), second=SECONDS)
def test_the_same_seed_is_the_same_home(*, seed: int, solar: bool, second: int) -> None:
    one, other = Household(seed, solar=solar), Household(seed, solar=solar)
    assert one.watt(second) == other.watt(second)
    assert one.current_tenths(second) == other.current_tenths(second)


@SOME
@given(HOMES, SECONDS)
def test_the_phases_together_are_the_power_at_100_v(home: Household, second: int) -> None:
    assert sum(home.current_tenths(second)) == round(home.watt(second) / 10)


def test_other_seeds_are_other_homes() -> None:
    one, other = Household(1), Household(2)
    seconds = range(NEW_YEAR_2024_S, NEW_YEAR_2024_S + SECONDS_PER_DAY, 60)
    assert [one.watt(second) for second in seconds] != [other.watt(second) for second in seconds]


def test_the_registers_were_at_zero_when_the_meter_was_installed() -> None:
    energy = Household(0, solar=True).energy(INSTALLED_S)
    assert (energy.normal, energy.reverse) == (0, 0)


def yearly_kwh(home: Household) -> tuple[float, float]:
    year = home.energy(NEW_YEAR_2024_S + PERIOD_DAYS * SECONDS_PER_DAY) - home.energy(
        NEW_YEAR_2024_S
    )
    return year.normal / 3_600_000, year.reverse / 3_600_000


@FEW
@given(st.integers(0, 1_000_000))
def test_a_home_uses_what_japanese_homes_use(seed: int) -> None:
    bought, sold = yearly_kwh(Household(seed))
    assert 2_500 < bought < 7_500
    assert sold == 0


@FEW
@given(st.integers(0, 1_000_000))
def test_a_home_never_draws_nothing_nor_more_than_its_breaker_allows(seed: int) -> None:
    home = Household(seed)
    watts = [home.watt(NEW_YEAR_2024_S + 60 * minute) for minute in range(0, 60 * 1440, 7)]
    assert min(watts) > 50
    assert max(watts) < 9_000


def test_panels_feed_power_back_at_noon_and_never_at_night() -> None:
    home = Household(3, solar=True)
    days = range(NEW_YEAR_2024_S, NEW_YEAR_2024_S + 100 * SECONDS_PER_DAY, SECONDS_PER_DAY)
    assert min(home.watt(day + 12 * 3600) for day in days) < -1000
    assert min(home.watt(day + 3600) for day in days) > 0


def test_evenings_use_more_than_nights() -> None:
    home = Household(4)

    def mean(hour: int) -> float:
        return sum(
            (home.energy(day + (hour + 1) * 3600) - home.energy(day + hour * 3600)).normal
            for day in range(NEW_YEAR_2024_S, NEW_YEAR_2024_S + 60 * SECONDS_PER_DAY, 86_400)
        ) / (60 * 3600)

    assert mean(19) > 1.5 * mean(2)


def test_summer_afternoons_are_cooled() -> None:
    home = Household(5)

    def afternoons(first_day: int) -> int:
        start = NEW_YEAR_2024_S + first_day * SECONDS_PER_DAY
        days = range(start, start + 30 * SECONDS_PER_DAY, SECONDS_PER_DAY)
        return sum(
            (home.energy(day + 16 * 3600) - home.energy(day + 13 * 3600)).normal for day in days
        )

    may, august = afternoons(121), afternoons(213)
    assert august > 1.3 * may
