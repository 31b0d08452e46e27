"""The home behind the meter: power at any second, and the energy that follows from it.

Everything is a pure function of the seed and of local time, in whole numbers: power is constant
within a second (W), energy is its exact integral (Ws). So that energy since the installation can
be told without adding up years of seconds, the 364 days of 52 weeks repeat; the seasons then drift
from the calendar by little more than a day a year.

Local time is in seconds since 1970-01-01 00:00 on the meter's own clock.
"""

import random
from array import array
from functools import cache, cached_property, lru_cache, partial
from itertools import accumulate
from typing import Protocol

from kei.simulator.household import appliances
from kei.simulator.household.profile import SECONDS_PER_DAY, DayProfile, Energy, Noise

PERIOD_DAYS = appliances.DAYS_PER_YEAR
_PERIOD_START_DAY = 19_723  # 2024-01-01, a Monday
INSTALLED_S = 18_353 * SECONDS_PER_DAY  # 2020-04-01: the registers were at zero

_CACHED_DAYS = 128  # 99 days of history and some; a day takes some 15 kB
_SHARED_PERIODS = 64  # of homes that are the same; one that is in use keeps its own anyway


class Load(Protocol):
    """What a meter measures; all times are local seconds since 1970-01-01 00:00."""

    def watt(self, second: int) -> int:
        """Return the power, W; negative when more is sold than used."""

    def energy(self, second: int) -> Energy:
        """Return the energy since the installation; negative before it."""

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A."""


class _Period:
    """The energy of a whole period of a home, up to the start of each day and to the end."""

    def __init__(self, home: appliances.Home, seed: int) -> None:
        totals = [_make_day(home, seed, position).total for position in range(PERIOD_DAYS)]
        self._normal = array("q", accumulate((total.normal for total in totals), initial=0))
        self._reverse = array("q", accumulate((total.reverse for total in totals), initial=0))

    def before(self, position: int) -> Energy:
        """Return the energy before a day of the period."""
        return Energy(self._normal[position], self._reverse[position])


class Household:
    """A home.

    The first question for energy takes about a tenth of a second, for all the days of a period
    are then made; from then on an answer takes microseconds, or a day's making.

    Args:
        seed: which one.
        solar: whether it has panels on its roof, so that power may become negative.
    """

    def __init__(self, seed: int, *, solar: bool = False) -> None:
        self._seed = seed
        self._home = appliances.Home.of(random.Random(f"{seed}/home"), solar=solar)
        self._day = lru_cache(_CACHED_DAYS)(partial(_make_day, self._home, seed))

    def watt(self, second: int) -> int:
        """Return the power at a local second, W; negative when more is sold than used."""
        day, in_day = divmod(second, SECONDS_PER_DAY)
        return self._day((day - _PERIOD_START_DAY) % PERIOD_DAYS).watt(in_day)

    def energy(self, second: int) -> Energy:
        """Return the energy from the installation to a local second; negative before it."""
        return self._since_period_start(second) - self._before_installation

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A, at 100 V each.

        Their sum is the power divided by 100 V, rounded.
        """
        total = round(self.watt(second) / 10)
        on_r = round(total * self._home.share_of_r)
        return on_r, total - on_r

    @cached_property
    def _period(self) -> _Period:
        return _shared_period(self._home, self._seed)

    @cached_property
    def _before_installation(self) -> Energy:
        return self._since_period_start(INSTALLED_S)

    def _since_period_start(self, second: int) -> Energy:
        day, in_day = divmod(second, SECONDS_PER_DAY)
        periods, position = divmod(day - _PERIOD_START_DAY, PERIOD_DAYS)
        whole = self._period.before(PERIOD_DAYS).times(periods) + self._period.before(position)
        return whole + self._day(position).energy(in_day)


@lru_cache(_SHARED_PERIODS)
def _shared_period(home: appliances.Home, seed: int) -> _Period:
    return _Period(home, seed)


@cache
def _noise() -> Noise:
    """Return the noise of all homes, as none knows it again."""
    return Noise.of(random.Random("murmur"))


def _make_day(home: appliances.Home, seed: int, position: int) -> DayProfile:
    rng = random.Random(f"{seed}/{position}")
    noise = _noise()
    offset = rng.randrange(noise.cycle_s)
    return DayProfile(appliances.day(home, position, rng), noise, offset)
