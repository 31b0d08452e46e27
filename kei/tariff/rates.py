"""The monthly figures of a tariff: fuel adjustment and levy."""

from collections.abc import Iterator

from kei.settings.months import Month
from kei.settings.tariff import Tariff

LEVY_YEAR_BEGINS = 5  # the billing month from which METI's new levy counts each year


class Rates:
    """The figures of one billing month.

    Args:
        tariff: has the tables.
        month: the billing month.

    Attributes:
        month: the billing month.
        has_fuel: whether there is any fuel adjustment in the tariff.
        has_fuel_minimum: whether minimum charges have one of their own.
        has_levy: whether there is any levy in the tariff.
        fuel: yen/kWh; None if that of the month is not known.
        fuel_minimum: yen for the energy that a minimum charge includes; None likewise.
        levy: yen/kWh; None likewise.
    """

    def __init__(self, tariff: Tariff, month: Month) -> None:
        self.month = month
        self.has_fuel = tariff.fuel is not None
        self.has_fuel_minimum = tariff.fuel_minimum is not None
        self.has_levy = tariff.levy is not None
        self.fuel = (tariff.fuel or {}).get(month)
        self.fuel_minimum = (tariff.fuel_minimum or {}).get(month)
        levies = tariff.levy or {}
        self._levy_since = max((each for each in levies if each <= month), default=None)
        self.levy = None if self._levy_since is None else levies[self._levy_since]

    def problems(self, *, has_included: bool) -> Iterator[str]:
        """Yield what is missing or may be old.

        Args:
            has_included: whether the plan has a minimum charge that includes energy.
        """
        if self.has_fuel and self.fuel is None:
            yield f"fuel adjustment of {self.month} is not known: add it to [tariff.fuel]"
        if has_included and self.has_fuel_minimum and self.fuel_minimum is None:
            yield (
                f"fuel adjustment of {self.month} for the minimum charge is not known: add it to"
                " [tariff.fuel_minimum]"
            )
        if self._levy_since is not None:
            if _levy_year(self._levy_since) != _levy_year(self.month):
                yield (
                    f"the levy of {self._levy_since} is used for {self.month}; a new one counts"
                    " from each May: add it to [tariff.levy]"
                )
        elif self.has_levy:
            yield f"levy of {self.month} is not known: add it to [tariff.levy]"


def _levy_year(month: Month) -> int:
    return month.year if month.number >= LEVY_YEAR_BEGINS else month.year - 1
