"""Segments: spans of time in which the registers of a meter can be compared with each other.

A new one begins when the meter is replaced, when its register falls without a roll-over, or when
one count of it becomes another amount of energy. Differences are never computed across.
"""

import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from kei.store.database import Database
from kei.store.read_only import recorded


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one meter, and one way of counting, from another; None for what is not known.

    Attributes:
        maker: EPC 8A, hexadecimal digits.
        serial: EPC 8D.
        coefficient: EPC D3.
        energy_unit: EPC E1, kWh of one count.
        digits: EPC D7: the register goes on at zero after so many nines.
    """

    maker: str | None = None
    serial: str | None = None
    coefficient: int | None = None
    energy_unit: Decimal | None = None
    digits: int | None = None

    def differs_from(self, other: "Identity") -> str | None:
        """Return what both know and do not agree on, in words; None for nothing."""
        names = {
            "maker": "another maker",
            "serial": "another serial number",
            "coefficient": "another coefficient",
            "energy_unit": "another unit",
            "digits": "another number of digits",
        }
        for name, words in names.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None and mine != theirs:
                return words
        return None


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the table.

    Attributes:
        unit: UnitID of the meter.
        from_ms: its first instant, milliseconds since 1970; the first segment has no beginning: 0.
        reason: why it began, for a person.
        identity: of the meter, and how it counts.
    """

    unit: str
    from_ms: int
    reason: str
    identity: Identity


def segments(connection: sqlite3.Connection, unit: str) -> list[Segment]:
    """Return the segments of a meter's unit, in their order."""
    rows = connection.execute(
        "SELECT unit, from_ms, reason, maker, serial, coefficient, energy_unit, digits"
        " FROM segments WHERE unit = ? ORDER BY from_ms, id",
        (unit,),
    ).fetchall()
    return [
        Segment(
            unit,
            from_ms,
            reason,
            Identity(maker, serial, coefficient, None if kwh is None else Decimal(kwh), digits),
        )
        for unit, from_ms, reason, maker, serial, coefficient, kwh, digits in rows
    ]


def breaks(path: Path, unit: str) -> list[int]:
    """Return when segments of a meter's unit began, but for the first, ms since 1970.

    Args:
        path: the database, which another process may write to.
        unit: UnitID.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    with recorded(path) as connection:
        return [each.from_ms for each in segments(connection, unit) if each.from_ms]


class Segments:
    """The segments of a database. Raises `StoreError`.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, unit: str) -> list[Segment]:
        """Return the segments of a meter's unit, in their order."""
        with self._database.access() as connection:
            return segments(connection, unit)

    def begin(self, segment: Segment) -> None:
        """Save a new segment."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO segments (unit, from_ms, reason,"
                " maker, serial, coefficient, energy_unit, digits)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (segment.unit, segment.from_ms, segment.reason, *_columns(segment.identity)),
            )

    def complete(self, unit: str, identity: Identity) -> None:
        """Save what has become known of the meter of the last segment."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE segments SET maker = ifnull(maker, ?), serial = ifnull(serial, ?),"
                " coefficient = ifnull(coefficient, ?), energy_unit = ifnull(energy_unit, ?),"
                " digits = ifnull(digits, ?) WHERE id ="
                " (SELECT id FROM segments WHERE unit = ? ORDER BY from_ms DESC, id DESC LIMIT 1)",
                (*_columns(identity), unit),
            )


def _columns(identity: Identity) -> tuple[object, ...]:
    kwh = identity.energy_unit
    text = None if kwh is None else str(kwh)
    return identity.maker, identity.serial, identity.coefficient, text, identity.digits
