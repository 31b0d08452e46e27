"""Power and energy of one day, at any second.

Power is a few hundred steps, and noise that changes every second. The sums of both up to each step
are stored, so that the energy between any two seconds is exact, in whole Ws, without adding up.
"""

import random
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import add, mul, sub

SECONDS_PER_DAY = 86_400
_NOISE_S = 10_007  # length of its cycle; a prime, so that it drifts against the minutes
_FAST_W, _SLOW_W, _MOST_SLOW_W = 5, 20.0, 75
_SLOW_S = (15, 75)  # how long the slow part stays as it is
_SLOW_MEMORY = 0.8


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


class Noise:
    """Noise on the power of a home: a cycle of the power at each second, W, that repeats.

    Attributes:
        cycle_s: its length.
        watts: the power at each second of a day and one cycle more.
        sums: the energy up to each of them, Ws.
        peak_w: the largest absolute power.
    """

    def __init__(self, cycle: list[int]) -> None:
        self.cycle_s = len(cycle)
        whole, rest = divmod(SECONDS_PER_DAY, self.cycle_s)
        watts = cycle * (whole + 1) + cycle[:rest]
        self.watts = array("h", watts)
        self.sums = array("i", accumulate(watts, initial=0))
        self.peak_w = max(map(abs, cycle))

    @classmethod
    def of(cls, rng: random.Random) -> "Noise":
        """Return random noise."""
        cycle: list[int] = []
        slow = 0.0
        while len(cycle) < _NOISE_S:
            slow = _SLOW_MEMORY * slow + rng.gauss(0.0, _SLOW_W)
            middle = min(max(round(slow), -_MOST_SLOW_W), _MOST_SLOW_W)
            seconds = range(rng.randint(*_SLOW_S))
            cycle += [middle + rng.randint(-_FAST_W, _FAST_W) for _ in seconds]
        return cls(cycle[:_NOISE_S])


NO_NOISE = Noise([0])


class DayProfile:
    """One day.

    Args:
        edges: changes of the power by second of the day, W; that of 0 is the power at midnight.
        noise: added to that.
        offset: where in the noise the day begins, s, less than its `cycle_s`.
    """

    def __init__(self, edges: Mapping[int, int], noise: Noise = NO_NOISE, offset: int = 0) -> None:
        self._noise = noise
        self._offset = offset
        starts = sorted(edges)
        levels = list(accumulate(map(edges.__getitem__, starts)))
        self._starts = array("i", starts)
        self._levels = array("i", levels)
        ends = [*starts[1:], SECONDS_PER_DAY]
        sums = [noise.sums[second + offset] for second in (*starts, SECONDS_PER_DAY)]
        noise_sums = map(sub, sums[1:], sums)
        nets = list(map(add, map(mul, levels, map(sub, ends, starts)), noise_sums))
        bought = [
            net if level >= noise.peak_w else self._bought(level, net, start, end)
            for level, net, start, end in zip(levels, nets, starts, ends, strict=True)
        ]
        # Up to the start of each step, and to the end of the day.
        self._normal = array("q", accumulate(bought, initial=0))
        self._reverse = array("q", accumulate(map(sub, bought, nets), initial=0))

    def watt(self, second: int) -> int:
        """Return the power at a second of the day, W; negative when more is sold than used."""
        level = self._levels[bisect_right(self._starts, second) - 1]
        return level + self._noise.watts[second + self._offset]

    def energy(self, second: int) -> Energy:
        """Return the energy from midnight to a second of the day, 86,400 included."""
        step = bisect_right(self._starts, second) - 1
        level, start, sums = self._levels[step], self._starts[step], self._noise.sums
        noise_sums = sums[second + self._offset] - sums[start + self._offset]
        net = level * (second - start) + noise_sums
        bought = self._bought(level, net, start, second)
        return Energy(self._normal[step] + bought, self._reverse[step] + bought - net)

    @property
    def total(self) -> Energy:
        """The energy of the whole day."""
        return Energy(self._normal[-1], self._reverse[-1])

    def _bought(self, level: int, net: int, start: int, end: int) -> int:
        """Return what is bought from `start` to `end` within a step, Ws; near 0 W signs alternate.

        Args:
            level: the power of the step, W.
            net: what is bought less what is sold, Ws.
            start: the first second.
            end: the one after the last.
        """
        noise = self._noise
        if level >= noise.peak_w:
            return net
        if level <= -noise.peak_w:
            return 0
        watts = noise.watts[start + self._offset : end + self._offset]
        return sum([level + watt for watt in watts if level + watt > 0])
