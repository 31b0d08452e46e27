"""Energy of periods from registers, in one pass; what is not known is named, never guessed.

What flowed between two known registers counts for a period that holds both, however many registers
are missing between them. Across the end of a period it counts for neither side: nobody knows how
much of it belongs where.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from kei.energy.periods import Period
from kei.energy.registers import HALF_HOUR_MS, Registers, Step, step


class State(StrEnum):
    """How much is known of a period."""

    COMPLETE = "complete"
    CUT = "cut"  # all that was asked for, which is not the whole hour, day or month
    RUNNING = "running"  # its last register is not due yet; all is known so far
    PARTIAL = "partial"  # registers are missing
    GAP = "gap"  # nothing is known


@dataclass(frozen=True, slots=True)
class Peak:
    """The half-hour in which most was bought.

    Attributes:
        start_ms: its beginning, milliseconds since 1970 in UTC; of equal ones that of the first.
        kwh: how much.
    """

    start_ms: int
    kwh: Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """The energy of a period.

    Attributes:
        period: which; the same half-hours are meant as there.
        bought: kWh between its first and its last known register, so less than all of it where one
            of the two is not at its end; None if fewer than two are known.
        sold: the same of the reverse direction.
        peak: of the half-hours that are known; None if none is.
        missing: how many half-hours that have passed have no register at their beginning or end, or
            begin with one of another meter than they end with.
        missing_sold: the same of the reverse direction; None up to its first register.
        state: how much of it is known.
    """

    period: Period
    bought: Decimal | None
    sold: Decimal | None
    peak: Peak | None
    missing: int
    missing_sold: int | None
    state: State


@dataclass(frozen=True, slots=True)
class Gap:
    """Half-hours that are missing without a break, of the normal direction.

    Attributes:
        start_ms: the last known register before it, or the beginning of what was asked for.
        end_ms: the first known register behind it, or the end.
        kwh: what was bought meanwhile, all together; None if that is not known.
        is_other_meter: whether the registers at its ends are those of two meters.
    """

    start_ms: int
    end_ms: int
    kwh: Decimal | None
    is_other_meter: bool = False

    @property
    def half_hours(self) -> int:
        """How many."""
        return (self.end_ms - self.start_ms) // HALF_HOUR_MS


class Report:
    """The energy of a range of time. `rows` is to be taken once; then the rest is known.

    Args:
        whole: the range.
        until_ms: up to when registers can be expected, milliseconds since 1970 in UTC; a half-hour
            that ends later is not missing yet.
        range_: at how many kWh the registers begin again at 0; None if that is not known.
        breaks: when the meter became another one, or began to count in another way, milliseconds
            since 1970, in their order: nothing is computed across.

    Attributes:
        whole: the range.
        total: the energy of the range, with what lies across the ends of periods; None until all
            rows have been taken.
        gaps: where the missing half-hours are.
    """

    def __init__(
        self,
        whole: Period,
        *,
        until_ms: int,
        range_: Decimal | None = None,
        breaks: Sequence[int] = (),
    ) -> None:
        self.whole = whole
        self._until = until_ms - until_ms % HALF_HOUR_MS
        self._bought, self._sold = _Direction(range_, breaks), _Direction(range_, breaks)
        self.gaps: list[Gap] = []
        self.total: Row | None = None

    def rows(self, periods: Iterable[Period], registers: Iterable[Registers]) -> Iterator[Row]:
        """Yield the energy of each period.

        Args:
            periods: those of the range, the oldest first, without gaps.
            registers: those from the first to the last of the range, both included, the oldest
                first, each time once.
        """
        coming = iter(registers)
        of_next = self._looked(next(coming, None))
        total = _Tally(self.whole)
        for period in periods:
            tally = _Tally(period)
            while of_next is not None and of_next.time_ms <= period.last_ms:
                self._take(of_next, tally, total)
                of_next = self._looked(next(coming, None))
            yield self._row(tally)
        self.total = self._row(total)
        last = self._bought.last
        self._add_edge(self.whole.first_ms if last is None else last[0], self._end(total))

    def _looked(self, found: Registers | None) -> Registers | None:
        """Return it; where there is a register, that time has passed, whatever the clock says."""
        if found is not None:
            self._until = max(self._until, found.time_ms)
        return found

    def _take(self, found: Registers, *tallies: "_Tally") -> None:
        if found.bought is not None:
            if self._bought.last is None:
                self._add_edge(self.whole.first_ms, found.time_ms)
            between = self._bought.take(found.time_ms, found.bought)
            if between is not None:
                self._add_gap(between)
                for tally in tallies:
                    tally.add_bought(between)
        if found.sold is not None:
            between = self._sold.take(found.time_ms, found.sold)
            if between is not None:
                for tally in tallies:
                    tally.sold.add(between)

    def _add_edge(self, start_ms: int, end_ms: int) -> None:
        if start_ms < end_ms:
            self.gaps.append(Gap(start_ms, end_ms, None))

    def _add_gap(self, between: Step) -> None:
        is_other = between.kwh is None
        if is_other or between.half_hours > 1:
            self.gaps.append(Gap(between.start_ms, between.end_ms, between.kwh, is_other))

    def _end(self, tally: "_Tally") -> int:
        """Return up to where a period can be known."""
        return max(tally.period.first_ms, min(tally.period.last_ms, self._until))

    def _row(self, tally: "_Tally") -> Row:
        expected = (self._end(tally) - tally.period.first_ms) // HALF_HOUR_MS
        missing = expected - tally.bought.known
        missing_sold = None if self._sold.last is None else expected - tally.sold.known
        bought, sold = tally.bought.kwh, tally.sold.kwh
        return Row(
            tally.period,
            bought,
            sold,
            tally.peak,
            missing,
            missing_sold,
            self._state(tally, is_missing=bool(missing or missing_sold)),
        )

    def _state(self, tally: "_Tally", *, is_missing: bool) -> State:
        if is_missing:
            is_known = tally.bought.kwh is not None or tally.sold.kwh is not None
            return State.PARTIAL if is_known else State.GAP
        if tally.period.last_ms > self._until:
            return State.RUNNING
        return State.CUT if tally.period.is_cut else State.COMPLETE


class _Direction:
    """One register, followed through time."""

    def __init__(self, range_: Decimal | None, breaks: Sequence[int]) -> None:
        self._range = range_
        self._breaks = breaks
        self.last: tuple[int, Decimal] | None = None

    def take(self, time_ms: int, kwh: Decimal) -> Step | None:
        """Return what lies between the register before and this one; None for the first."""
        before, self.last = self.last, (time_ms, kwh)
        if before is None:
            return None
        if bisect_right(self._breaks, before[0]) < bisect_right(self._breaks, time_ms):
            return Step(before[0], time_ms, None)
        return step(before, self.last, self._range)


class _Sum:
    """What is known of one direction in a period."""

    def __init__(self, period: Period) -> None:
        self._period = period
        self.kwh: Decimal | None = None
        self.known = 0  # half-hours

    def add(self, between: Step) -> None:
        """Add what lies between two registers that are not behind the period."""
        if between.kwh is not None and self.holds(between):
            self.kwh = (self.kwh or 0) + between.kwh
            self.known += between.half_hours == 1

    def holds(self, between: Step) -> bool:
        """Return whether it lies in the period as a whole."""
        return between.start_ms >= self._period.first_ms


class _Tally:
    """What is known of a period so far."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.bought, self.sold = _Sum(period), _Sum(period)
        self.peak: Peak | None = None

    def add_bought(self, between: Step) -> None:
        """Add what lies between two registers that are not behind the period."""
        self.bought.add(between)
        if between.half_hours > 1 or between.kwh is None or not self.bought.holds(between):
            return
        if self.peak is None or between.kwh > self.peak.kwh:
            self.peak = Peak(between.start_ms, between.kwh)
