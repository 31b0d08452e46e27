#!/usr/bin/env python3
"""Days and months of gaps filled from the meter's memory, compared with what the meter counts.

A real kei lives by a clock that runs fast, with the simulator built into it: for three days, then
it is off for five, then it lives for two more. At the end each half-hour has to be in the files and
in the database, once and exact. The same with lost answers, kills while it fills, a meter's clock
that is off, another zone, meters that remember less or know other histories, and others that ask
the meter, too; and all 99 days on the first start. The exit code is 1 if anything differs:

    scripts/soak_history.py [NAME...] [--list]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from _project import ROOT, use_project

use_project()

from fakes import FastClock
from meter_truth import DAY_S, SEED, day_start_s, differences, truth
from programs import write_jobs
from simulated_day import hasten_scheduler

import kei.app.engine
from kei.app.runner import Runner
from kei.core.clock import local_zone
from kei.core.signals import SignalQueue
from kei.timekeeping.linux import LinuxClock

SPEED, LIFELIKE_SPEED = 6000.0, 60.0
LOOK_S = 0.02
AT_ONCE = 2  # houses, of which each has one process
FAST = f"sim:latency=0,scan-time=0,join-time=0,seed={SEED},solar"
SLOW = f"sim:latency=0.1,scan-time=0,join-time=0,seed={SEED},solar"
LIFELIKE = f"sim:seed={SEED},solar"
REQUESTS = '[[broute.requests]]\nepc = ["E7"]\ncycle = 600'
NOTICED_S = 400  # a half-hour that ended later need not be recorded yet
# Over a month's end; both are in the morning in Japan, and late on the evening before in UTC.
FIRST, LAST = "2026-11-27T23:20:00", "2026-12-07T23:20:00"
Life = tuple[float, float, bool]
"""Its first day and its last one, counted from `FIRST`, and whether it ends by a kill."""
THREE_FIVE_TWO = ((0.0, 3.0, False), (8.0, 10.0, False))


@dataclass(frozen=True)
class House:
    """A meter, a machine, and what they live through.

    Attributes:
        port: the simulator's.
        lives: when kei runs.
        days: of `[history]`; what is older than these, at the first start, is not looked at.
        remembered: so many days the meter has at most.
        sensors: what has to be complete.
        zone: the machine's.
        speed: of the clock of machine and meter.
    """

    port: str = FAST
    lives: tuple[Life, ...] = THREE_FIVE_TWO
    days: int = 3
    remembered: int = 99
    sensors: str = "EA EB"
    zone: str = "UTC"
    speed: float = SPEED


FIRST_START = ((0.0, 0.05, False),)


def _killed(every_s: float, times: int) -> tuple[Life, ...]:
    """Lives that are ended by a kill while they fill, then one that is not."""
    step = every_s / 86_400
    kills = tuple((8 + step * number, 8 + step * (number + 1), True) for number in range(times))
    return (*kills, (8 + step * times, 8.1, False))


HOUSES = {
    "first-start": House(lives=FIRST_START, days=99),
    "first-start-tokyo": House(lives=FIRST_START, days=99, zone="Asia/Tokyo"),
    "first-start-lifelike": House(LIFELIKE, FIRST_START, 99, speed=LIFELIKE_SPEED),
    "no-notices": House(f"{FAST},lacks=EA+EB", ((0.0, 0.1, False),), 1, sensors="EA"),
    "off-for-five-days": House(days=9),
    "tokyo": House(days=9, zone="Asia/Tokyo"),
    "lost-answers": House(f"{FAST},fault=drop%20", days=9),
    "killed": House(SLOW, _killed(10, 8), 30, speed=LIFELIKE_SPEED),
    "killed-and-lost": House(f"{SLOW},fault=drop%20", _killed(20, 8), 9, speed=LIFELIKE_SPEED),
    "ahead": House(f"{FAST},clock-skew=240", days=9),
    "behind": House(f"{FAST},clock-skew=-240", days=9),
    "remembers-40": House(f"{FAST},remembers=40", FIRST_START, 99, 40),
    "no-E4": House(f"{FAST},lacks=E4", days=9),
    "no-E4-EC": House(f"{FAST},lacks=E4+EC+ED", days=9, sensors="EA"),
    "no-E5": House(f"{FAST},lacks=E5", days=9),
    "others-ask": House(f"{FAST},foreign-sets=7", days=9),
}


def instant_s(text: str) -> float:
    """Read an instant in UTC, seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def live(house: House, jobs: Path, begin_s: float, end_s: float, *, killed: bool) -> None:
    """Be a kei by a fast clock, from an instant to another one."""

    class Synchronised(LinuxClock):
        def kernel_synchronised(self) -> bool | None:
            return True

    clock = FastClock(house.speed, local_zone())
    clock.set(round(begin_s * 1000))
    hasten_scheduler(clock)
    vars(kei.app.engine)["LinuxClock"] = Synchronised

    def end() -> None:
        pause = threading.Event()
        while clock.now_ms() < end_s * 1000:
            pause.wait(LOOK_S)
        os.kill(os.getpid(), signal.SIGKILL if killed else signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    signals = SignalQueue()
    signals.install()
    Runner(jobs, environ=os.environ, clock=clock, signals=signals).run()


def live_through(name: str) -> bool:
    """Live all lives of a house; say what differs, and return whether nothing does."""
    house, began, first_s = HOUSES[name], time.monotonic(), instant_s(FIRST)
    with tempfile.TemporaryDirectory(prefix="kei-soak-") as place:
        folder = Path(place)
        history = f"[history]\ndays = {house.days}\n[recorder]\nwait_for_clock = 0"
        jobs = write_jobs(folder, house.port, history, requests=REQUESTS)
        with (folder / "log").open("w") as log:
            codes = [_live_once(name, jobs, first_s, life, log) for life in house.lives]
        begin_s, last_s = (first_s + days * DAY_S for days in house.lives[-1][:2])
        oldest_s = day_start_s(min(house.days, house.remembered), begin_s)
        within = oldest_s, last_s - NOTICED_S
        differs = differences(folder, *within, house.sensors, house.zone)
        is_well = not differs and not set(codes) - {0, -signal.SIGKILL}
        count = truth(*within, house.sensors).total()
        if not is_well:
            print(*(folder / "log").read_text().splitlines()[-20:], sep="\n")
    took_s = time.monotonic() - began
    print(
        f"{name:21} values {count:5}  differences {differs or 'none'}  {took_s:.0f} s", flush=True
    )
    return is_well


def _live_once(name: str, jobs: Path, first_s: float, life: Life, log: IO[str]) -> int:
    begin, end, killed = life
    times = [str(first_s + days * DAY_S) for days in (begin, end)]
    return subprocess.run(
        [sys.executable, __file__, "--live", name, str(jobs), *times, *["--kill"] * killed],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TZ": HOUSES[name].zone},
        stdout=log,
        check=False,
    ).returncode


def main() -> int:
    """Live through the houses that are asked for, or be one of the lives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of houses (default: all)")
    parser.add_argument("--list", action="store_true", help="the names of the houses")
    parser.add_argument("--live", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.live:
        name, jobs, begin, end = options.live
        live(HOUSES[name], Path(jobs), float(begin), float(end), killed=options.kill)
        return 0
    if options.list:
        print(*HOUSES, sep="\n")
        return 0
    if wrong := set(options.names) - HOUSES.keys():
        parser.error(f"no such house: {', '.join(sorted(wrong))}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return 0 if all(list(pool.map(live_through, options.names or HOUSES))) else 1


if __name__ == "__main__":
    sys.exit(main())
