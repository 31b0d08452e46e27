"""All that a plan charges in a period for the energy that was used, by the rules of the companies.

Base, energy and fuel adjustment keep their sen; the levy is cut to whole yen by itself. That, and
the rounding of kWh, fits 42 published totals and bills of seven companies.
"""

from collections.abc import Iterable, Iterator
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from kei.settings.tariff import Base, Plan, Tariff
from kei.tariff.bill import Line
from kei.tariff.energy import KWH, Quantities, energy_lines, includes
from kei.tariff.periods import SEN, BillingPeriod
from kei.tariff.rates import Rates

YEN = Decimal(1)


class Charges:
    """What a plan charges in a period.

    Args:
        plan: which.
        tariff: has the size of the contract.
        period: which.
        rates: fuel adjustment and levy of its month.
        quantities: what was used; None if nothing is known of it.
    """

    def __init__(
        self,
        plan: Plan,
        tariff: Tariff,
        period: BillingPeriod,
        rates: Rates,
        quantities: Quantities | None,
    ) -> None:
        self._plan, self._tariff, self._period = plan, tariff, period
        self._rates, self._quantities = rates, quantities
        self._included = period.scaled_kwh(includes(plan))

    def lines(self, *, is_final: bool) -> list[Line]:
        """Return base, energy, fuel adjustment and extras.

        Args:
            is_final: whether all that was used in the period is known, so that it can be told
                that nothing was.
        """
        lines = [*self._base(is_final=is_final), *self._energy(), *self._fuel()]
        lines += self._raised(lines)
        lines += [Line(each.name, YEN, "", each.price, each.price) for each in self._plan.extra]
        return lines

    def levy(self) -> Line | None:
        """Return the levy, cut to yen; None if the tariff has none."""
        if not self._rates.has_levy:
            return None
        exact = self._exact_levy()
        amount = None if exact is None else exact.quantize(YEN, ROUND_DOWN)
        return Line("levy", self._charged_kwh(), KWH, self._rates.levy, amount)

    def variable(self) -> Decimal | None:
        """Return energy, fuel adjustment and levy, not cut to yen; None if a part is not known."""
        amounts = [line.amount for line in (*self._energy(), *self._fuel())]
        amounts.append(self._exact_levy())
        known = [each for each in amounts if each is not None]
        return sum(known, Decimal(0)) if len(known) == len(amounts) else None

    def _base(self, *, is_final: bool) -> Iterator[Line]:
        base = self._plan.base
        if base is None:
            return
        price, quantity, unit = self._monthly(base)
        amount = self._period.scaled((price * quantity).quantize(SEN, ROUND_HALF_UP))
        name = "base" if base.minimum is None else f"minimum charge, {self._included} kWh"
        if self._period.is_scaled:
            name += f", {self._period.days} of {self._period.month_days} days"
        share = self._plan.idle_base
        is_idle = self._quantities is not None and not self._quantities.kwh
        if is_final and is_idle and share != 1:
            name += f", x {share.normalize():f} as nothing was used"
            amount = (amount * share).quantize(SEN, ROUND_DOWN)
        yield Line(name, quantity, unit, price, amount)

    def _monthly(self, base: Base) -> tuple[Decimal, Decimal, str]:
        """Return the price of the base, of how many parts it is, and their unit."""
        if base.per is not None and base.price is not None:
            assert self._tariff.contract is not None, "the settings have it where it is needed"
            return base.price, self._tariff.contract.size / base.per.size, str(base.per)
        price = base.fixed if base.fixed is not None else base.minimum
        assert price is not None, "the settings have one of the three"
        return price, YEN, ""

    def _energy(self) -> Iterable[Line]:
        if self._quantities is None:
            return [Line("energy", None, KWH, None, None)]
        return energy_lines(self._plan, self._quantities, self._period)

    def _fuel(self) -> Iterator[Line]:
        rates, kwh = self._rates, self._charged_kwh()
        if self._included and rates.has_fuel_minimum:
            minimum = rates.fuel_minimum
            amount = None if minimum is None else self._period.scaled(minimum)
            yield Line(f"fuel adjustment, {self._included} kWh", YEN, "", minimum, amount)
            kwh = None if kwh is None else kwh - self._included
            if not kwh:
                return
        if rates.has_fuel:
            yield Line("fuel adjustment", kwh, KWH, rates.fuel, _product(kwh, rates.fuel))

    def _raised(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield what is lacking up to the minimum of a month."""
        least = self._plan.minimum_bill
        amounts = [line.amount for line in lines]
        known = [each for each in amounts if each is not None]
        if least is None or len(known) < len(amounts):
            return
        due = self._period.scaled(least)
        if (lacking := due - sum(known)) > 0:
            yield Line(f"up to the minimum of {due:f}", YEN, "", lacking, lacking)

    def _exact_levy(self) -> Decimal | None:
        if not self._rates.has_levy:
            return Decimal(0)
        return _product(self._charged_kwh(), self._rates.levy)

    def _charged_kwh(self) -> Decimal | None:
        """Return the kWh for which fuel and levy are due, at least those of a minimum charge."""
        return None if self._quantities is None else max(self._quantities.kwh, self._included)


def _product(kwh: Decimal | None, price: Decimal | None) -> Decimal | None:
    return None if kwh is None or price is None else kwh * price + 0  # 0 makes 0 of -0
