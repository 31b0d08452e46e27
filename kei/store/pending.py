"""The table `pending`: readings that have no line in the text yet.

They wait for the clock, or for a text file that can be written. Only the recorder, recovery and
what shows them to a person read this table: uploads, averages and pruning cannot see it.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from kei.core.reading import Reading, plain
from kei.store.database import Database
from kei.timekeeping.gate import Trust


@dataclass(slots=True)
class Item:
    """A reading on its way to the text.

    Attributes:
        reading: with the time by the wall clock of the moment when it was made.
        offset_ms: wall clock minus monotonic clock at that moment; None if the time does not depend
            on this machine's clock, or on the clock of another boot.
        trust: of that setting, as far as it was known when it was saved.
        id: in the table; None if it is not there.
    """

    reading: Reading
    offset_ms: int | None
    trust: Trust = Trust.UNSURE
    id: int | None = None

    def at(self, time_ms: int) -> Reading:
        """Return the reading with another time."""
        if time_ms == self.reading.time_ms:
            return self.reading
        return replace(self.reading, time_ms=time_ms)


_COLUMNS = "id, time_ms, monotonic_ms, boot, trust, unit, sensor, value, data_id, recovered"


def add(connection: sqlite3.Connection, items: Iterable[Item], boot: str) -> None:
    """Add readings, in a transaction; `boot` is the present one, of their monotonic times."""
    connection.executemany(
        "INSERT INTO pending"
        " (time_ms, monotonic_ms, boot, trust, unit, sensor, value, data_id, recovered)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_row(item, boot) for item in items],
    )


def check(item: Item) -> None:
    """Raise whatever speaks against saving a reading in the table."""
    _row(item, "")


def _row(item: Item, boot: str) -> tuple[object, ...]:
    reading, offset = item.reading, item.offset_ms
    monotonic_ms = None if offset is None else reading.time_ms - offset
    for number in (reading.time_ms, monotonic_ms or 0):
        number.to_bytes(8, "big", signed=True)  # SQLite's INTEGER
    texts = (reading.unit, reading.sensor, plain(reading.value), reading.data_id)
    for text in texts:
        text.encode()
    return (reading.time_ms, monotonic_ms, boot, int(item.trust), *texts, reading.recovered)


def load(connection: sqlite3.Connection, limit: int, boot: str) -> list[Item]:
    """Return the first readings, in the order in which they came.

    The monotonic time of another boot says nothing: those keep the time that they have.
    """
    rows = connection.execute(f"SELECT {_COLUMNS} FROM pending ORDER BY id LIMIT ?", (limit,))
    return [_item(row, boot) for row in rows]


def _item(row: Sequence[object], boot: str) -> Item:
    id_, time_ms, monotonic_ms, of_boot, trust, *texts, recovered = row
    unit, sensor, value, data_id = map(str, texts)
    assert isinstance(id_, int)
    assert isinstance(time_ms, int)
    assert isinstance(trust, int)
    offset = time_ms - int(str(monotonic_ms)) if monotonic_ms is not None else None
    reading = Reading(time_ms, unit, sensor, Decimal(value), data_id, recovered=bool(recovered))
    return Item(reading, offset if boot and of_boot == boot else None, Trust(trust), id_)


def prepare(
    connection: sqlite3.Connection, before: Iterable[int], lines: Iterable[tuple[int, int]]
) -> None:
    """Save which lines are about to be appended, in the transaction that says from where on.

    Args:
        connection: of that transaction.
        before: IDs for which this was saved last, as far as it did not come to that.
        lines: ID and time (ms) of each line.
    """
    connection.executemany(
        "UPDATE pending SET line_ms = NULL WHERE id = ?", [(id_,) for id_ in before]
    )
    connection.executemany(
        "UPDATE pending SET line_ms = ? WHERE id = ?", [(time_ms, id_) for id_, time_ms in lines]
    )


def prepared(connection: sqlite3.Connection) -> list[tuple[int, Reading]]:
    """Return ID and reading of those lines that were about to be appended, or have been."""
    rows = connection.execute(f"SELECT {_COLUMNS}, line_ms FROM pending WHERE line_ms IS NOT NULL")
    return [(row[0], _item(row[:-1], "").at(row[-1])) for row in rows.fetchall()]


def forget_prepared(connection: sqlite3.Connection) -> None:
    """Save that none of the lines that were about to be appended is in the text."""
    connection.execute("UPDATE pending SET line_ms = NULL WHERE line_ms IS NOT NULL")


def remove(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Remove readings, in the transaction that makes them rows of `readings`."""
    connection.executemany("DELETE FROM pending WHERE id = ?", [(id_,) for id_ in ids])


def readings(connection: sqlite3.Connection) -> list[Reading]:
    """Return all of them, with the times that the clock showed, in the order in which they came."""
    return [item.reading for item in load(connection, -1, "")]


class PendingQueue:
    """The table, and how far the lines of its readings have come. Raises `StoreError`.

    Args:
        database: where the table is.
        boot: name of the present boot of the machine.

    Attributes:
        count: of readings without a line; None while that is unknown.
    """

    def __init__(self, database: Database, boot: str) -> None:
        self._database = database
        self._boot = boot
        self.count: int | None = None
        self._settled: set[int] = set()  # IDs to be removed with the next commit
        self._prepared: list[int] = []  # IDs whose lines are about to be appended

    @property
    def is_changed(self) -> bool:
        """Whether there are readings to be removed."""
        return bool(self._settled)

    def reset(self) -> None:
        """Begin anew after recovery."""
        with self._database.access() as connection:
            self.count = connection.execute("SELECT count(*) FROM pending").fetchone()[0]
        self._settled, self._prepared = set(), []

    def next_items(self, limit: int) -> list[Item]:
        """Return the first readings without a line."""
        # Not those behind the last ID: SQLite gives it again once the table is empty.
        with self._database.access() as connection:
            found = load(connection, limit + len(self._settled), self._boot)
        items = [item for item in found if item.id not in self._settled][:limit]
        if not items:
            self.count = 0
        return items

    def settled(self, id_: int) -> None:
        """Note that a reading has its line, or cannot have one."""
        self._settled.add(id_)
        self.count = max(0, (self.count or 0) - 1)

    def add(self, items: Sequence[Item]) -> None:
        """Save readings that cannot have their line yet."""
        with self._database.transaction() as connection:
            add(connection, items, self._boot)
        if self.count is not None:
            self.count += len(items)

    def commit(self, connection: sqlite3.Connection, lines: Sequence[tuple[int, int]]) -> None:
        """Remove what is settled, and save which lines are next, in the recorder's transaction."""
        remove(connection, self._settled)
        prepare(connection, self._prepared, lines)

    def committed(self, lines: Sequence[tuple[int, int]]) -> None:
        """Note that this transaction has been committed."""
        self._settled, self._prepared = set(), [id_ for id_, _ in lines]

    def has(self, reading: Reading) -> bool:
        """Return whether there is one of the same series, time and value, by no clock of ours."""
        with self._database.access() as connection:
            row = connection.execute(
                "SELECT 1 FROM pending WHERE unit = ? AND sensor = ? AND time_ms = ?"
                " AND value = ? AND monotonic_ms IS NULL LIMIT 1",
                (reading.unit, reading.sensor, reading.time_ms, plain(reading.value)),
            ).fetchone()
        return row is not None
