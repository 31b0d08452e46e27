"""`kei energy`: kWh bought and sold by hours, days or months, as a table, CSV or JSON."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.commands.csv_line import csv_line
from kei.commands.energy_table import Screen, table
from kei.core import times
from kei.core.clock import Clock, local
from kei.energy.document import COLUMNS, document, fields
from kei.energy.periods import By, Period
from kei.meter.recorded import BOUGHT, RecordedMeter


class Form(StrEnum):
    """The format of the report."""

    TABLE = "table"  # for a person
    CSV = "csv"  # with the names of the columns first
    JSON = "json"  # one object


@dataclass(frozen=True, slots=True)
class Selection:
    """The arguments of the command.

    Attributes:
        begin: a day or a time as `kei.core.times` reads it.
        end: a day, which is included, or a time, which is not.
        by: what a row covers.
        form: of the report.
        screen: the terminal that a table is for; None if it is for no terminal.
    """

    begin: str
    end: str
    by: By = By.DAY
    form: Form = Form.TABLE
    screen: Screen | None = None


def energy(
    path: Path,
    selection: Selection,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    tell: Callable[[str], None],
) -> Iterator[str]:
    """Yield the report in pieces, each with its line end.

    Args:
        path: jobs.toml; its database is read.
        selection: the arguments.
        environ: the environment.
        clock: for the present and the local time zone.
        tell: takes a line for a person, of what is special about the range.

    Raises:
        ConfigError: the file does not validate, or a day or time is wrong.
        StoreError: there is no database, or it cannot be read.
    """
    span = times.span(selection.begin, selection.end, clock)
    meter = RecordedMeter(config.load(path, environ=environ, with_secrets=False), clock.zone)
    report, rows = meter.report(*span, selection.by, clock.now_ms())
    _tell_of(report.whole, clock.zone, tell)
    match selection.form:
        case Form.CSV:
            yield csv_line(COLUMNS)
            for row in rows:
                yield csv_line(fields(row, clock.zone).values())
        case Form.JSON:
            yield from document(selection.by, rows, report, clock.zone)
        case Form.TABLE:
            yield from table(rows, report, selection.by, selection.screen, clock.zone)
    if not meter.has_registers:
        tell(f"note: no {BOUGHT} of {meter.unit}, the half-hour register, was ever recorded")


def _tell_of(whole: Period, zone: tzinfo, tell: Callable[[str], None]) -> None:
    """Tell where half-hours reach over the range, and in a zone such as +05:45 over every row."""
    if (whole.first_ms, whole.last_ms) == (whole.start_ms, whole.end_ms):
        return
    start, end = (times.written(local(ms, zone)) for ms in (whole.first_ms, whole.last_ms))
    tell(f"note: half-hours of the meter count where they begin: this is from {start} to {end}")
