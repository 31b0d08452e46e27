"""What a reload keeps, and what an engine makes of the clock that it finds."""

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from forked import unmeasured
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

HEAVY = {"requests", "urllib3", "charset_normalizer", "idna"}  # 6 MB of memory
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
    assert engine.status.snapshot().clock == ClockStatus(
        synchronised=False, likely_wrong=likely_wrong
    )
    engine.stop()


def test_an_engine_without_uploads_loads_none_of_what_they_need(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("")
    script = (
        "import random, sys, pathlib; from kei import config\n"
        "from kei.app.engine import Engine; from kei.core.clock import SystemClock\n"
        "settings = config.load(pathlib.Path(sys.argv[1]), environ={})\n"
        "engine = Engine(settings, clock=SystemClock(), rng=random.Random(1))\n"
        "engine.start(); engine.stop(); print(*sys.modules)"
    )
    command = [sys.executable, "-c", script, str(jobs)]
    loaded = subprocess.run(
        command, env=unmeasured(), check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert "kei.jobs.upload" in loaded
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()
    assert [name for name in loaded if name.startswith(("kei.simulator", "kei.tariff"))] == []
