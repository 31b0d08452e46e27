"""The energy of a range as JSON, the document of `kei energy --format json`, and its fields."""

from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import TypeAlias

from kei.core.clock import local
from kei.core.exact_json import encoded
from kei.energy.periods import By
from kei.energy.report import Gap, Report, Row

Value: TypeAlias = str | int | Decimal | None
COLUMNS = (
    *("start", "end", "bought_kwh", "sold_kwh", "state"),
    *("missing", "missing_sold", "peak_kwh", "peak_start"),
)


def document(by: By, rows: Iterator[Row], report: Report, zone: tzinfo) -> Iterator[str]:
    """Yield one object in pieces, a row each, with exact numbers.

    Args:
        by: what a row covers.
        rows: of the report, which are taken here.
        report: has the gaps when they have been taken.
        zone: the local time zone.
    """
    yield f'{{"by": {encoded(by.value)}, "rows": ['
    between = "\n"
    for row in rows:
        yield between + encoded(fields(row, zone))
        between = ",\n"
    yield '\n], "gaps": ['
    yield ",".join(f"\n{encoded(_of_gap(gap, zone))}" for gap in report.gaps)
    assert report.total is not None, "all rows have been taken"
    yield f'\n], "total": {encoded(fields(report.total, zone))}}}\n'


def fields(row: Row, zone: tzinfo) -> dict[str, Value]:
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


def _of_gap(gap: Gap, zone: tzinfo) -> dict[str, Value]:
    return {
        "from": _time(gap.start_ms, zone),
        "to": _time(gap.end_ms, zone),
        "half_hours": gap.half_hours,
        "bought_kwh": gap.kwh,
        "other_meter": gap.is_other_meter,
    }


def _time(time_ms: int, zone: tzinfo) -> str:
    return local(time_ms, zone).isoformat()
