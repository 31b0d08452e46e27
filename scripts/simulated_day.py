#!/usr/bin/env python3
"""Record a whole day of the simulated meter within minutes, by a clock that runs fast.

The real kei runs, against the simulator built into it: the daily text files, the averages and the
database that it leaves in FOLDER are like those of a day in a home. Only the clock differs: wall
and monotonic time, kei's and the meter's, run SPEED times as fast:

    TZ=Asia/Tokyo scripts/simulated_day.py FOLDER --date 2026-11-24
"""

import argparse
import os
import signal
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from _project import use_project

use_project()

import apscheduler.schedulers.background
import apscheduler.schedulers.base

from kei.app.runner import Runner
from kei.core.clock import SystemClock, epoch_ms, local, local_zone
from kei.core.signals import SignalQueue

LEAD_S, TRAIL_S = 90, 30  # before the first and after the last minute that is wanted
HOURS = 24
SPEED = 60  # a day in 24 minutes; one core of 2020 is then busy to a third

JOBS = """\
[broute]
port       = "sim:latency=0,scan-time=0,join-time=0{options}"
broute_id  = "00112233445566778899AABBCCDDEEFF"
broute_pwd = "0123456789AB"

[[broute.requests]]
epc   = ["E7", "E8"]
cycle = 10

[[broute.requests]]
epc   = ["E0", "E3"]
cycle = 300

[recorder]
wait_for_clock = 0
"""


class FastClock(SystemClock):
    """A clock that shows a given time when it is made, and runs fast from then on."""

    def __init__(self, start_ms: int, speed: float) -> None:
        super().__init__()
        self._start_ms, self._speed = start_ms, speed
        self._began = time.monotonic()

    def now_ms(self) -> int:
        """Return the fast wall clock, milliseconds since 1970 in UTC."""
        return self._start_ms + round((time.monotonic() - self._began) * self._speed * 1000)

    def monotonic(self) -> float:
        """Return fast seconds."""
        return time.monotonic() * self._speed

    def wait_s(self, seconds: float) -> float:
        """Return how long so many fast seconds take."""
        return max(0.0, seconds) / self._speed


def hasten_scheduler(clock: FastClock) -> None:
    """Make APScheduler, which asks the machine for the time, go by the fast clock."""

    class FastDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(clock.now_ms() / 1000, tz)

    base = apscheduler.schedulers.base
    base.datetime = FastDatetime
    process_jobs = base.BaseScheduler._process_jobs

    def fast_process_jobs(scheduler: object) -> float | None:
        wait_s = process_jobs(scheduler)
        return None if wait_s is None else clock.wait_s(wait_s)

    base.BaseScheduler._process_jobs = fast_process_jobs


def main() -> int:
    """Record; the exit code is 0 once the day is in the files."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="Run it with .venv/bin/python; TZ=Asia/Tokyo in front gives a Japanese day.",
    )
    parser.add_argument("folder", type=Path, help="a new or empty folder for what is recorded")
    parser.add_argument(
        "--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="default: yesterday"
    )
    parser.add_argument("--hours", type=float, default=HOURS, help="from 00:00 on (default: 24)")
    parser.add_argument(
        "--speed", type=float, default=SPEED, help=f"of the clock (default: {SPEED})"
    )
    parser.add_argument(
        "--sim", default="", metavar="OPTIONS", help='of the home: "seed=7" or "solar"'
    )
    options = parser.parse_args()
    zone = local_zone()
    today = local(SystemClock().now_ms(), zone).date()
    day = options.date or today - timedelta(days=1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    jobs = options.folder / "jobs.toml"
    jobs.write_text(JOBS.format(options=options.sim and "," + options.sim), encoding="utf-8")

    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    clock = FastClock(epoch_ms(midnight) - LEAD_S * 1000, options.speed)
    hasten_scheduler(clock)
    length_s = LEAD_S + options.hours * 3600 + TRAIL_S
    timer = threading.Timer(clock.wait_s(length_s), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    signals = SignalQueue()
    signals.install()
    timer.start()
    Runner(jobs, environ=os.environ, clock=clock, signals=signals).run()
    if clock.now_ms() < epoch_ms(midnight) + options.hours * 3_600_000:
        return 1  # ended by somebody before
    print(f"recorded until {local(clock.now_ms(), zone).astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    return 0


if __name__ == "__main__":
    sys.exit(main())
