"""The checkpoint: up to where text and database have the same readings; kept in the database."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kei.store.state import load_state, log_damaged, save_state

STATE_KEY = "text"
DAYS_MAX = 10  # files whose end is kept: today's, and those that late lines belong to


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Up to where text and database have the same readings.

    Attributes:
        last_id: the rows up to this id have their line.
        ends: bytes of each daily file; the lines up to there have their row.
        fingerprints: of these files (`DailyFile.fingerprints`): one may be replaced by another.
    """

    last_id: int
    ends: Mapping[date, int]
    fingerprints: Mapping[date, int]


def load(connection: sqlite3.Connection) -> Checkpoint | None:
    """Return the checkpoint; None if this database has none, or a damaged one."""
    saved = load_state(connection, STATE_KEY)
    if saved is None:
        return None
    try:
        content = json.loads(saved)
        ends = {date.fromisoformat(day): int(end) for day, end in content["marks"].items()}
        files = {date.fromisoformat(day): int(n) for day, n in content.get("files", {}).items()}
        return Checkpoint(int(content["until"]), ends, files)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        log_damaged(STATE_KEY)
        return None


def save(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Save the checkpoint, in the transaction that makes it true."""
    content = {
        "until": checkpoint.last_id,
        "marks": {day.isoformat(): end for day, end in checkpoint.ends.items()},
        "files": {day.isoformat(): number for day, number in checkpoint.fingerprints.items()},
    }
    save_state(connection, STATE_KEY, json.dumps(content, separators=(",", ":")))


def latest(ends: Mapping[date, int]) -> dict[date, int]:
    """Return the ends that are kept: those that were changed last, in that order."""
    return dict(list(ends.items())[-DAYS_MAX:])


def moved(ends: Mapping[date, int], day: date, end: int) -> dict[date, int]:
    """Return the ends with that of one day changed."""
    return {**{other: each for other, each in ends.items() if other != day}, day: end}
