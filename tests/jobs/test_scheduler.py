"""The scheduler, for real, by a clock that a test sets; APScheduler's own is set with it."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from random import Random
from typing import Self

import apscheduler.schedulers.base
import pytest
from fakes import TOKYO
from programs import PATIENCE_S, wait_until
from structlog.testing import capture_logs

from kei.core.clock import SystemClock
from kei.jobs.kinds import AfterWindows, Every, Executor, Job, Planned, Schedule
from kei.jobs.scheduler import Scheduler

YEAR_S = 365 * 86_400


class SetClock(SystemClock):
    """The machine's clock, off by as much as a test wants."""

    def __init__(self) -> None:
        super().__init__(TOKYO)
        self.off_s = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.off_s * 1000


def planned(name: str, schedule: Schedule, executor: Executor = Executor.REQUESTS) -> Planned:
    return Planned(name, name, schedule, executor, None, lambda _: Job(lambda: None))


@dataclass
class Bench:
    clock: SetClock
    scheduler: Scheduler
    runs: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, schedule: Schedule) -> None:
        self.runs[name] = 0

        def run() -> None:
            self.runs[name] += 1

        self.scheduler.add(planned(name, schedule), run)

    def wait_for_another_run(self, name: str, deadline_s: float = 3.0) -> None:
        before = self.runs[name]
        wait_until(lambda: self.runs[name] > before, deadline_s, f"a run of {name}")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    clock = SetClock()

    class Shown(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(clock.now_ms() / 1000, tz)

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Shown)
    bench = Bench(clock, Scheduler(clock, uploads=0, rng=Random(1)))
    bench.add("often", Every(0.2))
    bench.add("every-day", Every(86_400))
    bench.scheduler.start()
    bench.wait_for_another_run("often")
    yield bench
    bench.scheduler.end()


@pytest.mark.parametrize("step_s", [3600, YEAR_S, 10 * YEAR_S, -3600, -YEAR_S, -10 * YEAR_S])
def test_after_a_step_jobs_go_on_as_soon_as_they_have_been_planned_anew(
    bench: Bench, step_s: int
) -> None:
    bench.clock.off_s = step_s
    bench.scheduler.stepped(step_s * 1000)
    bench.wait_for_another_run("often")


@pytest.mark.parametrize("step_s", [-3600, -YEAR_S])
def test_jobs_that_were_planned_by_the_time_before_the_step_are_found(
    bench: Bench, step_s: int
) -> None:
    bench.clock.off_s = step_s
    bench.scheduler.replan_late_jobs()
    bench.wait_for_another_run("often")


