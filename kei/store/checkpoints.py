"""The checkpoint: up to which byte the lines of each daily file are rows; kept in the database."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kei.store.state import load_state, log_damaged, save_state
from kei.store.text import DailyFile

STATE_KEY = "text"
DAYS_MAX = 10  # files whose end is kept: today's, and those that late lines belong to


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to where the lines of the text are rows of the database.

    Attributes:
        ends: bytes of each daily file, those that were changed last at the end.
        fingerprints: of these files (`DailyFile.fingerprints`): one may be replaced by another.
    """

    ends: Mapping[date, int]
    fingerprints: Mapping[date, int]

    def moved(self, day: date, end: int, text: DailyFile) -> "Checkpoint":
        """Return the checkpoint with the end of one day changed."""
        ends = {other: each for other, each in self.ends.items() if other != day}
        ends = dict([*ends.items(), (day, end)][-DAYS_MAX:])
        known = {other: each for other, each in self.fingerprints.items() if other in ends}
        return Checkpoint(ends, known | text.fingerprints([day]))


def load(connection: sqlite3.Connection) -> Checkpoint | None:
    """Return the checkpoint; None if this database has none, or a damaged one."""
    saved = load_state(connection, STATE_KEY)
    if saved is None:
        return None
    try:
        content = json.loads(saved)
        ends = {date.fromisoformat(day): int(end) for day, end in content["marks"].items()}
        files = {date.fromisoformat(day): int(n) for day, n in content.get("files", {}).items()}
        return Checkpoint(ends, files)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        log_damaged(STATE_KEY)
        return None


def save(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Save the checkpoint, in the transaction that makes it true.

    The text up to there has to be on the disk: the database may be synced at any time.
    """
    content = {
        "marks": {day.isoformat(): end for day, end in checkpoint.ends.items()},
        "files": {day.isoformat(): number for day, number in checkpoint.fingerprints.items()},
    }
    save_state(connection, STATE_KEY, json.dumps(content, separators=(",", ":")))
