"""The checkpoint: up to which byte the lines of each daily file are rows; kept in the database."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kei.store.database import load_state, log_damaged, save_state
from kei.store.text import DailyFile

STATE_KEY = "text"
_OTHER_FILE = -1  # a fingerprint that no file has: recovery is to compare it line by line
DAYS_MAX = 10  # files whose end is kept: the newest, and those that were changed last


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
        ends = {other: each for other, each in self.ends.items() if other != day} | {day: end}
        newest = max(ends)  # stays, as recovery reads what is newer from the first line on
        while len(ends) > DAYS_MAX:
            del ends[next(other for other in ends if other != newest)]
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


class Progress:
    """How far the text has come, by the checkpoint and since.

    Args:
        text: the daily files.

    Attributes:
        checkpoint: as in the database; None until recovery.
        ends: bytes of each daily file up to which its lines are known.
        others: days whose file was removed or replaced since.
    """

    def __init__(self, text: DailyFile) -> None:
        self._text = text
        self.checkpoint: Checkpoint | None = None
        self.ends: dict[date, int] = {}
        self.others: set[date] = set()
        self._moved: dict[date, None] = {}  # in the order in which they were changed first

    @property
    def is_changed(self) -> bool:
        """Whether the checkpoint is to be moved."""
        return bool(self._moved)

    def move(self, day: date, end: int | None) -> None:
        """Note the end of a file; None for what the checkpoint says, if it names the file."""
        if end is None:
            self._moved.pop(day, None)
            end = self.checkpoint.ends.get(day) if self.checkpoint else None
        else:
            self._moved[day] = None
        if end is None:
            self.ends.pop(day, None)
        else:
            self.ends[day] = end

    def is_newest(self, day: date) -> bool:
        """Return whether no file is newer: recovery finds it without the checkpoint.

        Raises:
            TextError: there is no checkpoint yet, and the folder cannot be read.
        """
        known = self._text.days() if self.checkpoint is None else self.checkpoint.ends
        return day >= max(known, default=date.min)

    def next(self) -> Checkpoint | None:
        """Return the checkpoint that is to be saved; None before recovery."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            return None
        for day in self._moved:
            checkpoint = checkpoint.moved(day, self.ends[day], self._text)
        files = dict(checkpoint.fingerprints) | dict.fromkeys(self.others, _OTHER_FILE)
        return Checkpoint(checkpoint.ends, files)

    def saved(self, checkpoint: Checkpoint | None) -> None:
        """Note that a checkpoint is in the database; None if recovery has to make one."""
        self.checkpoint, self._moved = checkpoint, {}
        self.ends = dict(checkpoint.ends) if checkpoint else {}
