"""Rows of the tables `readings` and `summaries` as the objects that the rest of kei uses.

Numbers are stored as whole ten-thousandths, so that sums are exact. In statements `r` is the row of
one of the two tables, and `s` that of its series.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from kei.core.reading import (
    MAX_PLACES,
    Completeness,
    Reading,
    Summary,
    plain,
    to_places,
    trimmed,
)
from kei.settings.upload import What

Stored: TypeAlias = int | str  # a number: ten-thousandths; decimal text if it is too large
READING_COLUMNS = "r.id, r.time_ms, s.unit, s.sensor, r.value, s.places, r.data_id"
ReadingRow: TypeAlias = tuple[int, int, str, str, Stored, int, str]
SUMMARY_COLUMNS = (
    "r.id, r.start_ms, s.unit, s.sensor, r.average, r.minimum, r.maximum, s.places,"
    " r.count, r.state"
)
SummaryRow: TypeAlias = tuple[int, int, str, str, Stored, Stored, Stored, int, int, str]
_INT64_MIN = -(2**63)  # SQLite's INTEGER, https://www.sqlite.org/datatype3.html
_INT64_MAX = 2**63 - 1


def places_of(value: Decimal) -> int:
    """Return with how many decimals a number is written, 0 to 4."""
    exponent = to_places(value).as_tuple().exponent
    assert isinstance(exponent, int), "not a finite number"
    return -exponent


def scaled(value: Decimal) -> int:
    """Return a number of at most 4 decimals as ten-thousandths, exact however large it is."""
    text = plain(value)
    _, _, decimals = text.partition(".")
    missing = "0" * (MAX_PLACES - len(decimals))
    return int(text.replace(".", "") + missing)


def unscaled(number: int, places: int) -> Decimal:
    """Return ten-thousandths as a number with so many decimals, which have to suffice."""
    return Decimal(f"{number // 10 ** (MAX_PLACES - places)}E-{places}")


def pack(value: Decimal) -> Stored:
    """Return what is stored for a finite number: ten-thousandths; decimal text if too large."""
    number = scaled(value)
    return number if _INT64_MIN <= number <= _INT64_MAX else plain(value)


def unpack(stored: Stored, places: int) -> Decimal:
    """Return the number of a stored value (`pack`), with so many decimals."""
    return unscaled(stored, places) if isinstance(stored, int) else Decimal(stored)


def packed_as_scaled(stored: Stored) -> int:
    """Return the ten-thousandths of a stored value."""
    return stored if isinstance(stored, int) else scaled(Decimal(stored))


@dataclass(frozen=True, slots=True)
class Row:
    """A reading or summary with its ID.

    Attributes:
        id: grows in the order of recording; IDs of readings and of summaries are separate.
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


@dataclass(frozen=True, slots=True)
class Table:
    """One of the two tables.

    Attributes:
        name: of the table.
        time: its column with the time, milliseconds since 1970.
        columns: what to select for `item_of`.
        item_of: returns the reading or summary of these columns.
    """

    name: str
    time: str
    columns: str
    item_of: Callable[..., Reading | Summary]


TABLES = {
    What.READINGS: Table("readings", "time_ms", READING_COLUMNS, reading_of),
    What.SUMMARY: Table("summaries", "start_ms", SUMMARY_COLUMNS, summary_of),
}


def rows_of(what: What, found: Iterable[Sequence[Any]]) -> list[Row]:
    """Return the rows that a statement found which selects the columns of their table."""
    return [Row(columns[0], TABLES[what].item_of(columns)) for columns in found]
