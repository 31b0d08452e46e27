"""What meters in the field differ in, as data."""

from dataclasses import dataclass, replace

from kei.simulator.meter.registers import DAYS_KEPT, CounterSetup

NEXT_GENERATION_COUNTERS = CounterSetup(unit=0x03, digits=8)  # examples of Release R


@dataclass(frozen=True, slots=True)
class MeterType:
    """One type of meter.

    Attributes:
        serial_number: EPC 8D, 12 characters.
        next_gen: Release R, with one-minute values (C0, D0, EE, EF).
        two_wire: one phase of two wires: E8 has no current of the T phase.
        confirmed: it wants its half-hour values confirmed (INFC).
        unit: EPC E1, coefficient: D3, digits: D7; None is usual for its generation.
        lacks: properties that it does not have.
        installed_s: the local second at which it was put up; None is long ago.
        remembers: so many days before today are in its history, 0..99.
        foreign_sets: after every so many questions about its histories somebody else sets another
            day and time; 0 for never.
    """

    serial_number: str = "KEI000000001"
    next_gen: bool = False
    two_wire: bool = False
    confirmed: bool = False
    unit: int | None = None
    coefficient: int | None = None
    digits: int | None = None
    lacks: frozenset[int] = frozenset()
    installed_s: int | None = None
    remembers: int = DAYS_KEPT
    foreign_sets: int = 0

    @property
    def counting(self) -> CounterSetup:
        """How its registers count."""
        usual = NEXT_GENERATION_COUNTERS if self.next_gen else CounterSetup()
        given = {"unit": self.unit, "coefficient": self.coefficient, "digits": self.digits}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})
