"""A clock that is set while kei runs, or before: the real program, with only the wall clock false.

The dongle is another process, whose clock stays right, as that of a real meter does.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from programs import ROOT, Program, readings, running, simulator, write_jobs

pytestmark = pytest.mark.usefixtures("unmeasured")  # the way of others through kei

CYCLE_S = 0.5
BUSY_S = 2.0  # what a machine with other work to do may take beyond that
HOUR_S, YEAR_S = 3600, 365 * 86_400
MEMORY_KB = 6_000  # a list of the missed runs of a year alone is hundreds of MB
REQUESTS = """
[[broute.requests]]
epc = ["E7"]
cycle = "500ms"
[[broute.requests]]
epc = ["D3", "D7", "E1"]
cycle = 3600
[recorder]
wait_for_clock = 0
sync = 1
[[upload]]
name = "nobody"
target_url = "http://127.0.0.1:9/"
format = "json"
cycle = 1
"""


@dataclass
class Home:
    """A folder with its kei, and the clock it goes by."""

    folder: Path
    kei: Program

    def set_clock(self, seconds: float) -> None:
        """Let kei's wall clock be off by so much."""
        set_offset(self.folder, seconds)

    def shown(self, offset_s: float) -> datetime:
        """What kei's clock shows, in its zone."""
        return datetime.fromtimestamp(time.time() + offset_s).astimezone()  # noqa: TID251

    def wait_for_readings(self, count: int, offset_s: float, idle_s: float) -> None:
        """Wait for more readings, under the times that the clock shows from now on."""
        begun = self.shown(offset_s).replace(microsecond=0, tzinfo=None)
        until = begun + timedelta(seconds=60)

        def so_far() -> int:
            return sum(begun <= moment < until for moment in self.moments())

        enough = so_far() + count
        self.kei.wait_for(
            lambda: so_far() >= enough,
            20,
            f"{count} x E7 with the clock off by {offset_s}",
            idle_s=idle_s,
        )

    def moments(self) -> list[datetime]:
        text = (f"{fields[0]}" for fields in readings(self.folder) if fields[2] == "E7")
        return [datetime.strptime(moment, "%Y/%m/%d %H:%M:%S") for moment in text]  # noqa: DTZ007

    @property
    def memory_kb(self) -> int:
        text = Path(f"/proc/{self.kei.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1])

    def faults(self) -> list[str]:
        told = [line for line in self.kei.lines if re.search(r'"level": ?"(error|critical)"', line)]
        return told + self.kei.errors


def set_offset(folder: Path, seconds: float) -> None:
    # In one go: the file is read at any moment.
    new = folder / "offset.new"
    new.write_text(str(round(seconds * 1000)))
    new.replace(folder / "offset")


@contextmanager
def home(folder: Path, offset_s: float) -> Iterator[Home]:
    set_offset(folder, offset_s)
    with simulator(folder / "dongle"):
        jobs = write_jobs(folder, str(folder / "dongle"), requests=REQUESTS)
        program = (
            str(ROOT / "tests" / "support" / "kei_by_another_clock.py"),
            str(folder / "offset"),
        )
        with running("--jobs", str(jobs), program=program) as kei:
            yield Home(folder, kei)


@pytest.mark.parametrize("size_s", [HOUR_S, YEAR_S, 10 * YEAR_S])
def test_readings_go_on_within_two_cycles_of_a_step_in_either_direction(
    tmp_path: Path, size_s: int
) -> None:
    with home(tmp_path, 0) as it:
        it.wait_for_readings(1, 0, 20)
        before_kb = it.memory_kb
        for count, offset_s in enumerate((size_s, 0, -size_s, 0), 1):
            it.set_clock(offset_s)
            it.wait_for_readings(1, offset_s, 2 * CYCLE_S + BUSY_S)
            it.kei.wait_for_event("clock_stepped", count=count)
        assert it.memory_kb - before_kb < MEMORY_KB
        steps = [event["by_s"] for event in it.kei.events("clock_stepped")]
        assert steps == [size_s, -size_s, -size_s, size_s]
        assert it.kei.stop() == 0
        assert it.faults() == []
        assert it.kei.events("job_still_running") == []


@pytest.mark.parametrize("size_s", [-10 * YEAR_S, -YEAR_S, -HOUR_S, HOUR_S, YEAR_S, 10 * YEAR_S])
def test_a_clock_that_is_put_right_during_the_start_delays_nothing(
    tmp_path: Path, size_s: int
) -> None:
    with home(tmp_path, size_s) as it:
        it.kei.wait_for_event("dongle_ready")
        it.set_clock(0)
        it.kei.wait_for_event("session_joined")
        # The first is asked for right after joining; only the second is a cycle's.
        it.wait_for_readings(2, 0, 3 * CYCLE_S + BUSY_S)
        assert it.kei.stop() == 0
        assert it.faults() == []
