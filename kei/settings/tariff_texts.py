"""What the texts of `[tariff]` mean: sizes of contracts, parts of the day, holidays."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from kei.settings.text_rules import Wrong, shown

HALF_HOURS_A_DAY = 48
VOLT = 100  # single-phase three-wire service: R + T amperes at 100 V each (facts of the B route)

# As many digits as keep every product within those in which a Decimal is exact.
_RATING = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)? ?(A|kVA|kW)", re.IGNORECASE)
_ENERGY = re.compile(r"([0-9]{1,6}) ?kWh", re.IGNORECASE)
_HOURS = re.compile(r"([0-9]{1,2})(:[0-9]{2})? ?- ?([0-9]{1,2})(:[0-9]{2})?")
_MONTH_DAY = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")
_UNITS = {unit.lower(): unit for unit in ("A", "kVA", "kW")}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NATIONAL = "national"


@dataclass(frozen=True, slots=True)
class Rating:
    """What a contract allows, or by how much of it a base price goes: `40A`, `6kVA`, `3kW`."""

    size: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.size:f}{self.unit}"

    @property
    def amperes(self) -> Decimal:
        """R and T together."""
        return self.size if self.unit == "A" else self.size * 1000 / VOLT

    @property
    def watts(self) -> Decimal:
        """The power at 100 V."""
        return self.amperes * VOLT


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, in half-hours since midnight; `end` may be on the next day.

    Attributes:
        begin: 0 to 47.
        end: the first half-hour behind it, 1 to 48; not above `begin` if it goes over midnight.
    """

    begin: int = 0
    end: int = HALF_HOURS_A_DAY

    def holds(self, half_hour: int) -> bool:
        """Tell whether a half-hour of the day, 0 to 47, is in it."""
        if self.begin < self.end:
            return self.begin <= half_hour < self.end
        return half_hour >= self.begin or half_hour < self.end

    def __str__(self) -> str:
        return f"{clock_time(self.begin)}-{clock_time(self.end)}"


def clock_time(half_hour: int) -> str:
    """Return when a half-hour of the day begins, `07:30`."""
    return f"{half_hour // 2:02}:{half_hour % 2 * 30:02}"


class Days(StrEnum):
    """The days on which a zone applies."""

    ALL = "all"
    WEEKDAY = "weekday"
    HOLIDAY = "holiday"


def rating(text: str) -> Rating:
    """Take a size of contract: `40A`, `6kVA`, `3kW`."""
    found = _RATING.fullmatch(text.strip())
    if found is None or found[1] is None or not Decimal(found[1]):
        raise Wrong(f"{shown(text)} is no size of a contract", 'write "40A", "6kVA" or "3kW"')
    return Rating(Decimal(found[1]), _UNITS[found[2].lower()])


def share(text: str) -> Rating:
    """Take the part of a contract that has a price: `10A`, `kVA`."""
    found = _RATING.fullmatch(text.strip())
    if found is None or (found[1] is not None and not Decimal(found[1])):
        raise Wrong(f"{shown(text)} is no part of a contract", 'write "10A", "kVA" or "kW"')
    return Rating(Decimal(found[1] or 1), _UNITS[found[2].lower()])


def included_kwh(text: str) -> Decimal:
    """Take the energy that a minimum charge includes: `15kWh`."""
    found = _ENERGY.fullmatch(text.strip())
    if found is None:
        raise Wrong(f"{shown(text)} is no whole number of kWh", 'write it like "15kWh"')
    return Decimal(found[1])


def hours(text: str) -> Hours:
    """Take a part of the day: `10-17`, `22-8` over midnight, `0:30-6`."""
    found = _HOURS.fullmatch(text.strip())
    remedy = 'write "10-17", "22-8" over midnight, or with half-hours "0:30-6"'
    if found is None:
        raise Wrong(f"{shown(text)} is no part of a day", remedy)
    begin, end = (_half_hours(found[hour], found[hour + 1]) for hour in (1, 3))
    if begin is None or end is None or begin == HALF_HOURS_A_DAY:
        raise Wrong(f"{shown(text)} has a time that is no full or half hour of a day", remedy)
    end = end or HALF_HOURS_A_DAY
    if begin == end:
        raise Wrong(
            f"{shown(text)} ends where it begins", f'leave it out, or write "0-24"; {remedy}'
        )
    return Hours(begin, end)


def _half_hours(hour: str, minute: str | None) -> int | None:
    """Return a time of day in half-hours, 0 to 48; None if it is none."""
    if minute not in (None, ":00", ":30"):
        return None
    number = int(hour) * 2 + (minute == ":30")
    return number if number <= HALF_HOURS_A_DAY else None


def holiday(text: str) -> str:
    """Take a day that is no weekday: a day of the week, `national`, `12-31`, or `2026-12-31`."""
    word = text.strip().lower()
    if word in WEEKDAYS or word == NATIONAL:
        return word
    remedy = 'write "sunday", "national", "12-31" for each year, or "2026-12-31"'
    found = _MONTH_DAY.fullmatch(word)
    if found is None:
        raise Wrong(f"{shown(text)} is no kind of holiday", remedy)
    try:
        date(int(found[1] or 2024), int(found[2]), int(found[3]))  # 2024 has a February 29
    except ValueError:
        raise Wrong(f"{shown(text)} does not exist", remedy) from None
    return word
