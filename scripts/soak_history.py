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
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _project import ROOT, use_project

use_project()

from meter_truth import SEED, day_start_s, differences
from programs import write_jobs
from simulated_day import hasten_scheduler

import kei.app.engine
from kei.app.runner import Runner
from kei.core.signals import SignalQueue
from kei.timekeeping.linux import LinuxClock

SPEED = 2000.0
LOOK_S = 0.02
AT_ONCE = 2  # houses, of which each has one process
FAST = f"sim:latency=0,scan-time=0,join-time=0,seed={SEED},solar"
LIFELIKE = f"sim:seed={SEED},solar"
REQUESTS = '[[broute.requests]]\nepc = ["E7"]\ncycle = 60'
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
    """

    port: str = FAST
    lives: tuple[Life, ...] = THREE_FIVE_TWO
    days: int = 3
    remembered: int = 99
    sensors: str = "EA EB"
    zone: str = "UTC"


def _killed(every_s: float, times: int) -> tuple[Life, ...]:
    """Lives that are ended by a kill while they fill, then one that is not."""
    step = every_s / 86_400
    kills = tuple((8 + step * number, 8 + step * (number + 1), True) for number in range(times))
    return (*THREE_FIVE_TWO[:1], *kills, (8 + step * times, 10.0, False))


HOUSES = {
    "first-start": House(lives=((0.0, 0.3, False),), days=99),
    "first-start-tokyo": House(lives=((0.0, 0.3, False),), days=99, zone="Asia/Tokyo"),
    "first-start-lifelike": House(LIFELIKE, ((0.0, 0.3, False),), 99),
    "off-for-five-days": House(days=9),
    "tokyo": House(days=9, zone="Asia/Tokyo"),
    "lifelike": House(LIFELIKE, days=9),
    "lost-answers": House(f"{LIFELIKE},fault=drop%20", days=9),
    "killed": House(LIFELIKE, _killed(20, 8), 9),
    "killed-and-lost": House(f"{LIFELIKE},fault=drop%20", _killed(40, 8), 9),
    "ahead": House(f"{FAST},clock-skew=240", days=9),
    "behind": House(f"{FAST},clock-skew=-240", days=9),
    "remembers-40": House(f"{FAST},remembers=40", ((0.0, 0.3, False),), 99, 40),
    "no-E4": House(f"{FAST},lacks=E4", days=9),
    "no-E4-EC": House(f"{FAST},lacks=E4+EC+ED", days=9, sensors="EA"),
    "no-E5": House(f"{FAST},lacks=E5", days=9),
    "others-ask": House(f"{LIFELIKE},foreign-sets=7", days=9),
}


def instant_s(text: str) -> float:
    """Read an instant in UTC, seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def live(jobs: Path, begin_s: float, end_s: float, *, killed: bool) -> None:
    """Be a kei by a fast clock, from an instant to another one."""
    from fakes import FastClock

    class Synchronised(LinuxClock):
        def kernel_synchronised(self) -> bool | None:
            return True

    clock = FastClock(SPEED, datetime.now().astimezone().tzinfo)
    clock._began_ms = round(begin_s * 1000)
    clock._begun = clock.monotonic()
    hasten_scheduler(clock)
    kei.app.engine.LinuxClock = Synchronised

    def end() -> None:
        while clock.now_ms() < end_s * 1000:
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGKILL if killed else signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    signals = SignalQueue()
    signals.install()
    Runner(jobs, environ=os.environ, clock=clock, signals=signals).run()


def live_through(name: str) -> bool:
    """Live all lives of a house; say what differs, and return whether nothing does."""
    house = HOUSES[name]
    began = time.monotonic()
    first_s = instant_s(FIRST)
    with tempfile.TemporaryDirectory(prefix="kei-soak-") as folder:
        history = f"[history]\ndays = {house.days}\n[recorder]\nwait_for_clock = 0"
        jobs = write_jobs(Path(folder), house.port, history, requests=REQUESTS)
        for begin, end, killed in house.lives:
            times = [str(first_s + days * 86_400) for days in (begin, end)]
            done = subprocess.run(
                [sys.executable, __file__, "--live", str(jobs), *times, *["--kill"] * killed],
                env=os.environ | {"PYTHONPATH": str(ROOT), "TZ": house.zone},
                stdout=Path(folder, "log").open("a"),
                check=False,
            )
            if done.returncode not in {0, -signal.SIGKILL}:
                print(f"{name}: kei has ended with {done.returncode}", flush=True)
                return False
        last_s = first_s + house.lives[-1][1] * 86_400
        oldest_s = day_start_s(
            min(house.days, house.remembered), first_s if house.days == 3 else last_s
        )
        differs = differences(Path(folder), oldest_s, last_s - NOTICED_S, house.sensors, house.zone)
        log = Path(folder, "log").read_text()
        if differs:
            Path(f"/tmp/soak_history_{name}.log").write_text(log)
    days = timedelta(seconds=last_s - oldest_s).days
    print(
        f"{name:22} {days:3} days  differences {differs or 'none'}"
        f"  {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return not differs


def main() -> int:
    """Live through the houses that are asked for, or be one of the lives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of houses (default: all)")
    parser.add_argument("--list", action="store_true", help="the names of the houses")
    parser.add_argument("--live", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.live:
        jobs, begin, end = options.live
        live(Path(jobs), float(begin), float(end), killed=options.kill)
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
