"""What hangs, or dies again and again, is found out; what only waits is left in peace."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock, FastClock
from jobs_file import BROUTE_ID, BROUTE_PWD, JobsFile
from programs import PATIENCE_S, readings, wait_until

from kei.app.engine import Engine
from kei.app.workers import DEATHS, DEATHS_WITHIN_S, Workers
from kei.core.clock import SystemClock
from kei.core.heartbeat import HEARTBEAT_S, SILENCE_LIMIT_S, Heartbeat
from kei.jobs.scheduler import Scheduler

SPEED = 100.0
JOBS = f"""
[broute]
port = "sim:latency=0,scan-time=0,join-time=0"
broute_id = "{BROUTE_ID}"
broute_pwd = "{BROUTE_PWD}"
[[broute.requests]]
epc = ["E7"]
cycle = "1h"
[history]
days = 0
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """All of kei, with a clock that makes minutes of seconds, and a meter that was joined."""
    config = JobsFile(tmp_path / "jobs.toml").load(JOBS)
    running = Engine(config, clock=FastClock(SPEED, TOKYO, stands=False), rng=random.Random(1))
    running.start()
    try:
        wait_until(lambda: running.status.summary() == "meter joined", 20, "the meter to be joined")
        yield running
    finally:
        running.stop()


def by_threads(engine: Engine) -> list[str]:
    return [
        name for name in engine.status.stuck() if name != "scheduler"
    ]  # runs by the machine's clock


def test_a_recorder_that_hangs_in_a_write_is_found_out_and_forgiven(engine: Engine) -> None:
    with engine._recorder._lock:  # as by a disk that does not come back
        wait_until(lambda: by_threads(engine) == ["recorder"], 20, "the recorder to be missed")
        assert engine.status.summary() == "meter joined", "nobody who asks has to wait for the disk"
    wait_until(lambda: by_threads(engine) == [], 10, "the recorder to move again")


def test_a_conversation_with_the_dongle_that_never_ends_is_found_out(engine: Engine) -> None:
    meter = engine._meter.meter
    assert meter is not None
    lock = meter.session._machine.lock
    lock.acquire()
    try:
        wait_until(lambda: by_threads(engine) == ["wisun-keeper"], 20, "the session to be missed")
    finally:
        lock.release()
    wait_until(lambda: by_threads(engine) == [], 10, "the session to move again")


def test_nothing_is_stuck_while_there_is_nothing_to_do(engine: Engine) -> None:
    clock = engine._clock
    end = clock.monotonic() + 1.5 * SILENCE_LIMIT_S
    while clock.monotonic() < end:
        assert by_threads(engine) == []
        threading.Event().wait(0.05)


def test_a_scheduler_that_runs_no_job_is_found_out() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock, 0, random.Random(1))
    assert not scheduler.heartbeat.has_stopped
    clock.advance(SILENCE_LIMIT_S + 1)
    assert scheduler.heartbeat.has_stopped


def test_the_scheduler_has_its_pulse_from_a_job() -> None:
    scheduler = Scheduler(SystemClock(TOKYO), 0, random.Random(1))
    scheduler.start()
    before = scheduler.heartbeat._last
    scheduler.run_now(["heartbeat"])
    wait_until(lambda: scheduler.heartbeat._last > before, 10, "a beat")
    scheduler.end()


class Dying:
    def run(self) -> None:
        """Be at the end at once, as a body never should."""

    def stop(self) -> None: ...


def test_a_thread_that_dies_is_started_again_but_not_for_ever() -> None:
    clock = FakeClock()
    threads = Workers(clock)
    threads.start("weak", Dying())
    for _ in range(DEATHS):
        assert threads.stuck() == []
        threads._threads["weak"].join(PATIENCE_S)
        threads.restart_dead()
    assert threads.stuck() == ["weak"]
    clock.advance(DEATHS_WITHIN_S + 1)
    assert threads.stuck() == []


def test_a_thread_that_was_ended_is_not_missed() -> None:
    clock = FakeClock()
    threads = Workers(clock)
    threads.start("ended", Dying(), Heartbeat(clock))
    threads.stop("ended", limit_s=5)
    clock.advance(SILENCE_LIMIT_S + 1)
    assert threads.stuck() == []


def test_a_pulse_counts_from_the_last_beat() -> None:
    clock = FakeClock()
    heartbeat = Heartbeat(clock, 60.0)
    clock.advance(HEARTBEAT_S)
    assert heartbeat.silent_s == HEARTBEAT_S
    heartbeat.beat()
    clock.advance(60.0)
    assert not heartbeat.has_stopped
    clock.advance(0.1)
    assert heartbeat.has_stopped


def test_the_meter_is_asked_on_while_the_disk_stalls_and_nothing_is_missing(
    tmp_path: Path,
) -> None:
    often = JOBS.replace('"1h"', "0.2")
    config = JobsFile(tmp_path / "jobs.toml").load(often)
    running = Engine(config, clock=SystemClock(TOKYO), rng=random.Random(1))
    running.start()
    try:
        wait_until(lambda: running.status.summary() == "meter joined", 20, "the meter to be joined")
        meter = running._meter.meter
        assert meter is not None
        with running._recorder._lock:  # as by a disk that takes its time
            written, answered = powers(tmp_path), meter.session.status().answered
            # Some of the first answers are of other properties: the map, the meter's clock.
            wait_until(lambda: meter.session.status().answered >= answered + 15, 20, "answers")
            assert powers(tmp_path) == written
    finally:
        running.stop()
    assert powers(tmp_path) >= written + 10


def powers(folder: Path) -> int:
    return sum(fields[2] == "E7" for fields in readings(folder))
