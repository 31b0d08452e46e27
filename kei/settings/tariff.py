"""What electricity costs: `[tariff]` of jobs.toml."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from kei.settings import text_rules
from kei.settings.keys import (
    ByMonth,
    Choice,
    Conflict,
    Day,
    FilePath,
    Number,
    Several,
    Table,
    Tables,
    Text,
    Whole,
    key,
    table,
)
from kei.settings.months import Month
from kei.settings.tariff_texts import (
    HALF_HOURS_A_DAY,
    NATIONAL,
    Days,
    Hours,
    Rating,
    clock_time,
    holiday,
    hours,
    included_kwh,
    rating,
    share,
)
from kei.settings.text_rules import Wrong

# Bounds of what is written in the file: with a register's range (1e8 kWh at most 4 decimals) every
# product and sum stays within the 28 digits in which a Decimal is exact.
PRICE_MAX, PRICE_PLACES = Decimal(1_000_000), 6


class Currency(StrEnum):
    """The currency of all prices; the rules of rounding are those of the yen."""

    JPY = "JPY"


class Area(StrEnum):
    """An area of the Japanese power market, each with a price of its own."""

    HOKKAIDO = "hokkaido"
    TOHOKU = "tohoku"
    TOKYO = "tokyo"
    CHUBU = "chubu"
    HOKURIKU = "hokuriku"
    KANSAI = "kansai"
    CHUGOKU = "chugoku"
    SHIKOKU = "shikoku"
    KYUSHU = "kyushu"


_PRICE = Number(low=-PRICE_MAX, high=PRICE_MAX, places=PRICE_PLACES)
_CHARGE = Number(low=Decimal(0), high=PRICE_MAX, places=PRICE_PLACES)
_SHARE = Number(low=Decimal(0), high=Decimal(1), places=PRICE_PLACES)
_FACTOR = Number(low=Decimal(0), high=Decimal(100), places=PRICE_PLACES)


@table()
class Base:
    """What each period costs whatever is used: one of `per`, `fixed` and `minimum`."""

    per: Rating | None = key(
        Text(share, "a part of the contract"),
        "The part of the contract that `price` is for.",
        default=None,
        example='"10A"',
    )
    price: Decimal | None = key(_CHARGE, "Of each such part.", default=None, example="311.75")
    fixed: Decimal | None = key(_CHARGE, "One price.", default=None, example="1000.00")
    minimum: Decimal | None = key(
        _CHARGE, "A minimum charge, with some energy in it.", default=None, example="522.58"
    )
    includes: Decimal | None = key(
        Text(included_kwh, "whole kWh"), "That energy.", default=None, example='"15kWh"'
    )

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what contradicts."""
        kinds = [name for name in ("per", "fixed", "minimum") if getattr(self, name) is not None]
        forms = "per and price, fixed, or minimum and includes"
        if not kinds:
            yield (), Wrong("has no price", f"write one of: {forms}")
            return
        for name in kinds[1:]:
            yield name, Wrong(f"stands beside {kinds[0]}", f"keep one of: {forms}")
        for name, partner in (("per", "price"), ("minimum", "includes")):
            if (getattr(self, name) is None) is not (getattr(self, partner) is None):
                lacking = name if getattr(self, name) is None else partner
                yield lacking, Wrong("is missing", f"{name} and {partner} belong together")


@table(kw_only=True)
class PriceStep:
    """The price of energy up to a limit."""

    to: int | None = key(
        Whole(1, 1_000_000),
        "The kWh of the period at which it ends; the last step has none.",
        default=None,
        example="120",
    )
    price: Decimal = key(_PRICE, "For each kWh.", example="29.80")


def _steps_conflicts(steps: tuple[PriceStep, ...]) -> Iterator[Conflict]:
    """Yield where limits do not rise, or where one is missing before the end."""
    below = 0
    for number, each in enumerate(steps):
        place = ("steps", number)
        if each.to is None and number < len(steps) - 1:
            yield place, Wrong("has no limit, so that the steps behind it never apply", "add `to`")
        elif each.to is not None and each.to <= below:
            what = f"its limit {each.to} is not above the one before, {below}"
            yield (*place, "to"), Wrong(what, "write the limits as they rise")
        below = each.to or below


