"""`kei energy`: kWh bought and sold by hours, days or months, as a table, CSV or JSON."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from kei import config
from kei.commands import times
from kei.commands.energy_table import Screen, table
from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import ConfigError
from kei.core.reading import Reading, plain
from kei.echonet.meter_class import COEFFICIENT_WHERE_ABSENT, YEARS
from kei.energy.periods import By, Period, periods
from kei.energy.registers import HALF_HOUR_MS, Registers, range_kwh
from kei.energy.report import Gap, Report, Row
from kei.settings.config import Config
from kei.store import half_hours
from kei.store.text import DailyFile

ROWS_MAX = 100_000  # of one report, eleven years of hours
UNIT_WHERE_ABSENT = "BR"  # of a jobs.toml whose [broute] has been removed
BOUGHT, SOLD = "EA", "EB"
_DIGITS, _COEFFICIENT, _UNIT = "D7", "D3", "E1"
# The meter sends its registers within 5 minutes of :00 and :30 (ECHONET AIF low-voltage smart
# electric energy meter & HEMS controller, 3.2.1); then a controller asks for them.
LATE_MS = 600_000

DIGITS = range(1, 9)  # of a counter, as the table of class 0x0288 has it for EPC D7

COLUMNS = (
    *("start", "end", "bought_kwh", "sold_kwh", "state"),
    *("missing", "missing_sold", "peak_kwh", "peak_start"),
)
_Value: TypeAlias = str | int | Decimal | None


class Form(StrEnum):
    """The format of the report."""

    TABLE = "table"  # for a person
    CSV = "csv"  # with the names of the columns first
    JSON = "json"  # one object


@dataclass(frozen=True, slots=True)
class Selection:
    """The arguments of the command.

    Attributes:
        begin: a day or a time as `kei.commands.times` reads it.
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
    recorded = _Recorded(config.load(path, environ=environ, with_secrets=False), clock.zone)
    now_ms = max(clock.now_ms(), recorded.newest_ms)
    whole, expected = _range(span, selection.by, now_ms, clock.zone)
    _tell_of(whole, clock.zone, tell)
    report = Report(whole, until_ms=now_ms - LATE_MS, now_ms=now_ms, range_=recorded.range_kwh)
    rows = report.rows(expected, recorded.registers(whole))
    match selection.form:
        case Form.CSV:
            yield _csv_line(COLUMNS)
            for row in rows:
                yield _csv_line([_text(value) for value in _values(row, clock.zone).values()])
        case Form.JSON:
            yield from _json(selection.by, rows, report, clock.zone)
        case Form.TABLE:
            yield from table(rows, report, selection.by, selection.screen, clock.zone)
    if not recorded.has_registers:
        tell(f"note: no {BOUGHT} of {recorded.unit}, the half-hour register, was ever recorded")


class _Recorded:
    """What kei has recorded of the meter."""

    def __init__(self, settings: Config, zone: tzinfo) -> None:
        recorder, broute = settings.recorder, settings.broute
        self.unit = UNIT_WHERE_ABSENT if broute is None else broute.unit
        self._database = recorder.database
        self._text = DailyFile(recorder.directory, recorder.fname_base, "", zone)
        self._last = half_hours.newest(self._database, self._text, self.unit)
        self._unit_where_absent = None if broute is None else broute.energy_unit

    @property
    def has_registers(self) -> bool:
        """Whether there is any register."""
        return BOUGHT in self._last

    @property
    def newest_ms(self) -> int:
        """The time of the register that was recorded last: this machine's clock may be behind."""
        last = (self._last.get(sensor) for sensor in (BOUGHT, SOLD))
        return max((reading.time_ms for reading in last if reading is not None), default=0)

    @property
    def range_kwh(self) -> Decimal | None:
        """At how many kWh the registers begin again at 0; None if the meter has not told."""
        digits, unit = self._value(_DIGITS), self._value(_UNIT) or self._unit_where_absent
        if digits is None or digits not in DIGITS or unit is None:
            return None
        coefficient = self._value(_COEFFICIENT) or Decimal(COEFFICIENT_WHERE_ABSENT)
        return range_kwh(digits, coefficient, unit)

    def _value(self, sensor: str) -> Decimal | None:
        reading: Reading | None = self._last.get(sensor)
        return None if reading is None else reading.value

    def registers(self, whole: Period) -> Iterator[Registers]:
        """Yield the registers of a range, that at its end included."""
        within = (whole.first_ms, whole.last_ms)
        for time_ms, values in half_hours.at_half_hours(
            self._database, self._text, *within, self.unit, (BOUGHT, SOLD)
        ):
            yield Registers(time_ms, values.get(BOUGHT), values.get(SOLD))


