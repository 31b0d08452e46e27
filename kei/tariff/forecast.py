"""What will be used up to the end of a period, from what was used in the days before.

A half-hour that is still to come is expected to be the average of those at the same time of the day
in the last seven days that are known. `scripts/measure_forecast.py` says how good that is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from kei.energy.registers import HALF_HOUR_MS
from kei.tariff.use import Use

DAY_MS = 86_400_000
LOOK_BACK_DAYS = 7  # each day of the week once; 14 and 28 days were worse, 3 less steady
_LEAST_HALF_HOURS = 48  # a day: less says nothing about the others


def completed(use: Use, start_ms: int, end_ms: int) -> Use | None:
    """Return the use of a range with what is missing and what is still to come filled in.

    Args:
        use: what is known, of the range and of the time before it.
        start_ms: the beginning of the range.
        end_ms: its end.

    Returns:
        None if too little is known for it.
    """
    profile = Profile(use.half_hours, use.end_ms)
    if not profile.is_usable:
        return None
    known = use.part(start_ms, end_ms)
    half_hours = dict(known.half_hours)
    for gap in known.gaps:
        half_hours |= profile.spread(range(gap.start_ms, gap.end_ms, HALF_HOUR_MS), gap.kwh)
    half_hours |= profile.spread(range(known.end_ms, end_ms, HALF_HOUR_MS))
    return Use(known.start_ms, end_ms, half_hours)


class Profile:
    """The averages of each half-hour of the day in the last days that are known.

    Args:
        values: of half-hours, by their beginning in milliseconds since 1970 in UTC.
        end_ms: the end of the days that count.
    """

    def __init__(self, values: Mapping[int, Decimal], end_ms: int) -> None:
        begin = end_ms - LOOK_BACK_DAYS * DAY_MS
        found: defaultdict[int, list[Decimal]] = defaultdict(list)
        for start_ms, each in values.items():
            if begin <= start_ms < end_ms:
                found[start_ms % DAY_MS].append(each)
        self._known = sum(map(len, found.values()))
        self._averages = {at: _average(each) for at, each in found.items()}

    @property
    def is_usable(self) -> bool:
        """Whether at least a day is known."""
        return self._known >= _LEAST_HALF_HOURS

    def at(self, start_ms: int) -> Decimal:
        """Return what is expected of a half-hour; where its time of the day has none, of any."""
        found = self._averages.get(start_ms % DAY_MS)
        return _average(self._averages.values()) if found is None else found

    def spread(
        self, starts: Iterable[int], whole: Decimal | None = None
    ) -> Iterator[tuple[int, Decimal]]:
        """Yield what is expected of half-hours; with their sum where that is known."""
        expected = [(start, self.at(start)) for start in starts]
        if whole is None:
            yield from expected
            return
        together = sum((each for _, each in expected), Decimal(0))
        for start, each in expected:
            share = each / together if together else Decimal(1) / len(expected)
            yield start, whole * share


def _average(values: Iterable[Decimal]) -> Decimal:
    found = list(values)
    return sum(found, Decimal(0)) / len(found)