@table()
class Zone:
    """A price for some hours, days and months; the first that fits a half-hour counts."""

    name: str = key(
        Text(text_rules.plain), "What the bill calls it.", default="", example='"night"'
    )
    hours: Hours = key(
        Text(hours, "from-to, also over midnight"),
        "The hours of the day.",
        default=Hours(),
        example='"22-8"',
    )
    days: Days = key(Choice(Days), "The days; see `holidays`.", default=Days.ALL)
    months: tuple[int, ...] = key(
        Several(Whole(1, 12)),
        "The months of the calendar; none: all.",
        default=(),
        example="[7, 8, 9]",
    )
    price: Decimal | None = key(_PRICE, "For each kWh.", default=None, example="27.86")
    steps: tuple[PriceStep, ...] = key(Tables(PriceStep, by=()), default=())

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what contradicts."""
        if self.price is None and not self.steps:
            yield "price", Wrong("the zone has no price", "write price = ... or steps = [...]")
        if self.price is not None and self.steps:
            yield "price", Wrong("stands beside steps", "keep one of them")
        yield from _steps_conflicts(self.steps)

    def fits(self, half_hour: int, *, is_weekday: bool, month: int) -> bool:
        """Tell whether a half-hour is in it.

        Args:
            half_hour: of the local day, 0 to 47.
            is_weekday: whether that day is no holiday.
            month: of that day, 1 to 12.
        """
        return (
            self.hours.holds(half_hour)
            and self.days in (Days.ALL, Days.WEEKDAY if is_weekday else Days.HOLIDAY)
            and (not self.months or month in self.months)
        )


@table(kw_only=True)
class Market:
    """Energy at the price of each half-hour, from a file: price x factor + add."""

    file: Path = key(FilePath(), "The file with the prices.", example='"jepx.csv"')
    area: Area = key(Choice(Area), "Whose prices.", example='"tokyo"')
    factor: Decimal = key(_FACTOR, "What the price is multiplied by.", default=Decimal(1))
    add: Decimal = key(_PRICE, "What each kWh costs besides.", default=Decimal(0))


@table()
class Extra:
    """An amount of each period."""

    name: str = key(Text(text_rules.plain), "What the bill calls it.", example='"discount"')
    price: Decimal = key(_PRICE, "Negative for a discount.", example="-55.00")


@table()
class Sell:
    """What sold energy is paid with."""

    price: Decimal = key(_PRICE, "For each kWh.", example="16")


@table()
class Plan:
    """The prices from the billing period on that holds a day: one of `steps`, `zones`, `market`."""

    begins: date = key(
        Day(),
        "A day of the first billing period with these prices.",
        name="from",
        example="2024-04-01",
    )
    name: str = key(
        Text(text_rules.plain), "What the bill calls it.", default="", example='"plan B"'
    )
    base: Base | None = key(Table(Base), default=None, example='{ per = "10A", price = 311.75 }')
    steps: tuple[PriceStep, ...] = key(
        Tables(PriceStep, by=()),
        default=(),
        example="[{ to = 120, price = 29.80 }, { to = 300, price = 36.40 }, { price = 40.49 }]",
    )
    zones: tuple[Zone, ...] = key(
        Tables(Zone, by=()),
        default=(),
        example='[{ hours = "1-6", price = 27.86 }, { price = 35.76 }]',
        is_alternative=True,
    )
    holidays: tuple[str, ...] = key(
        Several(Text(holiday)),
        'What is no weekday: days of the week, "national" (needs the extra `kei[bill]`), dates.',
        default=("sunday", NATIONAL),
    )
    market: Market | None = key(
        Table(Market),
        default=None,
        example='{ file = "jepx.csv", area = "tokyo", factor = 1.1, add = 2.50 }',
        is_alternative=True,
    )
    extra: tuple[Extra, ...] = key(
        Tables(Extra, by=("name",)),
        default=(),
        example='[{ name = "discount", price = -55.00 }]',
    )
    minimum_bill: Decimal | None = key(
        _CHARGE,
        "Replaces base, energy and fuel where these are lower.",
        default=None,
        example="335.34",
    )
    idle_base: Decimal = key(
        _SHARE, "The share of the base in a period without any use.", default=Decimal(1)
    )

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what contradicts."""
        given = [name for name in ("steps", "zones", "market") if getattr(self, name)]
        if not given:
            remedy = "write one of: steps = [...], zones = [...], market = {...}"
            yield "steps", Wrong("the plan has no price of energy", remedy)
        for name in given[1:]:
            yield name, Wrong(f"stands beside {given[0]}", "keep one of them")
        if self.base is not None and self.base.minimum is not None and not self.steps:
            yield "base", Wrong("a minimum charge includes a part of steps", "write steps = [...]")
        yield from _steps_conflicts(self.steps)
        yield from self._zone_conflicts()

    @property
    def goes_by_kwh(self) -> bool:
        """Whether the price of a kWh depends on how many there were before it in the period."""
        steps = (self.steps, *(zone.steps for zone in self.zones))
        has_minimum = self.base is not None and self.base.minimum is not None
        return has_minimum or any(len(each) > 1 for each in steps)

    @property
    def needs_day_kinds(self) -> bool:
        """Whether prices depend on what day it is."""
        return any(zone.days is not Days.ALL for zone in self.zones)

    @property
    def needs_national_holidays(self) -> bool:
        """Whether a library has to know which days they are."""
        return self.needs_day_kinds and NATIONAL in self.holidays

    def zone_at(self, half_hour: int, *, is_weekday: bool, month: int) -> int | None:
        """Return the index of the zone that counts for a half-hour; see `Zone.fits`."""
        for number, zone in enumerate(self.zones):
            if zone.fits(half_hour, is_weekday=is_weekday, month=month):
                return number
        return None

    def _zone_conflicts(self) -> Iterator[Conflict]:
        """Yield the zones that never count, and a half-hour that has none."""
        used: set[int] = set()
        hole = ""
        for month in range(1, 13):
            for is_weekday in (True, False):
                for half_hour in range(HALF_HOURS_A_DAY):
                    found = self.zone_at(half_hour, is_weekday=is_weekday, month=month)
                    if found is not None:
                        used.add(found)
                    elif not hole:
                        kind = Days.WEEKDAY if is_weekday else Days.HOLIDAY
                        hole = f"{clock_time(half_hour)} of a {kind} in month {month}"
        if self.zones and hole:
            yield "zones", Wrong(f"none is for {hole}", "add a last zone without hours")
        for number, zone in enumerate(self.zones):
            is_rest = zone.hours == Hours() and zone.days is Days.ALL and not zone.months
            if number not in used and not is_rest:
                what = "never counts: the zones before it take all of its half-hours"
                yield ("zones", number), Wrong(what, "put it before them")


