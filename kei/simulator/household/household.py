"""The home behind the meter: power at any second, and the energy that follows from it.

Both are pure functions of the seed and of local time, in whole numbers: power is constant within a
second (W), energy is its exact integral (Ws). A period of 364 days (52 weeks) repeats, so that
energy since the installation needs no sum over years of seconds; the seasons drift from the
calendar by little more than a day a year.

Local time is in seconds since 1970-01-01 00:00 on the meter's own clock.
"""

import random
from abc import ABC, abstractmethod
from array import array
from functools import cache, cached_property, lru_cache, partial
from itertools import accumulate

from kei.simulator.household import appliances
from kei.simulator.household.profile import SECONDS_PER_DAY, DayProfile, Energy, Noise

PERIOD_DAYS = appliances.DAYS_PER_YEAR
_PERIOD_START_DAY = 19_723  # 2024-01-01, a Monday
INSTALLED_S = 18_353 * SECONDS_PER_DAY  # 2020-04-01: the registers were at zero

MAX_WATT = 100_000  # far more than a home's main fuse lets through
_CACHED_DAYS = 128  # 99 days of history and some; a day takes some 15 kB
_SHARED_PERIODS = 64  # households of the same home share one


class Load(ABC):
    """What a meter measures; all times are local seconds since 1970-01-01 00:00.

    Attributes:
        share_of_r: share of the R phase in the current, 0..1.
    """

    share_of_r: float

    @abstractmethod
    def watt(self, second: int) -> int:
        """Return the power, W; negative when more is sold than used."""

    @abstractmethod
    def energy(self, second: int) -> Energy:
        """Return the energy since the installation; negative before it."""

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A, at 100 V each.

        Their sum is the power divided by 100 V, rounded.
        """
        total = round(self.watt(second) / 10)
        on_r = round(total * self.share_of_r)
        return on_r, total - on_r


class Household(Load):
    """The home of a seed; with solar panels its power may be negative.

    The first call of `energy` takes about a tenth of a second, as all the days of a period are
    then made; later ones take microseconds, or the time to make a day.
    """

    def __init__(self, seed: int, *, solar: bool = False) -> None:
        self._seed = seed
        self._home = appliances.Home.of(random.Random(f"{seed}/home"), solar=solar)
        self.share_of_r = self._home.share_of_r
        self._day = lru_cache(_CACHED_DAYS)(partial(_make_day, self._home, seed))

    def watt(self, second: int) -> int:
        """Return the power at a local second, W; negative when more is sold than used."""
        day, in_day = divmod(second, SECONDS_PER_DAY)
        return self._day((day - _PERIOD_START_DAY) % PERIOD_DAYS).watt(in_day)

    def energy(self, second: int) -> Energy:
        """Return the energy from the installation to a local second; negative before it."""
        return self._since_period_start(second) - self._before_installation

    @cached_property
    def _before_installation(self) -> Energy:
        return self._since_period_start(INSTALLED_S)

    @cached_property
    def _period(self) -> tuple["array[int]", "array[int]"]:
        return _period_sums(self._home, self._seed)

    def _since_period_start(self, second: int) -> Energy:
        day, in_day = divmod(second, SECONDS_PER_DAY)
        periods, position = divmod(day - _PERIOD_START_DAY, PERIOD_DAYS)
        before = Energy(*(sums[-1] * periods + sums[position] for sums in self._period))
        return before + self._day(position).energy(in_day)


@lru_cache(_SHARED_PERIODS)
def _period_sums(home: appliances.Home, seed: int) -> tuple["array[int]", "array[int]"]:
    """Return the energy bought and sold in a period up to the start of each day, and to its end."""
    days = [_make_day(home, seed, position).total for position in range(PERIOD_DAYS)]
    normal = array("q", accumulate((day.normal for day in days), initial=0))
    reverse = array("q", accumulate((day.reverse for day in days), initial=0))
    return normal, reverse


@cache
def _noise() -> Noise:
    """Return the noise that all homes share, each day from another offset."""
    return Noise.of(random.Random("murmur"))


def _make_day(home: appliances.Home, seed: int, position: int) -> DayProfile:
    rng = random.Random(f"{seed}/{position}")
    noise = _noise()
    offset = rng.randrange(noise.cycle_s)
    return DayProfile(appliances.day(home, position, rng), noise, offset)
