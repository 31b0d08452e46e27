"""Households changed from outside: with a power set by hand, or a meter installed later."""

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter

from kei.simulator.household.household import Load
from kei.simulator.household.profile import Energy

_MAX_SWITCHES = 10_000  # then the oldest are dropped, and history before them is off


@dataclass(frozen=True, slots=True)
class _Switch:
    """A change of the power.

    Attributes:
        second: from when on, local.
        watt: the power, W; None is the household's own.
        correction: to be added to the household's energy up to then.
    """

    second: int
    watt: int | None
    correction: Energy


class AdjustableLoad(Load):
    """A household whose power can be set; energy follows without a jump, history included."""

    def __init__(self, household: Load) -> None:
        self._household = household
        self.share_of_r = household.share_of_r
        self._switches: list[_Switch] = []

    def set_power(self, watt: int | None, second: int) -> None:
        """Set the power from a local second on; a second that has passed rewrites history.

        Args:
            watt: W, negative to sell; None is the household's own power again.
            second: local, since 1970-01-01 00:00.
        """
        del self._switches[bisect_right(self._switches, second - 1, key=attrgetter("second")) :]
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
        own_r = round(total * (on_r / (on_r + on_t) if on_r + on_t else 0.5))
        return own_r, total - own_r

    def _at(self, second: int) -> _Switch | None:
        index = bisect_right(self._switches, second, key=attrgetter("second"))
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


class InstalledLoad(Load):
    """A household whose energy is counted from `since_s` on, when its meter was installed."""

    def __init__(self, household: Load, since_s: int) -> None:
        self._household = household
        self.share_of_r = household.share_of_r
        self._since_s = since_s
        self._before: Energy | None = None

    def watt(self, second: int) -> int:
        """Return the power, W; negative when more is sold than used."""
        return self._household.watt(second)

    def energy(self, second: int) -> Energy:
        """Return the energy since the installation; negative before it."""
        if second < self._since_s:
            return Energy(-1, -1)
        if self._before is None:
            self._before = self._household.energy(self._since_s)
        return self._household.energy(second) - self._before