@table(kw_only=True)
class Tariff:
    """What electricity costs, for `kei bill`."""

    metering_day: int = key(
        Whole(1, 31),
        "The day of the month on which a billing period begins; in a shorter month its last day.",
        default=1,
    )
    contract: Rating | None = key(
        Text(rating, "A, kVA or kW"),
        "What your contract allows.",
        default=None,
        example='"40A"',
    )
    currency: Currency = key(Choice(Currency), "Of all prices.", default=Currency.JPY)
    first_day: date | None = key(
        Day(), "The first day with power from this supplier.", default=None, example="2024-04-17"
    )
    last_day: date | None = key(
        Day(), "The last day with power from this supplier.", default=None, example="2027-03-15"
    )
    plan: tuple[Plan, ...] = key(
        Tables(Plan, by=("begins",), unique="give each [[tariff.plan]] another from")
    )
    fuel: Mapping[Month, Decimal] | None = key(
        ByMonth(_PRICE),
        "Fuel adjustment for each kWh by billing month.",
        default=None,
        example="{ 2026-11 = -1.23 }",
    )
    fuel_minimum: Mapping[Month, Decimal] | None = key(
        ByMonth(_PRICE),
        "Fuel adjustment for all of the energy that a minimum charge includes.",
        default=None,
        example="{ 2026-11 = -18.45 }",
    )
    levy: Mapping[Month, Decimal] | None = key(
        ByMonth(_CHARGE),
        "Renewable-energy levy for each kWh, from that billing month on.",
        default=None,
        example="{ 2026-05 = 4.18 }",
    )
    sell: Sell | None = key(Table(Sell), default=None)

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what contradicts."""
        for number, plan in enumerate(self.plan):
            per = None if plan.base is None else plan.base.per
            if per is None:
                continue
            if self.contract is None:
                what = f"is missing, and the base of plan[{number}] goes by it"
                yield "contract", Wrong(what, f'add contract = "...", in {per.unit}')
            elif self.contract.unit != per.unit:
                what = f"is for {per.unit}, and the contract is in {self.contract.unit}"
                yield ("plan", number, "base"), Wrong(what, "write both in the same unit")
        if self.first_day and self.last_day and self.last_day < self.first_day:
            yield "last_day", Wrong("lies before first_day", "correct one of the two")