def test_there_is_nothing_to_mend_while_the_clock_is_right(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    monkeypatch.setattr(bench.scheduler, "_plan", lambda name, _moment: planned.append(name))
    end = bench.runs["often"] + 2
    while bench.runs["often"] < end:
        bench.scheduler.replan_late_jobs()
    assert planned == []


def test_a_step_runs_no_job_out_of_turn(bench: Bench) -> None:
    for day in range(1, 20):
        bench.clock.off_s = day * 60
        bench.scheduler.stepped(60_000)
    bench.wait_for_another_run("often")
    assert bench.runs["every-day"] == 0


def test_a_job_that_a_step_made_late_runs_once(bench: Bench) -> None:
    bench.clock.off_s = YEAR_S  # and nobody has noticed yet
    bench.wait_for_another_run("every-day")
    bench.wait_for_another_run("often")
    assert bench.runs["every-day"] == 1


def test_jobs_of_all_kinds_can_be_run_at_once_and_then_keep_their_cycles(bench: Bench) -> None:
    bench.add("windows", AfterWindows(86_400, 3))
    bench.scheduler.run_now(["every-day", "windows", "gone-meanwhile"])
    wait_until(lambda: bench.runs["every-day"] and bench.runs["windows"], 3, "runs")
    bench.wait_for_another_run("often")
    assert (bench.runs["every-day"], bench.runs["windows"]) == (1, 1)


def test_many_kei_do_not_ask_a_server_at_the_same_moment() -> None:
    clock = SetClock()
    seconds = []
    for seed in range(60):
        scheduler = Scheduler(clock, uploads=1, rng=Random(seed))
        scheduler._inner.start(paused=True)
        scheduler.add(planned("upload", Every(60, asks_server=True)), lambda: None)
        scheduler.add(planned("request", Every(60)), lambda: None)
        next_at = {job.id: job.next_run_time.timestamp() for job in scheduler._inner.get_jobs()}
        late_s = next_at["upload"] % 60
        assert next_at["request"] % 60 == 0
        before = clock.now_ms() / 1000
        scheduler.run_now(["upload"])  # there are new averages, at all kei
        again = scheduler._inner.get_job("upload").next_run_time.timestamp()
        assert before + late_s - 0.01 <= again <= clock.now_ms() / 1000 + late_s + 0.01
        scheduler.end()
        seconds.append(int(late_s))
    assert max(seconds) < 30
    assert max(Counter(seconds).values()) <= 8, "of 60 in one second"
    assert len(set(seconds)) >= 20


def test_what_a_reload_makes_anew_asks_its_server_at_the_same_moment_as_before() -> None:
    scheduler = Scheduler(SetClock(), uploads=1, rng=Random(1))
    late = set()
    for _ in range(3):
        scheduler.add(planned("upload", Every(60, asks_server=True)), lambda: None)
        (job,) = (job for job in scheduler._inner.get_jobs() if job.id == "upload")
        late.add(job.trigger.late)
        scheduler.remove("upload")
    assert len(late) == 1


def test_a_job_that_fails_is_logged_with_its_traceback_and_runs_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        bench.runs["broken"] += 1
        raise ValueError("our mistake")

    bench.runs["broken"] = 0
    with capture_logs() as logs:
        bench.scheduler.add(planned("broken", Every(0.2)), fail)
        bench.wait_for_another_run("broken")
        bench.wait_for_another_run("broken")
    failed = [line for line in logs if line["event"] == "job_failed"]
    assert failed[0]["job"] == "broken"
    assert failed[0]["error"] == "ValueError('our mistake')"
    assert "in fail" in failed[0]["exception"]
    assert warnings_of_apscheduler(caplog) == []


@pytest.mark.parametrize(
    ("executor", "level"),
    [
        (Executor.SUMMARY, "warning"),
        (Executor.UPKEEP, "warning"),
        (Executor.REQUESTS, "debug"),
        (Executor.UPLOAD, "debug"),
    ],
)
def test_a_job_that_is_due_while_it_still_runs_is_left_out_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture, executor: Executor, level: str
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def run() -> None:
        begun.release()
        go_on.acquire(timeout=PATIENCE_S)

    with capture_logs() as logs:
        bench.scheduler.add(planned("slow", Every(0.1), executor), run)
        assert begun.acquire(timeout=PATIENCE_S)
        for _ in range(3):
            bench.wait_for_another_run("often")
        assert not begun.acquire(blocking=False), "one run at a time"
        go_on.release(100)
        wait_until(lambda: begun.acquire(blocking=False), 3, "another run")
    told = [line for line in logs if line["event"] == "job_still_running"]
    assert {(line["job"], line["log_level"]) for line in told} == {("slow", level)}
    ended = [line for line in logs if line["event"] == "fault_ended"]
    assert len(ended) == (1 if level == "warning" else 0)
    assert len(told) == 1 or level == "debug"
    assert warnings_of_apscheduler(caplog) == []


def test_what_apscheduler_itself_logs_of_a_job_names_it(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("kei.jobs.scheduler.ThreadPoolExecutor.submit_job", refuse)
    wait_until(lambda: bool(warnings_of_apscheduler(caplog)), 3, "a warning")
    assert 'submitting job "often ' in warnings_of_apscheduler(caplog)[0]


def warnings_of_apscheduler(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("apscheduler") and record.levelno >= logging.WARNING
    ]


def test_uploads_that_all_hang_leave_a_thread_for_a_heartbeat() -> None:
    scheduler = Scheduler(SystemClock(TOKYO), 20, Random(1))
    release, told = threading.Event(), []
    hanging = threading.Barrier(21)

    def hang() -> None:
        hanging.wait(PATIENCE_S)
        release.wait(2 * PATIENCE_S)

    names = [f"upload-{number}" for number in range(20)]
    for name in names:
        scheduler.add(planned(name, Every(YEAR_S), Executor.UPLOAD), hang)
    scheduler.add(planned("heartbeat-x", Every(YEAR_S), Executor.UPLOAD), lambda: told.append(1))
    scheduler.start()
    try:
        scheduler.run_now(names)
        hanging.wait(PATIENCE_S)
        scheduler.run_now(["heartbeat-x"])
        wait_until(lambda: told, PATIENCE_S, "the heartbeat")
    finally:
        release.set()
        scheduler.end()
