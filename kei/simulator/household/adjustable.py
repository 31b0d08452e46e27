"""Power by hand: what the household draws while somebody says so, and the energy to match."""

from bisect import bisect_right
from dataclasses import dataclass

from kei.simulator.household.household import Load
from kei.simulator.household.profile import Energy

MAX_WATT = 100_000  # far more than a home's main fuse lets through
_MAX_SWITCHES = 10_000  # before that the oldest are forgotten, and history before them is off


@dataclass(frozen=True, slots=True)
class _Switch:
    """A second from which on things are different.

    Attributes:
        second: which one, local.
        watt: the power from then on, W; None is the household's own.
        correction: what to add to the household's energy up to then.
    """

    second: int
    watt: int | None
    correction: Energy


class AdjustableLoad:
    """A household whose power can be set; energy follows without a jump, history included.

    Args:
        household: what it is while nothing is set.
    """

    def __init__(self, household: Load) -> None:
        self._household = household
        self._switches: list[_Switch] = []

    def set_power(self, watt: int | None, second: int) -> None:
        """Draw this much from a local second on; a second that has passed already rewrites history.

        Args:
            watt: W, negative to sell, at most `MAX_WATT` either way; None is the household's own
                power again.
            second: local, since 1970-01-01 00:00.
        """
        del self._switches[bisect_right(self._switches, second - 1, key=_second) :]
        self._switches.append(_Switch(second, watt, self._correction(second)))
        del self._switches[:-_MAX_SWITCHES]

    def watt(self, second: int) -> int:
        """Return the power, W; negative when more is sold than used."""
        switch = self._at(second)
        if switch is None or switch.watt is None:
            return self._household.watt(second)
        return switch.watt

    def energy(self, second: int) -> Energy:
        """Return the energy since the installation; negative before it."""
        return self._household.energy(second) + self._correction(second)

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A, shared as the household's is."""
        on_r, on_t = self._household.current_tenths(second)
        switch = self._at(second)
        if switch is None or switch.watt is None:
            return on_r, on_t
        total = round(switch.watt / 10)
        share_of_r = on_r / (on_r + on_t) if on_r + on_t else 0.5
        own_r = round(total * min(max(share_of_r, 0.0), 1.0))  # with panels, signs may differ
        return own_r, total - own_r

    def _at(self, second: int) -> _Switch | None:
        index = bisect_right(self._switches, second, key=_second)
        return self._switches[index - 1] if index else None

    def _correction(self, second: int) -> Energy:
        switch = self._at(second)
        if switch is None:
            return self._switches[0].correction if self._switches else Energy(0, 0)
        if switch.watt is None:
            return switch.correction
        since = second - switch.second
        drawn = Energy(max(switch.watt, 0) * since, max(-switch.watt, 0) * since)
        instead_of = self._household.energy(second) - self._household.energy(switch.second)
        return switch.correction + drawn - instead_of


def _second(switch: _Switch) -> int:
    return switch.second
