"""Months of the calendar, by which bills, fuel prices and levies go."""

import re
from typing import NamedTuple

from kei.settings.text_rules import Wrong, shown

_MONTH = re.compile(r"(2[0-9]{3})-([0-9]{2})")  # no bill by the half-hour is older


class Month(NamedTuple):
    """A month of the calendar: a billing month has the name of one."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    def moved(self, months: int) -> "Month":
        """Return the month so many later; an earlier one by a negative number."""
        year, number = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(year, number + 1)


def month(text: str) -> Month:
    """Read a month of this millennium such as `2026-11`."""
    found = _MONTH.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12:
        raise Wrong(f"{shown(text)} is no month", "write it like 2026-11")
    return Month(int(found[1]), int(found[2]))
