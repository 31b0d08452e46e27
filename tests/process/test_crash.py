"""Killed at random instants while it records: nothing is lost, and nothing is there twice.

`scripts/soak_crash.py` does the same for as long as one likes.
"""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from crashes import Victim
from programs import readings, running

pytestmark = pytest.mark.usefixtures("unmeasured")  # what is killed has nothing to say

KILLS = 8


def test_whatever_the_instant_of_the_kill_text_and_database_have_everything_once(
    tmp_path: Path,
) -> None:
    victim = Victim(tmp_path, seed=1)
    deaths = [victim.die() for _ in range(KILLS)]
    assert victim.live_and_end() == 0
    assert [death for death in deaths if death.lost or death.unrecorded or death.differences] == []
    text = victim.exported()
    assert sum(text.values()) == victim.in_database() >= deaths[-1].lines > 0
    assert victim.has_every_window_once()


def test_a_kill_costs_no_milliseconds(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text('[[serial]]\nport = "sim-sensor:interval=0.1"\n')
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= 10, 30, "lines")
        kei.send(signal.SIGKILL)
        kei.wait()
    with closing(sqlite3.connect(tmp_path / "kei.db")) as connection:
        assert connection.execute("SELECT count(*) FROM readings").fetchone() == (0,)
    lines = len(readings(tmp_path))
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("lines_read_into_database")
        assert kei.stop() == 0
    with closing(sqlite3.connect(tmp_path / "kei.db")) as connection:
        rows = connection.execute("SELECT time_ms FROM readings ORDER BY id LIMIT ?", (lines,))
        exact = [time_ms for (time_ms,) in rows if time_ms % 1000]
    assert len(exact) > lines * 0.9
