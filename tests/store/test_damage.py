"""A damaged database is set aside, told of once, and a new one begun."""

import sqlite3
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import add_readings, readings_in
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.store.database import Database

NOW_MS = epoch_ms(datetime(2026, 11, 23, 7, 2, 3, tzinfo=TOKYO))
READINGS = [Reading(NOW_MS + n, "BR", "E7", Decimal(n), "x") for n in range(5000)]
ASIDE = "kei.db.damaged-20261123T070203"
GARBAGE = b"\xa5" * 4096


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_MS, TOKYO)


@pytest.fixture
def path(tmp_path: Path, clock: FakeClock) -> Path:
    """A database that holds something and was closed properly."""
    path = tmp_path / "kei.db"
    database = Database.open(path, clock)
    add_readings(database, READINGS)
    database.close()
    return path


def overwrite(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(GARBAGE)


def test_a_file_that_is_no_database_is_set_aside_under_the_time(
    path: Path, clock: FakeClock
) -> None:
    overwrite(path, 0)
    damaged = path.read_bytes()
    database = Database.open(path, clock)
    add_readings(database, READINGS[:1])
    assert len(readings_in(database)) == 1
    database.close()
    assert path.with_name(ASIDE).read_bytes() == damaged


@pytest.mark.parametrize("page", range(1, 12))
def test_a_damaged_page_is_found_at_opening(page: int, path: Path, clock: FakeClock) -> None:
    overwrite(path, page * 4096)
    Database.open(path, clock).close()
    assert path.with_name(ASIDE).exists()


def test_one_error_is_told(path: Path, clock: FakeClock) -> None:
    overwrite(path, 0)
    with capture_logs() as logs:
        Database.open(path, clock).close()
    [entry] = logs
    assert (entry["event"], entry["log_level"]) == ("database_damaged", "error")
    assert entry["set_aside_as"] == str(path.with_name(ASIDE))


def test_an_older_one_set_aside_in_the_same_second_is_kept(path: Path, clock: FakeClock) -> None:
    path.with_name(ASIDE).write_text("older")
    overwrite(path, 0)
    Database.open(path, clock).close()
    assert path.with_name(ASIDE).read_text() == "older"
    assert path.with_name(f"{ASIDE}-2").exists()


def test_a_sound_database_is_not_touched(path: Path, clock: FakeClock) -> None:
    database = Database.open(path, clock)
    assert len(readings_in(database)) == len(READINGS)
    database.close()


def test_a_torn_log_is_no_damage(path: Path, clock: FakeClock, tmp_path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO state VALUES ('a', 'b')")
    crashed = tmp_path / "crashed.db"
    crashed.write_bytes(path.read_bytes())
    log = path.with_name("kei.db-wal").read_bytes()
    crashed.with_name("crashed.db-wal").write_bytes(log[: len(log) // 2])
    writer.close()

    database = Database.open(crashed, clock)
    assert len(readings_in(database)) == len(READINGS)
    assert database.get_state("a") is None
    database.close()
    assert list(tmp_path.glob("*damaged*")) == []


def test_damage_that_shows_later_costs_one_call(path: Path, clock: FakeClock) -> None:
    database = Database.open(path, clock)
    with database.access() as connection:
        connection.execute("PRAGMA cache_size = 0")
    for page in range(1, path.stat().st_size // 4096):
        overwrite(path, page * 4096)
    with pytest.raises(StoreError, match=r"kei\.db: database disk image is malformed"):
        add_readings(database, READINGS[:2])
    add_readings(database, READINGS[:2])
    assert len(readings_in(database)) == 2
    database.close()
    assert path.with_name(ASIDE).exists()
