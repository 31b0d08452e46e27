"""Rows of the database as the objects that the rest of kei knows."""

from dataclasses import dataclass
from typing import TypeAlias

from kei.core.reading import MAX_PLACES, Completeness, Reading, Summary, trimmed
from kei.store.numbers import unpack

Stored: TypeAlias = int | str
READING_COLUMNS = "r.id, r.time_ms, s.unit, s.sensor, r.value, s.places, r.data_id"
ReadingRow: TypeAlias = tuple[int, int, str, str, Stored, int, str]
SUMMARY_COLUMNS = (
    "m.id, m.start_ms, s.unit, s.sensor, m.average, m.minimum, m.maximum, s.places,"
    " m.count, m.state"
)
SummaryRow: TypeAlias = tuple[int, int, str, str, Stored, Stored, Stored, int, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A reading or summary and its place in the order.

    Attributes:
        id: grows in the order of recording; ids of readings and of summaries are separate.
        item: the reading or summary.
    """

    id: int
    item: Reading | Summary


def reading_of(row: ReadingRow) -> Reading:
    """Return the reading of a row."""
    _, time_ms, unit, sensor, value, places, data_id = row
    return Reading(time_ms, unit, sensor, unpack(value, places), data_id)


def summary_of(row: SummaryRow) -> Summary:
    """Return the summary of a row."""
    _, start_ms, unit, sensor, average, minimum, maximum, places, count, state = row
    return Summary(
        start_ms,
        unit,
        sensor,
        average=trimmed(unpack(average, MAX_PLACES)),
        minimum=unpack(minimum, places),
        maximum=unpack(maximum, places),
        count=count,
        state=Completeness(state),
    )
