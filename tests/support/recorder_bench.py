"""What the tests of the recorder share: readings, where they are, disks that fail."""

import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError, TextError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store import pending
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.text import DailyFile

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
NEXT_DAY_MS = epoch_ms(datetime(2026, 11, 24, tzinfo=TOKYO))


class Disk:
    """Makes the text files, the database or both fail while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text_fails = False
        self.database_fails = False
        append, access = DailyFile.append, Database.access

        def failing_append(file: DailyFile, day: date, lines: Sequence[str]) -> tuple[int, int]:
            if self.text_fails:
                raise TextError("home.txt: No space left on device")
            return append(file, day, lines)

        def failing_access(
            database: Database,
        ) -> contextlib.AbstractContextManager[sqlite3.Connection]:
            if self.database_fails:
                raise StoreError("kei.db: disk is full")
            return access(database)

        monkeypatch.setattr(DailyFile, "append", failing_append)
        monkeypatch.setattr(Database, "access", failing_access)


def reading(number: int, at: int = NOON_MS) -> Reading:
    return Reading(at + number * 1000, "BR", "E7", Decimal(number), "x")


def in_text(folder: Path) -> list[int]:
    lines = [
        line for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines()
    ]
    return [int(line.split(",")[3]) for line in lines]


def in_pending(database: Database) -> list[int]:
    with database.access() as connection:
        return [int(each.value) for each in pending.readings(connection)]


def in_database(database: Database) -> list[int]:
    rows = UploadQueue(database).pending("test", What.READINGS, 100_000)
    return [int(row.item.value) for row in rows if isinstance(row.item, Reading)]


def failing_sync() -> None:
    raise TextError("home.txt: Input/output error")
