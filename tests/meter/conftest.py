"""A real database in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock

from kei.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "kei.db", FakeClock(zone=TOKYO))
    yield database
    database.close()
