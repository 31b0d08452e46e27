"""What kind of meter it is, as data: what meters in the field differ in."""

from dataclasses import dataclass, replace

from kei.simulator.household.household import Load
from kei.simulator.household.profile import Energy
from kei.simulator.meter.counters import CounterSetup

NEXT_GENERATION_COUNTERS = CounterSetup(unit=0x03, digits=8)  # examples of Release R


@dataclass(frozen=True, slots=True)
class MeterType:
    """What kind of meter it is.

    Attributes:
        next_gen: Release R, with one-minute values (C0, D0, EE, EF).
        two_wire: one phase of two wires: E8 has no current of the T phase.
        confirmed: it wants its half-hour values confirmed (INFC).
        unit: EPC E1, coefficient: D3, digits: D7; None is usual for its generation.
        lacks: properties that it does not have.
        installed_s: the local second at which it was put up; None is long ago.
    """

    next_gen: bool = False
    two_wire: bool = False
    confirmed: bool = False
    unit: int | None = None
    coefficient: int | None = None
    digits: int | None = None
    lacks: frozenset[int] = frozenset()
    installed_s: int | None = None

    @property
    def counting(self) -> CounterSetup:
        """How its registers count."""
        usual = NEXT_GENERATION_COUNTERS if self.next_gen else CounterSetup()
        given = {"unit": self.unit, "coefficient": self.coefficient, "digits": self.digits}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})


class InstalledLoad:
    """A household whose meter was put up at some time: registers begin there, at zero.

    Args:
        household: what it is.
        since_s: local second of the installation.
    """

    def __init__(self, household: Load, since_s: int) -> None:
        self._household = household
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

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A."""
        return self._household.current_tenths(second)
