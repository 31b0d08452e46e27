"""`kei export`: the readings or summaries of a range of time, as CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from kei import config
from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import ConfigError
from kei.core.reading import Reading, Summary, plain
from kei.store import extract
from kei.store.extract import Query
from kei.store.text import DailyFile

READING_COLUMNS = ("time", "unit", "sensor", "value", "id")
SUMMARY_COLUMNS = ("time", "unit", "sensor", "average", "min", "max", "count", "state")


class Form(StrEnum):
    """The format of the lines."""

    CSV = "csv"  # with the names of the columns first; local time as in the daily files
    JSONL = "jsonl"  # one object a line; RFC 3339 times


@dataclass(frozen=True, slots=True)
class Selection:
    """The arguments of the command.

    Attributes:
        begin: a day or a local time; None with `pending` only.
        end: a day, which is included, or a local time, which is not; None as above.
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
    path: Path, selection: Selection, *, environ: Mapping[str, str], clock: Clock
) -> Iterator[str]:
    """Yield lines with their ends, the oldest first.

    Args:
        path: jobs.toml; its database is read.
        selection: the arguments.
        environ: the environment.
        clock: for the local time zone.

    Raises:
        ConfigError: the file does not validate, or a day or time is malformed.
        StoreError: there is no database, or it cannot be read.
    """
    query = None if selection.pending else _query(selection, clock.zone)
    recorder = config.load(path, environ=environ, with_secrets=False).recorder
    items: Iterator[Reading] | Iterator[Summary]
    if query is None:
        items = extract.pending_readings(recorder.database, selection.unit, selection.sensor)
    elif selection.summary:
        items = extract.summaries(recorder.database, query)
    else:
        text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
        items = extract.readings(recorder.database, text, query)
    has_windows = selection.summary and not selection.pending
    columns = SUMMARY_COLUMNS if has_windows else READING_COLUMNS
    if selection.form is Form.JSONL:
        for item in items:
            yield _json_line(columns, item, clock.zone)
        return
    yield _csv_line(columns)
    for item in items:
        yield _csv_line(_csv_fields(item, clock.zone))


def _query(selection: Selection, zone: tzinfo) -> Query:
    """Return what the arguments ask for; ConfigError."""
    if selection.begin is None or selection.end is None:
        raise ConfigError(["kei export: needs --from D and --to D, or --pending"])
    query = Query(
        _instant("--from", selection.begin, zone, days=0),
        _instant("--to", selection.end, zone, days=1),
        selection.unit,
        selection.sensor,
    )
    if query.to_ms <= query.from_ms:
        raise ConfigError([f"--to {selection.end}: lies before --from {selection.begin}"])
    return query


def _instant(option: str, text: str, zone: tzinfo, *, days: int) -> int:
    """Return the instant of a local time, or the beginning of the day `days` after a day."""
    written = text.replace("/", "-")
    try:
        if len(written) <= len("YYYY-MM-DD"):
            day = date.fromisoformat(written) + timedelta(days=days)
            return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=zone))
        moment = datetime.fromisoformat(written)
        return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        example = "write 2026-11-23, or 2026-11-23T07:30"
        raise ConfigError([f"{option} {text}: is no day and no time; {example}"]) from None


def _csv_fields(item: Reading | Summary, zone: tzinfo) -> tuple[str, ...]:
    if isinstance(item, Reading):
        moment = local(item.time_ms, zone).strftime("%Y/%m/%d %H:%M:%S")
    else:
        moment = local(item.start_ms, zone).strftime("%Y/%m/%d %H:%M")
    values = (plain(each) if isinstance(each, Decimal) else str(each) for each in _values(item))
    return (moment, *values)


def _csv_line(fields: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue()


def _json_line(columns: tuple[str, ...], item: Reading | Summary, zone: tzinfo) -> str:
    """Return the object, put together by hand: json.dumps would convert a Decimal to a float."""
    time_ms = item.time_ms if isinstance(item, Reading) else item.start_ms
    texts = [json.dumps(local(time_ms, zone).isoformat(timespec="milliseconds"))]
    texts += [plain(v) if isinstance(v, Decimal) else json.dumps(v) for v in _values(item)]
    pairs = (f'"{name}": {text}' for name, text in zip(columns, texts, strict=True))
    return "{" + ", ".join(pairs) + "}\n"


def _values(item: Reading | Summary) -> tuple[str | int | Decimal, ...]:
    """Return the values of the columns behind the time."""
    if isinstance(item, Reading):
        return item.unit, item.sensor, item.value, item.data_id
    numbers = (item.average, item.minimum, item.maximum, item.count)
    return item.unit, item.sensor, *numbers, item.state.value
