"""The energy of a range as a table for a person, on a terminal with a bar for each row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from shutil import get_terminal_size
from typing import TextIO

from kei.core.clock import local
from kei.core.printable import counted
from kei.core.reading import plain
from kei.core.times import written
from kei.energy.periods import By
from kei.energy.report import Gap, Report, Row, State

UNKNOWN = "unknown"
GAPS_SHOWN = 10
BAR_MIN, BAR_MAX = 8, 40  # columns
_BLOCKS = " ▏▎▍▌▋▊▉█"  # by eighths
_SHORT = (By.HALF_HOUR, By.HOUR)  # some of them have the same label in a night of the year
_LABELS = {By.DAY: "%Y-%m-%d", By.MONTH: "%Y-%m"}
_MINUTE, _NO_YEAR = "%Y-%m-%d %H:%M", "%m-%d %H:%M"
_BETWEEN = "  "


@dataclass(frozen=True, slots=True)
class Screen:
    """What a terminal can show.

    Attributes:
        columns: its width.
        has_blocks: whether it shows the block characters of Unicode; if not, bars are of `#`.
    """

    columns: int
    has_blocks: bool


def screen_of(stream: TextIO) -> Screen | None:
    """Return what the terminal of a stream can show; None if it is none."""
    if not stream.isatty():
        return None
    columns = get_terminal_size().columns
    try:
        _BLOCKS.encode(stream.encoding)
    except UnicodeEncodeError:
        return Screen(columns, has_blocks=False)
    return Screen(columns, has_blocks=True)


def table(
    rows: Iterator[Row], report: Report, by: By, screen: Screen | None, zone: tzinfo
) -> Iterator[str]:
    """Yield the lines of the table, then the total and the gaps.

    Args:
        rows: of the report, which are taken here.
        report: has the rest when they have been taken.
        by: what a row covers.
        screen: the terminal; None for a table without bars.
        zone: the local time zone.
    """
    found = list(rows)
    if not found:
        yield "nothing yet: this lies in the future\n"
        return
    offsets = {local(row.period.start_ms, zone).utcoffset() for row in found}
    form = _Form(by, zone, has_offset=by in _SHORT and len(offsets) > 1)
    listed = [*found, report.total] if report.total is not None and len(found) > 1 else found
    has_sold = any(row.sold is not None for row in found)
    lines = [form.head(has_sold=has_sold)]
    lines += [form.cells(row, has_sold=has_sold, is_total=row is report.total) for row in listed]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    used = sum(widths) + len(_BETWEEN) * len(widths)
    bar = _Bar(found, screen, used)
    for cells, row in zip(lines, [None, *listed], strict=True):
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)]
        padded += [cells[-1].ljust(widths[-1]), "" if row in (None, report.total) else bar.of(row)]
        yield _BETWEEN.join(padded).rstrip() + "\n"
    yield from gap_lines(report.gaps, zone)


class _Form:
    """How the fields of a row are written.

    Args:
        by: what a row covers.
        zone: the local time zone.
        has_offset: whether labels have the offset, as an hour of the wall comes twice.
    """

    def __init__(self, by: By, zone: tzinfo, *, has_offset: bool) -> None:
        self._by, self._zone, self._has_offset = by, zone, has_offset

    def head(self, *, has_sold: bool) -> list[str]:
        sold = ["sold kWh"] if has_sold else []
        return [self._by.value, "bought kWh", *sold, "peak half-hour", "missing", ""]

    def cells(self, row: Row, *, has_sold: bool, is_total: bool) -> list[str]:
        label = "total" if is_total else self._label(row)
        sold = [_kwh(row.sold)] if has_sold else []
        notes = "" if is_total and row.state is not State.GAP else self._notes(row)
        return [
            label,
            _kwh(row.bought),
            *sold,
            self._peak(row, has_date=is_total),
            str(row.missing),
            notes,
        ]

    def _label(self, row: Row) -> str:
        start = local(row.period.start_ms, self._zone)
        if self._by not in _SHORT:
            return start.strftime(_LABELS[self._by])
        return f"{start:{_MINUTE}%z}" if self._has_offset else written(start)

    def _peak(self, row: Row, *, has_date: bool) -> str:
        if row.peak is None:
            return ""
        at = local(row.peak.start_ms, self._zone)
        return f"{plain(row.peak.kwh)} at {written(at, _NO_YEAR) if has_date else self._short(at)}"

    def _short(self, at: datetime) -> str:
        return written(at, _NO_YEAR if self._by is By.MONTH else "%H:%M")

    def _notes(self, row: Row) -> str:
        words = {State.PARTIAL: "partial", State.GAP: "gap", State.RUNNING: "so far"}
        notes = [words[row.state]] if row.state in words else []
        if row.missing_sold not in (None, row.missing):
            notes.append(f"sold: {row.missing_sold} missing")
        start, end = (local(ms, self._zone) for ms in (row.period.start_ms, row.period.end_ms))
        if row.period.is_cut and not self._is_boundary(start):
            notes.append(f"from {self._short(start)}")
        if row.period.is_cut and not self._is_boundary(end):
            notes.append(f"until {self._short(end)}")
        return ", ".join(notes)

    def _is_boundary(self, at: datetime) -> bool:
        if at.minute % (30 if self._by is By.HALF_HOUR else 60) or at.second:
            return False
        return self._by in _SHORT or (not at.hour and (self._by is By.DAY or at.day == 1))


class _Bar:
    """A bar for each row, as long as its share of the largest."""

    def __init__(self, rows: list[Row], screen: Screen | None, used: int) -> None:
        room = 0 if screen is None else screen.columns - used
        self._width = min(room, BAR_MAX) if room >= BAR_MIN else 0
        self._has_blocks = screen is not None and screen.has_blocks
        self._largest = max((row.bought for row in rows if row.bought is not None), default=None)

    def of(self, row: Row | None) -> str:
        if row is None or row.bought is None or not self._largest:
            return ""
        eighths = int(row.bought / self._largest * self._width * 8)
        if not self._has_blocks:
            return "#" * (eighths // 8)
        return _BLOCKS[8] * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _kwh(value: Decimal | None) -> str:
    return UNKNOWN if value is None else plain(value)


def gap_lines(gaps: Sequence[Gap], zone: tzinfo) -> Iterator[str]:
    """Yield a line for each gap up to a bound, behind an empty one."""
    if gaps:
        yield "\n"
    for gap in gaps[:GAPS_SHOWN]:
        start, end = (local(ms, zone) for ms in (gap.start_ms, gap.end_ms))
        shown_end = written(end, "%H:%M" if end.date() == start.date() else _MINUTE)
        count = counted(gap.half_hours, "half-hour")
        if gap.is_other_meter:
            what = "the register is another one since then: a new meter?"
        elif gap.kwh is not None:
            what = f"{plain(gap.kwh)} kWh in all"
        else:
            what = "nothing known"
        yield f"missing: {written(start)} to {shown_end}, {count}, {what}\n"
    if len(gaps) > GAPS_SHOWN:
        yield f"missing: {len(gaps) - GAPS_SHOWN} more times; --by hour shows where\n"
