"""A clock that nobody can trust: what is recorded by it is not lost, not wrong, and not sent."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from boards import Board, board, wait_for_port, write_serial_jobs
from programs import ROOT, Program, readings, running, summaries, wait_until
from upload_support import Server

DAY_S, YEAR_S = 86_400, 365 * 86_400
TOLERANCE_S = 60.0  # a clock is off by days here, and a machine may be busy
PROGRAM = str(ROOT / "tests" / "support" / "kei_by_another_clock.py")


class Bench:
    """A kei by a clock of its own, a sensor that counts up, and a server."""

    def __init__(self, folder: Path, sensor: Board, server: Server) -> None:
        self.folder = folder
        self.sensor = sensor
        self.server = server
        self.made: dict[int, float] = {}  # when each value was sent, by a clock that is right
        self.jobs = write_serial_jobs(
            folder,
            sensor.link,
            below=f"""
[recorder]
retention = "30d"
sync = 1
[summary]
cycle = 1
[[upload]]
name = "readings"
target_url = "{server.url}"
format = "json"
what = "readings"
cycle = 1
[[upload]]
name = "averages"
target_url = "{server.url}"
format = "json"
cycle = 1
""",
        )

    def set_clock(self, offset_s: float, kernel: str = "") -> None:
        new = self.folder / "offset.new"
        new.write_text(f"{round(offset_s * 1000)} {kernel}")
        new.replace(self.folder / "offset")

    @contextmanager
    def running(self) -> Iterator[Program]:
        program = (PROGRAM, str(self.folder / "offset"))
        with running("--jobs", str(self.jobs), program=program) as kei:
            yield kei

    def measure(self, count: int, pause_s: float = 0.2) -> None:
        for _ in range(count):
            number = len(self.made)
            self.made[number] = time.time()  # noqa: TID251 - to compare with
            self.sensor.lines(f"A1,T1,{number},0")
            time.sleep(pause_s)  # noqa: TID251 - a sensor takes its time

    def in_text(self) -> dict[int, float]:
        """The values, each with the time of its line; no value twice."""
        found = [(int(fields[3]), _instant(fields[0])) for fields in readings(self.folder)]
        assert len(found) == len(dict(found))
        return dict(found)

    def in_database(self) -> dict[int, float]:
        with closing(sqlite3.connect(self.folder / "kei.db")) as connection:
            found = connection.execute("SELECT value, time_ms FROM readings").fetchall()
        assert len(found) == len(dict(found))
        return {value // 10_000: time_ms / 1000 for value, time_ms in found}

    def pending(self) -> int:
        """How many readings wait in the database: asked again and again, so not by a process."""
        with closing(sqlite3.connect(self.folder / "kei.db")) as connection:
            (count,) = connection.execute("SELECT count(*) FROM pending").fetchone()
        return int(count)

    def uploaded(self, what: str) -> list[tuple[int, float]]:
        documents = (json.loads(body) for body in self.server.bodies)
        return [
            (row.get("value"), datetime.fromisoformat(row["time"]).timestamp())
            for document in documents
            for row in document.get(what, ())
        ]

    def is_right(self, found: dict[int, float]) -> bool:
        return found.keys() == self.made.keys() and all(
            abs(at - self.made[number]) < TOLERANCE_S for number, at in found.items()
        )


def _instant(text: str) -> float:
    return datetime.strptime(text, "%Y/%m/%d %H:%M:%S").timestamp()  # noqa: DTZ007 - local time


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(Server()) as server, board(tmp_path / "sensor") as sensor:
        yield Bench(tmp_path, sensor, server)


@pytest.mark.parametrize("behind", ["1970", "60 days"])
@pytest.mark.parametrize("killed", [False, True])
def test_all_that_waited_for_the_clock_is_there_when_it_is_set(
    bench: Bench, behind: str, *, killed: bool
) -> None:
    now = time.time()  # noqa: TID251 - the offset is of the machine's clock
    bench.set_clock(-60 * DAY_S if behind == "60 days" else 3600 - now)
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(12)
        if not killed:
            finish(bench, kei)
            return
        wait_until(lambda: bench.pending() == 12, 30, "what is pending")
        kei.send(signal.SIGKILL)
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        finish(bench, kei)


def test_what_waits_for_the_clock_can_be_exported(bench: Bench) -> None:
    bench.set_clock(-60 * DAY_S)
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(3)
        wait_until(lambda: bench.pending() == 3, 10, "what is pending")
        assert exported(bench, "--pending")[0] == "time,unit,sensor,value,id"
        assert [line.split(",")[3] for line in exported(bench, "--pending")[1:]] == ["0", "1", "2"]
        assert exported(bench, "--pending", "--sensor", "T2") == ["time,unit,sensor,value,id"]
        waits = "3 without a line wait for the clock to be set"
        wait_until(lambda: waits in status_of(bench), 20, "the running kei to say so")
        assert kei.stop() == 0
    assert "3 without a line wait for the next start of kei" in status_of(bench)


def test_a_restored_backup_writes_nothing_twice_of_what_waited_then(bench: Bench) -> None:
    bench.set_clock(-60 * DAY_S)
    copy = bench.folder / "copy.db"
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(3)
        wait_until(lambda: bench.pending() == 3, 10, "what is pending")
        with running("backup", "--jobs", str(bench.jobs), str(copy)) as backup:
            assert backup.wait() == 0, backup.output()
        bench.set_clock(0)
        kei.wait_for(lambda: len(bench.in_text()) == 3, 20, "lines")
        bench.measure(3)
        assert kei.stop() == 0
    with running("restore", "--jobs", str(bench.jobs), str(copy)) as restore:
        assert restore.wait() == 0, restore.output()
    bench.set_clock(1)  # so that the same reading would be another line
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(1)
        kei.wait_for(lambda: len(bench.in_text()) == 7, 20, "the new line")
        assert kei.stop() == 0
    assert bench.in_text().keys() == bench.in_database().keys() == bench.made.keys()
    assert exported(bench, "--pending")[1:] == []


def exported(bench: Bench, *arguments: str) -> list[str]:
    with running("export", "--jobs", str(bench.jobs), *arguments) as export:
        assert export.wait() == 0, export.output()
        return export.lines


def status_of(bench: Bench) -> str:
    with running("status", "--jobs", str(bench.jobs)) as status:
        status.wait()
    return "\n".join(status.lines)


def finish(bench: Bench, kei: Program) -> None:
    """Set the clock right while the sensor goes on and the kernel says that nobody has set it."""
    assert bench.in_text() == {}
    assert bench.server.posts == []
    assert summaries(bench.folder) == []
    bench.measure(3, 0.05)
    bench.set_clock(0)
    bench.measure(8, 0.05)
    kei.wait_for_event("clock_stepped")
    bench.measure(3)
    kei.wait_for(lambda: bench.is_right(bench.in_text()), 20, "every line, at its time")
    wait_until(lambda: len(bench.uploaded("readings")) >= len(bench.made), 20, "uploads")
    assert kei.stop() == 0
    assert bench.is_right(bench.in_text())
    assert bench.is_right(bench.in_database())
    assert len(bench.uploaded("readings")) == len(bench.made)
    assert bench.is_right(dict(bench.uploaded("readings")))
    first = min(bench.made.values()) - TOLERANCE_S
    assert all(at >= first for _, at in bench.uploaded("summaries"))
    assert not [line for line in kei.lines if '"level": "error"' in line]


@pytest.mark.parametrize("kept", [True, False])
def test_a_clock_that_is_ahead_for_some_seconds_costs_nothing(bench: Bench, *, kept: bool) -> None:
    """If a time service keeps it, that will set it right: nothing gets a time by it meanwhile."""
    right, ahead = ("synchronised", "not") if kept else ("", "")
    bench.set_clock(0, right)
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(10)
        kei.wait_for(lambda: len(summaries(bench.folder)) >= 1, 20, "an average")
        bench.set_clock(10 * YEAR_S if kept else 2 * YEAR_S, ahead)
        if kept:
            bench.measure(5)  # also before the step is noticed
        kei.wait_for_event("clock_stepped")
        if kept:
            bench.measure(12)
        else:
            time.sleep(2.5)  # noqa: TID251 - some seconds
        bench.set_clock(0, right)
        kei.wait_for_event("clock_stepped", count=2)
        bench.measure(5)
        kei.wait_for(lambda: bench.is_right(bench.in_text()), 20, "every line")
        wait_until(lambda: len(bench.uploaded("readings")) >= len(bench.made), 20, "uploads")
        assert kei.stop() == 0
        assert kei.events("pruned") == kei.events("upload_dropped") == []
    assert bench.is_right(bench.in_database())
    assert dict(bench.uploaded("readings")).keys() == bench.made.keys()
    with closing(sqlite3.connect(bench.folder / "kei.db")) as connection:
        states = connection.execute("SELECT DISTINCT state FROM summaries").fetchall()
        done = connection.execute(
            "SELECT value FROM state WHERE key = 'summary_done_until'"
        ).fetchone()
    assert ("recovered",) not in states
    assert int(done[0]) / 1000 < time.time() + 10  # noqa: TID251 - to compare with


def test_a_window_that_ended_while_kei_was_stopped_is_summed_up_at_the_start(
    bench: Bench,
) -> None:
    bench.set_clock(0)
    bench.jobs.write_text(bench.jobs.read_text().replace("cycle = 1\n", 'cycle = "1d"\n', 1))
    bench.set_clock(-DAY_S)
    with bench.running() as kei:
        wait_for_port(kei, bench.sensor)
        bench.measure(3)
        kei.wait_for(lambda: len(bench.in_text()) == 3, 20, "lines")
        assert kei.stop() == 0
    bench.set_clock(0)
    with bench.running() as kei:
        kei.wait_for(lambda: len(summaries(bench.folder)) == 1, 20, "yesterday's average")
        assert kei.stop() == 0
