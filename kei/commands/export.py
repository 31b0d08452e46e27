"""`kei export`: the readings or summaries of a range of time, as CSV or JSON lines."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.commands.csv_line import csv_line
from kei.core import times
from kei.core.clock import Clock, local
from kei.core.errors import ConfigError
from kei.core.reading import Reading, Summary, plain
from kei.store import read_only
from kei.store.read_only import Query
from kei.store.text import DailyFile

READING_COLUMNS = ("time", "unit", "sensor", "value", "id")
SUMMARY_COLUMNS = ("time", "unit", "sensor", "average", "min", "max", "count", "state")
NAMES_SHOWN = 20  # of series, in a message


class Form(StrEnum):
    """The format of the lines."""

    CSV = "csv"  # with the names of the columns first
    JSONL = "jsonl"  # one object a line


@dataclass(frozen=True, slots=True)
class Selection:
    """The arguments of the command.

    Attributes:
        begin: a day or a time as `kei.core.times` reads it; None with `pending` only.
        end: a day, which is included, or a time, which is not; None as above.
        unit: UnitID; None for all.
        sensor: SensorID; None for all.
        summary: whether to export summaries instead of readings.
        pending: whether to export the readings that have no line yet, whatever their time.
        form: of the lines.
    """

    begin: str | None
    end: str | None
    unit: str | None
    sensor: str | None
    summary: bool
    form: Form
    pending: bool = False


def export(
    path: Path,
    selection: Selection,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    tell: Callable[[str], None],
) -> Iterator[str]:
    """Yield lines with their ends, the oldest first; times are RFC 3339 with the offset.

    Args:
        path: jobs.toml; its database is read.
        selection: the arguments.
        environ: the environment.
        clock: for today and the local time zone.
        tell: takes a line for a person, of names that were not found.

    Raises:
        ConfigError: the file does not validate, or a day or time is malformed.
        StoreError: there is no database, or it cannot be read.
    """
    span = None if selection.pending else _span(selection, clock)
    recorder = config.load(path, environ=environ, with_secrets=False).recorder
    database = recorder.database
    text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
    unit, sensor = _series(read_only.series(database, text), selection, tell)
    items: Iterator[Reading] | Iterator[Summary]
    if span is None:
        items = read_only.pending_readings(database, unit, sensor)
    elif selection.summary:
        items = read_only.summaries(database, Query(*span, unit, sensor))
    else:
        items = read_only.readings(database, text, Query(*span, unit, sensor))
    has_windows = selection.summary and not selection.pending
    columns = SUMMARY_COLUMNS if has_windows else READING_COLUMNS
    if selection.form is Form.CSV:
        yield csv_line(columns)
    for item in items:
        if selection.form is Form.CSV:
            yield csv_line((_time(item, clock.zone), *_values(item)))
        else:
            yield _json_line(columns, item, clock.zone)


def _span(selection: Selection, clock: Clock) -> tuple[int, int]:
    """Return the range of time, milliseconds since 1970 in UTC; ConfigError."""
    if selection.begin is None or selection.end is None:
        raise ConfigError(["kei export: needs --from D and --to D, or --pending"])
    return times.span(selection.begin, selection.end, clock)


def _series(
    known: Collection[tuple[str, str]], selection: Selection, tell: Callable[[str], None]
) -> tuple[str | None, str | None]:
    """Return unit and sensor as they were recorded: `e7` means E7, if there is no e7."""
    unit = _recorded("--unit", selection.unit, {unit for unit, _ in known}, tell)
    sensors = {name for of_unit, name in known if unit in {None, of_unit}}
    return unit, _recorded("--sensor", selection.sensor, sensors, tell)


def _recorded(
    option: str, wanted: str | None, known: Collection[str], tell: Callable[[str], None]
) -> str | None:
    if wanted is None or wanted in known:
        return wanted
    alike = [name for name in known if name.lower() == wanted.lower()]
    if len(alike) == 1:
        return alike[0]
    there = ", ".join(sorted(alike or known)[:NAMES_SHOWN]) or "nothing yet"
    tell(f"note: {option} {wanted}: nothing of this name was recorded; there is: {there}")
    return wanted


def _json_line(columns: tuple[str, ...], item: Reading | Summary, zone: tzinfo) -> str:
    """Return the object, put together by hand: json.dumps would convert a Decimal to a float."""
    texts = [json.dumps(_time(item, zone))]
    texts += [plain(v) if isinstance(v, Decimal) else json.dumps(v) for v in _values(item)]
    pairs = (f'"{name}": {text}' for name, text in zip(columns, texts, strict=True))
    return "{" + ", ".join(pairs) + "}\n"


def _time(item: Reading | Summary, zone: tzinfo) -> str:
    time_ms = item.time_ms if isinstance(item, Reading) else item.start_ms
    return local(time_ms, zone).isoformat(timespec="milliseconds")


def _values(item: Reading | Summary) -> tuple[str | int | Decimal, ...]:
    """Return the values of the columns behind the time."""
    if isinstance(item, Reading):
        return item.unit, item.sensor, item.value, item.data_id
    numbers = (item.average, item.minimum, item.maximum, item.count)
    return item.unit, item.sensor, *numbers, item.state.value
