"""What a reload keeps, and what an engine makes of the clock that it finds."""

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from jobs_file import JobsFile
from stored import add_readings

import kei.app.engine
import kei.upload.sender
from kei.app.engine import Engine
from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.settings.config import Config
from kei.settings.recorder import SummarySettings
from kei.store.database import Database
from kei.timekeeping.linux import LinuxClock
from kei.timekeeping.monitor import ClockStatus
from kei.upload.sender import Sender

UPLOADS = """
[[upload]]
name = "first"
target_url = "http://127.0.0.1:9/"
format = "json"
cycle = "1d"
[[upload]]
name = "second"
target_url = "http://127.0.0.1:9/"
format = "json"
cycle = "1d"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return JobsFile(tmp_path / "jobs.toml").load(UPLOADS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which senders were made and stopped."""
    events: list[str] = []

    def make(*args: object, **kwargs: object) -> Sender:
        sender = Sender(*args, **kwargs)  # type: ignore[arg-type]  # handed through
        name = sender.status().target
        events.append(f"made {name}")
        stop = sender.stop

        def tell_and_stop() -> None:
            events.append(f"stopped {name}")
            stop()

        monkeypatch.setattr(sender, "stop", tell_and_stop)
        return sender

    monkeypatch.setattr(kei.upload.sender, "Sender", make)
    return events


@pytest.fixture
def engine(config: Config, told: list[str]) -> Iterator[Engine]:
    running = Engine(config, clock=SystemClock(TOKYO), rng=random.Random(1))
    running.start()
    told.clear()
    yield running
    running.stop()


def test_a_flusher_survives_a_reload_that_leaves_its_target_alone(
    engine: Engine, config: Config, told: list[str]
) -> None:
    engine.change_to(replace(config, summary=SummarySettings(300)))
    assert told == []


def test_a_changed_target_gets_a_flusher_of_its_own(
    engine: Engine, config: Config, told: list[str]
) -> None:
    first, second = config.upload
    engine.change_to(replace(config, upload=(first, replace(second, timeout_s=5.0))))
    assert told == ["stopped second", "made second"]


def test_the_flusher_of_a_target_that_is_gone_is_stopped(
    engine: Engine, config: Config, told: list[str]
) -> None:
    engine.change_to(replace(config, upload=config.upload[:1]))
    assert told == ["stopped second"]


@pytest.mark.parametrize(("newer_s", "likely_wrong"), [(-60, False), (60, True)])
def test_a_clock_behind_the_newest_reading_is_likely_wrong(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    newer_s: int,
    *,
    likely_wrong: bool,
) -> None:
    monkeypatch.setattr(kei.app.engine, "LinuxClock", partial(LinuxClock, root=tmp_path))
    monkeypatch.setattr(kei.app.engine, "adjtimex_of_libc", lambda: None)
    clock = FakeClock(1_830_000_000_000)  # 2027
    database = Database.open(config.recorder.database, clock)
    time_ms = clock.now_ms() + newer_s * 1000
    add_readings(database, [Reading(time_ms, "BR", "E7", Decimal(1), "x")])
    database.close()
    engine = Engine(config, clock=clock, rng=random.Random(1))
    assert engine.snapshot().clock == ClockStatus(synchronised=False, likely_wrong=likely_wrong)
    engine.stop()
