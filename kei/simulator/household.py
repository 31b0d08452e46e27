"""The home behind the meter: power at any second, and the energy that follows from it.

Everything is a pure function of the seed and of local time, in whole numbers: power is constant
within a minute (W), energy is its exact integral (Ws). So that energy since the installation can
be told without adding up years of minutes, the 364 days of 52 weeks repeat; the seasons then drift
from the calendar by little more than a day a year.

Local time is in seconds since 1970-01-01 00:00 on the meter's own clock.
"""

import random
from array import array
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from operator import add, sub
from typing import Protocol

from kei.simulator import appliances

SECONDS_PER_DAY = 86_400
MINUTES_PER_DAY = 1_440
PERIOD_DAYS = 364  # 52 weeks: week days keep their place
_PERIOD_START_DAY = 19_723  # 2024-01-01, a Monday
INSTALLED_S = 18_353 * SECONDS_PER_DAY  # 2020-04-01: the registers were at zero

_CACHED_DAYS = 128  # 99 days of history and some
_CACHED_HOMES = 4  # adding up a period takes a tenth of a second


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy since some origin, in Ws.

    Attributes:
        normal: bought.
        reverse: sold.
    """

    normal: int
    reverse: int

    def __add__(self, other: "Energy") -> "Energy":
        return Energy(self.normal + other.normal, self.reverse + other.reverse)

    def __sub__(self, other: "Energy") -> "Energy":
        return Energy(self.normal - other.normal, self.reverse - other.reverse)

    def times(self, count: int) -> "Energy":
        """Return so many times this energy."""
        return Energy(self.normal * count, self.reverse * count)


class Load(Protocol):
    """What a meter measures; all times are local seconds since 1970-01-01 00:00."""

    def watt(self, second: int) -> int:
        """Return the power, W; negative when more is sold than used."""

    def energy(self, second: int) -> Energy:
        """Return the energy since the installation; negative before it."""

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A."""


class DayProfile:
    """One day.

    Args:
        watts: the power of each of its 1,440 minutes, W.

    Attributes:
        watts: the same.
    """

    def __init__(self, watts: list[int]) -> None:
        bought = [max(0, watt) for watt in watts]
        self.watts = array("l", watts)
        # Up to the start of each minute and to the end of the day, in W x min.
        self._normal = array("q", accumulate(bought, initial=0))
        self._reverse = array("q", accumulate(map(sub, bought, watts), initial=0))

    def energy(self, second: int) -> Energy:
        """Return the energy from midnight to a second of the day."""
        minute, rest = divmod(second, 60)
        watt = self.watts[minute] if rest else 0
        return Energy(
            self._normal[minute] * 60 + max(watt, 0) * rest,
            self._reverse[minute] * 60 + max(-watt, 0) * rest,
        )

    @property
    def total(self) -> Energy:
        """The energy of the whole day."""
        return Energy(self._normal[-1] * 60, self._reverse[-1] * 60)


class Household:
    """A home.

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
        return self._day(_in_period(day)).watts[in_day // 60]

    def energy(self, second: int) -> Energy:
        """Return the energy from the installation to a local second; negative before it."""
        return self._since_period_start(second) - self._since_period_start(INSTALLED_S)

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A, at 100 V each.

        Their sum is the power divided by 100 V, rounded.
        """
        total = round(self.watt(second) / 10)
        on_r = round(total * self._home.share_of_r)
        return on_r, total - on_r

    def _since_period_start(self, second: int) -> Energy:
        day, in_day = divmod(second, SECONDS_PER_DAY)
        periods, position = divmod(day - _PERIOD_START_DAY, PERIOD_DAYS)
        starts = _starts(self._home, self._seed)
        whole = starts[PERIOD_DAYS].times(periods) + starts[position]
        return whole + self._day(position).energy(in_day)


def _make_day(home: appliances.Home, seed: int, position: int) -> DayProfile:
    chance = random.Random(f"{seed}/{position}")
    return DayProfile(appliances.day(home, position, chance))


@lru_cache(_CACHED_HOMES)
def _starts(home: appliances.Home, seed: int) -> tuple[Energy, ...]:
    """Return the energy at the start of each day of the period, and at its end."""
    totals = (_make_day(home, seed, position).total for position in range(PERIOD_DAYS))
    return tuple(accumulate(totals, add, initial=Energy(0, 0)))


def _in_period(day: int) -> int:
    return (day - _PERIOD_START_DAY) % PERIOD_DAYS
