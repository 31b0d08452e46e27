"""A real database and real files in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from recorder_bench import Disk
from stored import recorder_of
from summary_bench import Bench

from kei.store.database import Database
from kei.store.recorder import Recorder
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


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def recorder(database: Database, text: DailyFile, clock: FakeClock) -> Iterator[Recorder]:
    recorder = recorder_of(database, text, clock=clock, bound=10)
    yield recorder
    recorder.close()


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(tmp_path, clock)
    yield bench
    bench.stop()
