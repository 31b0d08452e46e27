"""A real database and real files in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock

from kei.store.database import Database
from kei.store.text import DailyFile


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(zone=TOKYO)


@pytest.fixture
def database(tmp_path: Path, clock: FakeClock) -> Iterator[Database]:
    database = Database.open(tmp_path / "kei.db", clock)
    yield database
    database.close()


@pytest.fixture
def text(tmp_path: Path) -> Iterator[DailyFile]:
    text = DailyFile(tmp_path, "home", "", TOKYO)
    yield text
    text.close()
