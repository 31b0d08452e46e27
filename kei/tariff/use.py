"""What was bought, half-hour by half-hour, and what is not known of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from kei.energy.periods import half_hour_from
from kei.energy.registers import Step, step
from kei.energy.report import Gap


@dataclass(frozen=True, slots=True)
class Use:
    """The energy of one direction in a range of time.

    Attributes:
        start_ms: the beginning of its first half-hour, milliseconds since 1970 in UTC.
        end_ms: the end of its last one that can be known yet.
        half_hours: kWh of those with a register at both ends, by their beginning, in order.
        gaps: where half-hours are missing; what flowed meanwhile, where both ends are known.
    """

    start_ms: int
    end_ms: int
    half_hours: Mapping[int, Decimal]
    gaps: tuple[Gap, ...] = ()

    @property
    def kwh(self) -> Decimal | None:
        """All that is known to have flowed; None if nothing is known."""
        known = [gap.kwh for gap in self.gaps if gap.kwh is not None]
        if not self.half_hours and not known:
            return None
        return sum(self.half_hours.values(), sum(known, Decimal(0)))

    @property
    def missing(self) -> int:
        """How many half-hours are missing."""
        return sum(gap.half_hours for gap in self.gaps)

    @property
    def of_gaps(self) -> Decimal:
        """The kWh of which the half-hours are not known."""
        return sum((gap.kwh for gap in self.gaps if gap.kwh is not None), Decimal(0))

    def part(self, start_ms: int, end_ms: int) -> "Use":
        """Return the half-hours that begin in a range.

        What flowed in a gap over the end of the range belongs to neither side: nobody knows how
        much of it flowed where.
        """
        start = max(self.start_ms, half_hour_from(start_ms))
        end = max(start, min(self.end_ms, half_hour_from(end_ms)))
        within = {at: kwh for at, kwh in self.half_hours.items() if start <= at < end}
        cut = (_cut(gap, start, end) for gap in self.gaps)
        return Use(start, end, within, tuple(gap for gap in cut if gap is not None))


def _cut(gap: Gap, start_ms: int, end_ms: int) -> Gap | None:
    """Return the part of a gap in a range; None if it has none there."""
    if gap.start_ms >= start_ms and gap.end_ms <= end_ms:
        return gap
    first, last = max(gap.start_ms, start_ms), min(gap.end_ms, end_ms)
    return Gap(first, last, None, gap.is_other_meter) if first < last else None


def use_of(
    registers: Iterable[tuple[int, Decimal]],
    start_ms: int,
    end_ms: int,
    range_: Decimal | None = None,
) -> Use:
    """Return the use that follows from the registers of one direction.

    Args:
        registers: time (milliseconds since 1970 in UTC, a full or half hour) and kWh of those from
            the beginning to the end, both included, the oldest first, each time once.
        start_ms: the beginning of the range.
        end_ms: its end, or up to when registers can be expected yet.
        range_: at how many kWh a register begins again at 0; None if that is not known.
    """
    start, end = half_hour_from(start_ms), half_hour_from(end_ms)
    half_hours: dict[int, Decimal] = {}
    gaps: list[Gap] = []
    last: tuple[int, Decimal] | None = None
    for found in registers:
        between = Step(start, found[0], None) if last is None else step(last, found, range_)
        if between.half_hours == 1 and between.kwh is not None:
            half_hours[between.start_ms] = between.kwh
        elif between.half_hours:
            is_other = last is not None and between.kwh is None
            gaps.append(Gap(between.start_ms, between.end_ms, between.kwh, is_other))
        last = found
    known_to = start if last is None else last[0]
    if known_to < end:
        gaps.append(Gap(known_to, end, None))
    return Use(start, max(end, known_to), half_hours, tuple(gaps))
