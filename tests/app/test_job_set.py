"""What a reload does with the jobs: those whose origin is the same go on."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from fakes import FakeClock
from jobs_file import JobsFile
from stored import daily
from structlog.stdlib import get_logger

import kei.app.job_set
from kei.app.job_set import JobSet
from kei.app.meter_line import Meter
from kei.core.incidents import Incidents
from kei.jobs.kinds import Event, Every, Executor, Job, JobContext, Planned
from kei.jobs.scheduler import Scheduler
from kei.meter.decoder import MeterDecoder
from kei.settings.broute import Broute
from kei.settings.config import Config
from kei.store.database import Database
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.monitor import ClockMonitor
from kei.upload.health import Health
from kei.wisun.session import Session


class Calls(Scheduler):
    """A scheduler that only notes what it is to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def add(self, planned: Planned, run: Callable[[], None]) -> None:
        assert callable(run)
        self.calls.append(f"add {planned.id}")

    def remove(self, name: str) -> None:
        self.calls.append(f"remove {name}")

    def run_now(self, names: object) -> None:
        self.calls += [f"run {name}" for name in cast("list[str]", names)]


class JoinedSession(Session):
    """A session with a meter that can be asked."""

    def __init__(self) -> None:
        pass

    @property
    def is_joined(self) -> bool:
        return True


class Bench:
    """A job set for plans that a test makes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = JobsFile(folder / "jobs.toml").load("")
        self.plan: list[Planned] = []
        self.stopped: list[str] = []
        clock = FakeClock()
        monkeypatch.setattr(kei.app.job_set, "plan", self._plan)
        self.scheduler = Calls()
        context = JobContext(
            database=cast("Database", None),
            record=lambda _: None,
            recover=len,
            commit=lambda: True,
            sums=daily(folder),
            monitor=cast("ClockMonitor", None),
            gate=cast("TimeGate", None),
            clock=clock,
            rng=random.Random(1),
            run_after=lambda _: None,
            health=lambda: Health("1.2.3", {}, None),
            problems=lambda: (),
            meter_incidents=Incidents(get_logger("kei.request"), clock),
        )
        self.jobs = JobSet(self.scheduler, context)

    def _plan(self, config: Config) -> list[Planned]:
        assert config is self.config
        return self.plan

    def planned(self, name: str, origin: object = 0) -> Planned:
        job = Job(lambda: None, lambda: self.stopped.append(name))
        return Planned(name, name, Every(60), Executor.UPKEEP, origin, lambda _: job)

    def change_to(self, *plan: Planned, meter: Meter | None = None) -> list[str]:
        self.plan = list(plan)
        self.scheduler.calls.clear()
        self.jobs.change_to(self.config, meter)
        return self.scheduler.calls


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def a_meter() -> Meter:
    return Meter(
        origin=(cast("Broute", None), None),
        session=JoinedSession(),
        decoder=cast("MeterDecoder", None),
        simulator=None,
    )


def test_a_job_with_the_same_origin_goes_on_and_others_come_and_go(bench: Bench) -> None:
    assert bench.change_to(bench.planned("a"), bench.planned("b")) == ["add a", "add b"]
    calls = bench.change_to(bench.planned("a"), bench.planned("c"))
    assert calls == ["remove b", "add c"]
    assert bench.stopped == ["b"]


def test_a_job_with_another_origin_is_replaced(bench: Bench) -> None:
    bench.change_to(bench.planned("a", origin=1))
    assert bench.change_to(bench.planned("a", origin=2)) == ["remove a", "add a"]


def test_another_session_replaces_only_what_needs_the_meter(bench: Bench) -> None:
    asks = replace(bench.planned("asks"), needs_meter=True)
    meter = a_meter()
    bench.change_to(asks, bench.planned("a"), meter=meter)
    assert bench.change_to(asks, bench.planned("a"), meter=meter) == []
    assert bench.change_to(asks, bench.planned("a"), meter=a_meter()) == [
        "remove asks",
        "add asks",
    ]


def test_a_new_job_asks_a_meter_that_is_joined_at_once_and_the_others_do_not(bench: Bench) -> None:
    first, second = (
        replace(bench.planned(name), also_after=Event.JOINED) for name in ("first", "second")
    )
    meter = a_meter()
    assert bench.change_to(first, meter=meter) == ["add first", "run first"]
    assert bench.change_to(first, second, meter=meter) == ["add second", "run second"]
    bench.scheduler.calls.clear()
    bench.jobs.run_after(Event.JOINED)
    assert bench.scheduler.calls == ["run first", "run second"]


def test_a_reload_changes_after_what_a_job_runs_without_replacing_it(bench: Bench) -> None:
    job = bench.planned("a")
    bench.change_to(job)
    assert bench.change_to(replace(job, also_after=Event.SUMMARISED)) == []
    bench.jobs.run_after(Event.SUMMARISED)
    assert bench.scheduler.calls == ["run a"]
