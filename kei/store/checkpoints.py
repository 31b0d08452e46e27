"""How far text and database say the same; kept in the database, with the readings themselves."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kei.store.state import damaged, load_state, save_state

STATE_KEY = "text"
DAYS_MAX = 10  # files whose mark is kept: today's, and those that late lines belong to


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far text and database say the same.

    Attributes:
        until: id of a reading in the database; those up to it have their line.
        marks: bytes of each file; the lines up to there are in the database.
        files: which file that was (`DailyFile.numbers`): another one may have taken its name.
    """

    until: int
    marks: Mapping[date, int]
    files: Mapping[date, int]


def load(connection: sqlite3.Connection) -> Agreement | None:
    """Return what was saved last; None if this database never had a text file beside it."""
    saved = load_state(connection, STATE_KEY)
    if saved is None:
        return None
    try:
        content = json.loads(saved)
        marks = {date.fromisoformat(day): int(mark) for day, mark in content["marks"].items()}
        files = {date.fromisoformat(day): int(n) for day, n in content.get("files", {}).items()}
        return Agreement(int(content["until"]), marks, files)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        damaged(STATE_KEY)
        return None


def save(connection: sqlite3.Connection, agreement: Agreement) -> None:
    """Save it, in the transaction that makes it true."""
    content = {
        "until": agreement.until,
        "marks": {day.isoformat(): mark for day, mark in agreement.marks.items()},
        "files": {day.isoformat(): number for day, number in agreement.files.items()},
    }
    save_state(connection, STATE_KEY, json.dumps(content, separators=(",", ":")))


def latest(marks: Mapping[date, int]) -> dict[date, int]:
    """Return the marks that are worth keeping: those that were set last, in that order."""
    return dict(list(marks.items())[-DAYS_MAX:])


def moved(marks: Mapping[date, int], day: date, end: int) -> dict[date, int]:
    """Return marks of which one has been set anew."""
    return {**{other: mark for other, mark in marks.items() if other != day}, day: end}
