"""A database beside the jobs.toml of a command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock

from kei.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path / "kei.db", FakeClock(zone=TOKYO))
    yield found
    found.close()