def _range(
    span: tuple[int, int], by: By, now_ms: int, zone: tzinfo
) -> tuple[Period, Iterator[Period]]:
    """Return the range and its periods, without those that lie in the future; ConfigError."""
    from_ms, to_ms = span
    if from_ms < epoch_ms(datetime(YEARS.start, 1, 1, tzinfo=zone)):
        raise ConfigError([f"--from: there was no smart meter before {YEARS.start}"])
    hours = (min(to_ms, now_ms) - from_ms) // (2 * HALF_HOUR_MS)
    if by is By.HOUR and hours > ROWS_MAX:
        raise ConfigError(
            [f"--by hour: that is {hours} rows; choose a range of at most {ROWS_MAX}, or --by day"]
        )
    if from_ms >= now_ms:
        return Period(0, 0), iter(())
    expected = takewhile(lambda each: each.start_ms < now_ms, periods(from_ms, to_ms, by, zone))
    if now_ms < to_ms:  # up to the end of the row that holds the present
        to_ms = next(periods(now_ms, to_ms, by, zone)).end_ms
    return Period(from_ms, to_ms), expected


def _tell_of(whole: Period, zone: tzinfo, tell: Callable[[str], None]) -> None:
    """Tell where half-hours reach over the range, and in a zone such as +05:45 over every row."""
    if (whole.first_ms, whole.last_ms) == (whole.start_ms, whole.end_ms):
        return
    start, end = (f"{local(ms, zone):%Y-%m-%d %H:%M}" for ms in (whole.first_ms, whole.last_ms))
    tell(f"note: half-hours of the meter count where they begin: this is from {start} to {end}")


def _csv_line(fields: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue()


def _json(by: By, rows: Iterator[Row], report: Report, zone: tzinfo) -> Iterator[str]:
    """Yield one object, put together by hand: json.dumps would convert a Decimal to a float."""
    yield f'{{"by": {json.dumps(by.value)}, "rows": ['
    between = "\n"
    for row in rows:
        yield between + _object(_values(row, zone))
        between = ",\n"
    yield '\n], "gaps": ['
    yield ",".join(f"\n{_object(_of_gap(gap, zone))}" for gap in report.gaps)
    yield "\n]}\n"


def _values(row: Row, zone: tzinfo) -> dict[str, _Value]:
    """Return the fields of a row by the names of `COLUMNS`."""
    peak = row.peak
    return {
        "start": _time(row.period.start_ms, zone),
        "end": _time(row.period.end_ms, zone),
        "bought_kwh": row.bought,
        "sold_kwh": row.sold,
        "state": row.state.value,
        "missing": row.missing,
        "missing_sold": row.missing_sold,
        "peak_kwh": None if peak is None else peak.kwh,
        "peak_start": None if peak is None else _time(peak.start_ms, zone),
    }


def _of_gap(gap: Gap, zone: tzinfo) -> dict[str, _Value]:
    return {
        "from": _time(gap.start_ms, zone),
        "to": _time(gap.end_ms, zone),
        "half_hours": gap.half_hours,
        "bought_kwh": gap.kwh,
        "other_meter": gap.is_other_meter,
    }


def _object(values: Mapping[str, _Value]) -> str:
    texts = (
        f"{json.dumps(name)}: {plain(value) if isinstance(value, Decimal) else json.dumps(value)}"
        for name, value in values.items()
    )
    return "{" + ", ".join(texts) + "}"


def _text(value: _Value) -> str:
    """Return a field of CSV; what is not known is empty."""
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None else str(value)


def _time(time_ms: int, zone: tzinfo) -> str:
    return local(time_ms, zone).isoformat()
