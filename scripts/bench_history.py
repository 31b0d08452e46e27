#!/usr/bin/env python3
"""Days filled a minute from the meter's memory, and how long a live request waits meanwhile.

kei's session asks a simulated meter with the latencies of real ones for its power every 10 seconds,
first alone, then while a second thread reads the 99 days of its memory again and again. Session and
simulator share a clock that runs fast; all times are of that clock. `others` is how many questions
of the history were answered, or given up, between asking for the power and its answer:

    scripts/bench_history.py [--samples 500] [--sim fault=drop%2]
"""

import argparse
import logging
import statistics
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from _project import use_project

use_project()

import structlog
from soak import Rig

from kei.core.errors import KeiError, RetryLater
from kei.meter.history import HistoryReader, Way
from kei.wisun.requests import Request

POWER, CYCLE_S, BUDGET_S = 0xE7, 10.0, 10.0
SPEED = 60.0
AIR_TIME_PAUSE_S = 0.2  # as the job of the default requests has it
DAYS = 100


class Watched:
    """Notes when questions of the history hold the dongle.

    Args:
        rig: whose session.
    """

    def __init__(self, rig: Rig) -> None:
        self.held: list[tuple[float, float]] = []
        attempt = rig.session._requests.attempt

        def watched(request: Request) -> None:
            begun = rig.clock.monotonic()
            try:
                attempt(request)
            finally:
                if request.epcs != (POWER,):
                    self.held.append((begun, rig.clock.monotonic()))

        vars(rig.session._requests)["attempt"] = watched

    def between(self, begun: float, ended: float) -> int:
        """How many held it, at least in part, within a time."""
        return sum(start < ended and end > begun for start, end in self.held)


def ask_for_power(rig: Rig, samples: int, watched: Watched) -> list[tuple[float, int]]:
    """Ask so often; return how long each took, and how many others held the dongle meanwhile."""
    pause, found = threading.Event(), []
    due = rig.clock.monotonic()
    for _ in range(samples):
        due += CYCLE_S
        pause.wait(rig.clock.wait_s(due - rig.clock.monotonic()))
        begun = rig.clock.monotonic()
        with suppress(RetryLater):
            rig.session.get((POWER,), BUDGET_S)
        ended = rig.clock.monotonic()
        found.append((ended - begun, watched.between(begun, ended)))
    return found


def read_days(reader: HistoryReader, count: Callable[[], None]) -> None:
    """Read day after day until the reader is stopped."""
    number = 0
    while True:
        number += 1
        day = reader.now().date() - timedelta(days=number % DAYS)
        try:
            reader.read(day, Way(by_day=True, has_reverse=True))
        except RetryLater:
            continue
        except KeiError:
            return
        count()


def show(name: str, found: list[tuple[float, int]], days_a_minute: float | None = None) -> None:
    """Print one row."""
    took = [seconds for seconds, _ in found]
    cuts = statistics.quantiles(took, n=100)
    others = max(number for _, number in found)
    speed = "" if days_a_minute is None else f"{days_a_minute:15.1f}"
    print(f"{name:10} {cuts[49]:7.2f} {cuts[98]:7.2f} {max(took):7.2f} {others:7}{speed}")


def main() -> int:
    """Measure; the exit code is 1 if a live request had to wait for two questions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--sim", default="", metavar="OPTIONS", help="of the simulator")
    options = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=True,
    )
    days = 0

    def count() -> None:
        nonlocal days
        days += 1

    port = f"seed=7,solar,{options.sim}".strip(",")
    with Rig(port, speed=SPEED) as rig:
        watched, pause = Watched(rig), threading.Event()
        while not rig.session.is_joined:
            pause.wait(0.05)
        print(f"E7 every {CYCLE_S:g} s, {options.samples} times, {port}")
        print(f"{'':10} {'p50 s':>7} {'p99 s':>7} {'max s':>7} {'others':>7} {'days a minute':>14}")
        show("alone", ask_for_power(rig, options.samples, watched))
        reader = HistoryReader(rig.session, rig.clock, lambda: 0.0, AIR_TIME_PAUSE_S)
        thread = threading.Thread(target=read_days, args=(reader, count))
        begun = rig.clock.monotonic()
        thread.start()
        found = ask_for_power(rig, options.samples, watched)
        minutes = (rig.clock.monotonic() - begun) / 60
        reader.stop()
        thread.join()
        show("filling", found, days / minutes)
    return int(max(number for _, number in found) > 1)


if __name__ == "__main__":
    sys.exit(main())
