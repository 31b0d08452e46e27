"""A running kei with a page, in a home that has been recorded for weeks."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from fakes import TOKYO
from programs import PATIENCE_S, SIMULATED, Program, command, free_port, running, write_jobs
from recorded_home import record_home

from kei.core.clock import SystemClock, epoch_ms, local

TARIFF = """
[tariff]
metering_day = 10
contract = "40A"
[[tariff.plan]]
from = 2024-04-01
name = "steps"
base = { per = "10A", price = 311.75 }
steps = [ { to = 120, price = 29.80 }, { to = 300, price = 36.40 }, { price = 40.49 } ]
[tariff.levy]
2025-05 = 3.98
2026-05 = 4.18
"""
REQUESTS = """
[[broute.requests]]
epc = ["E7", "E8"]
cycle = 1
[[broute.requests]]
epc = ["E0", "E3"]
cycle = 10
"""


@dataclass(frozen=True)
class Page:
    """The page of a running kei.

    Attributes:
        kei: the program.
        jobs: its jobs.toml.
        url: of the page, without the last slash.
    """

    kei: Program
    jobs: Path
    url: str

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE_S, **options)

    def json(self, path: str, **parameters: str | int) -> Any:
        answer = self.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def says(self, *arguments: str) -> str:
        """What a command of kei prints."""
        code, lines, errors = command(*arguments, "--jobs", self.jobs, TZ="Asia/Tokyo")
        assert code == 0, errors
        return "\n".join(lines)


def web_jobs(folder: Path, *more: str, port: int | None = None, simulator: str = "") -> Path:
    """A jobs.toml with a page at a free port; returns its path."""
    web = f'[web]\nlisten = "127.0.0.1:{port or free_port()}"'
    sensors = '[[serial]]\nport = "sim-sensor:"'
    return write_jobs(folder, SIMULATED + simulator, web, sensors, *more, requests=REQUESTS)


@contextmanager
def page(
    folder: Path,
    *,
    solar: bool = False,
    dongle: str = "RL7023-DSS",
    days: int = 40,
    forgets: tuple[timedelta, timedelta] | None = None,
) -> Iterator[Page]:
    """Run a kei with a page; all that it shows has been measured or recorded.

    Args:
        folder: for its files.
        solar: whether the home sells.
        dongle: that the meter is reached by.
        days: that were recorded.
        forgets: the registers between these times, counted from today's midnight, are missing.
    """
    clock = SystemClock(TOKYO)
    record_home(folder / "kei.db", clock, days=days, solar=solar)
    if forgets is not None:
        midnight = local(clock.now_ms(), TOKYO).replace(hour=0, minute=0, second=0, microsecond=0)
        span = [epoch_ms(midnight + each) for each in forgets]
        with closing(sqlite3.connect(folder / "kei.db")) as connection, connection:
            connection.execute(
                "DELETE FROM readings WHERE time_ms BETWEEN ? AND ? AND series_id IN"
                " (SELECT id FROM series WHERE sensor IN ('EA', 'EB'))",
                span,
            )
    port = free_port()
    simulator = f",dongle={dongle}{',solar' if solar else ''}"
    jobs = web_jobs(folder, TARIFF, port=port, simulator=simulator)
    with running("--jobs", str(jobs), cwd=folder, TZ="Asia/Tokyo") as kei:
        kei.wait_for_event("web_listening")
        found = Page(kei, jobs, f"http://127.0.0.1:{port}")
        kei.wait_for(
            lambda: found.json("/api/now")["current_a"]["r"] is not None, 20, "the first reading"
        )
        yield found
        if kei.process.poll() is None:
            assert kei.stop() == 0
