"""The parts of a bill."""

from dataclasses import dataclass
from decimal import Decimal

from kei.energy.report import Gap
from kei.tariff.periods import BillingPeriod


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill.

    Attributes:
        what: for a person.
        quantity: of `unit`; None if it is not known.
        unit: `kWh`, `10A`, or empty.
        price: yen for one; None if it is not known, or if there is none.
        amount: yen, with sen; None if it is not known.
    """

    what: str
    quantity: Decimal | None
    unit: str
    price: Decimal | None
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Sold:
    """What was sold in the period, which is paid by a statement of its own.

    Attributes:
        kwh: whole; None if it is not known.
        price: yen/kWh.
        amount: whole yen; None if it is not known.
        gaps: where half-hours are missing.
    """

    kwh: Decimal | None
    price: Decimal
    amount: Decimal | None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Bill:
    """What a billing period costs, or has cost so far.

    Attributes:
        period: which.
        plan: the name of its plan; empty if it has none.
        is_running: whether it is not over yet: then this is what it has cost so far.
        kwh: whole; None if nothing is known.
        lines: everything but the levy. Their sum and the levy, cut to yen, are the total.
        levy_line: the levy, in whole yen; None if the tariff has none.
        known: whole yen of all that is known.
        total: the same; None if a price is not known.
        gaps: where half-hours are missing.
        problems: sentences on what is not known, or may be wrong.
    """

    period: BillingPeriod
    plan: str
    is_running: bool
    kwh: Decimal | None
    lines: tuple[Line, ...]
    levy_line: Line | None
    known: Decimal
    total: Decimal | None
    gaps: tuple[Gap, ...]
    problems: tuple[str, ...]

    @property
    def levy(self) -> Decimal | None:
        """The levy in whole yen, 0 if the tariff has none; None if it is not known."""
        return Decimal(0) if self.levy_line is None else self.levy_line.amount

    @property
    def missing(self) -> int:
        """How many half-hours are missing."""
        return sum(gap.half_hours for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a running period will probably cost; see `kei.tariff.forecast`.

    Attributes:
        kwh: whole.
        total: whole yen; None if a price is not known.
        known: whole yen of all that is known.
    """

    kwh: Decimal
    total: Decimal | None
    known: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """What some half-hours have added to the bill: energy, fuel and levy, and nothing fixed.

    Attributes:
        kwh: what is known to have flowed; None if nothing is known.
        amount: yen, not rounded; None if nothing or a price is not known.
        missing: how many half-hours are missing in it.
        problems: sentences on what is not known.
    """

    kwh: Decimal | None
    amount: Decimal | None
    missing: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """What the next kWh costs, in yen.

    Attributes:
        energy: of the step, the zone or the market; None if it is not known.
        fuel: fuel adjustment, 0 without one; None if that of the month is not known.
        levy: the same of the levy.
        what: the name of the step or zone.
    """

    energy: Decimal | None
    fuel: Decimal | None
    levy: Decimal | None
    what: str

    @property
    def total(self) -> Decimal | None:
        """All together; None if a part is not known."""
        if self.energy is None or self.fuel is None or self.levy is None:
            return None
        return self.energy + self.fuel + self.levy
