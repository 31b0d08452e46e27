#!/usr/bin/env python3
"""The way of one reading: functions, modules and threads from the request to the line in the file.

A real kei asks a simulated meter (another process, without latencies) for E7. Each call of a Python
function of kei is noted from the beginning of the request job until the line is in the text file,
in every thread that has a part in it. The median of several readings counts:

    scripts/trace_reading.py [--readings 9] [--list]
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from _project import ROOT, use_project

use_project()

import structlog
from programs import simulator, write_jobs

from kei import config
from kei.app.engine import Engine
from kei.core.clock import SystemClock

KEI = f"{ROOT / 'kei'}{os.sep}"
BEGIN, END = ("jobs/request.py", "run"), ("store/text.py", "append")
# Threads that go about their own business meanwhile.
BESIDE = ("clock", "status", "MainThread", "APScheduler")
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
REQUESTS = '[[broute.requests]]\nepc = ["E7"]\ncycle = 1\n'
DEADLINE_S = 60.0


@dataclass(slots=True)
class Way:
    """What one reading passed: functions by module and name, in the order of their first call."""

    functions: dict[tuple[str, str], None] = field(default_factory=dict)
    threads: dict[str, None] = field(default_factory=dict)
    calls: int = 0

    @property
    def modules(self) -> dict[str, None]:
        """The modules in the order in which the reading comes to them."""
        return dict.fromkeys(module for module, _ in self.functions)


class Tracer:
    """A profile function for all threads that notes the way of each reading."""

    def __init__(self) -> None:
        self.ways: list[Way] = []
        self._way: Way | None = None

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Note a call."""
        path = frame.f_code.co_filename
        if event not in ("call", "return") or not path.startswith(KEI):
            return
        where = (path.removeprefix(KEI), frame.f_code.co_qualname)
        short = (where[0], frame.f_code.co_name)
        if event == "return":
            if short == END and self._way is not None:
                self.ways.append(self._way)
                self._way = None
            return
        if short == BEGIN:
            self._way = Way()
        way, thread = self._way, threading.current_thread().name
        if way is None or thread.startswith(BESIDE):
            return
        way.functions[where] = None
        way.threads[thread] = None
        way.calls += 1


@contextmanager
def running(engine: Engine) -> Iterator[None]:
    """Run an engine."""
    engine.start()
    try:
        yield
    finally:
        engine.stop()


def trace(readings: int) -> list[Way]:
    """Return the ways of so many readings of a session that has been joined."""
    tracer = Tracer()
    with tempfile.TemporaryDirectory(prefix="kei-trace-") as name:
        folder = Path(name)
        with simulator(folder / "dongle"):
            jobs = write_jobs(folder, str(folder / "dongle"), requests=REQUESTS)
            settings = config.load(jobs, environ=os.environ)
            engine = Engine(settings, clock=SystemClock(), rng=random.Random(1))
            threading.setprofile(tracer)
            with running(engine):
                end = time.monotonic() + DEADLINE_S
                # The first ones come together with what is asked once after joining.
                while len(tracer.ways) < readings + 3:
                    if time.monotonic() >= end:
                        sys.exit(f"no {readings} readings within {DEADLINE_S:g} s")
                    time.sleep(0.1)  # noqa: TID251 - a script may
            threading.setprofile(None)
    return tracer.ways[3:]


def main() -> None:
    """Trace, and print the median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--readings", type=int, default=9)
    parser.add_argument("--list", action="store_true", help="the functions of a typical one")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    ways = trace(options.readings)
    typical = statistics.median_low(len(way.functions) for way in ways)
    way = next(way for way in ways if len(way.functions) == typical)
    if options.list:
        for module in way.modules:
            names = [name for where, name in way.functions if where == module]
            print(f"{module:36} {' '.join(names)}")
    named = sum(not name.endswith(COMPREHENSIONS) for _, name in way.functions)
    print(f"functions {len(way.functions)} ({named} without comprehensions)")
    print(f"modules {len(way.modules)}")
    print(f"calls {way.calls}")
    print(f"threads {len(way.threads)}: {', '.join(way.threads)}")


if __name__ == "__main__":
    main()
