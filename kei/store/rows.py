"""Rows of the tables `readings` and `summaries` as the objects that the rest of kei uses.

In statements `r` is the row of one of the two tables, and `s` that of its series. Decimal numbers
are stored as whole ten-thousandths, so that sums are exact.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

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

if TYPE_CHECKING:
    import sqlite3  # not loaded by who only writes rows in the format of a server

_INT64_MIN = -(2**63)  # SQLite's INTEGER, https://www.sqlite.org/datatype3.html
_INT64_MAX = 2**63 - 1
Stored: TypeAlias = int | str  # a number, see `pack`
READING_COLUMNS = "r.id, r.time_ms, s.unit, s.sensor, r.value, s.places, r.data_id, r.recovered"
ReadingRow: TypeAlias = tuple[int, int, str, str, Stored, int, str, int]
SUMMARY_COLUMNS = (
    "r.id, r.start_ms, s.unit, s.sensor, r.average, r.minimum, r.maximum, s.places,"
    " r.count, r.state, r.recovered"
)
SummaryRow: TypeAlias = tuple[int, int, str, str, Stored, Stored, Stored, int, int, str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """A reading or summary with its ID.

    Attributes:
        id: grows in the order of recording; IDs of readings and of summaries are separate.
        item: the reading or summary.
    """

    id: int
    item: Reading | Summary


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


def reading_of(row: ReadingRow) -> Reading:
    """Return the reading of a row."""
    _, time_ms, unit, sensor, value, places, data_id, recovered = row
    number = unpack(value, places)
    return Reading(time_ms, unit, sensor, number, data_id, recovered=bool(recovered))


def summary_of(row: SummaryRow) -> Summary:
    """Return the summary of a row."""
    _, start_ms, unit, sensor, average, minimum, maximum, places, count, state, recovered = row
    return Summary(
        start_ms,
        unit,
        sensor,
        average=trimmed(unpack(average, MAX_PLACES)),
        minimum=unpack(minimum, places),
        maximum=unpack(maximum, places),
        count=count,
        state=Completeness(state),
        recovered=bool(recovered),
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


def newest_id(connection: "sqlite3.Connection", what: What = What.READINGS) -> int:
    """Return the ID of the newest reading or summary, 0 if there never was one."""
    row: tuple[int | None] = connection.execute(
        f"SELECT max(id) FROM {TABLES[what].name}"
    ).fetchone()
    return row[0] or 0


def rows_of(what: What, found: Iterable[Sequence[Any]]) -> list[Row]:
    """Return the rows that a statement found which selects the columns of their table."""
    return [Row(columns[0], TABLES[what].item_of(columns)) for columns in found]
