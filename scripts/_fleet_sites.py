"""The sites of `rehearse_fleet.py`: many in one process, each with a database of its own.

A site is what kei is made of from the recorded row on: jobs.toml, database, queue, scheduler,
upload job, sender, HTTP. Instead of a meter, readings are made up when they are asked for.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

import structlog
from fakes import TOKYO
from stored import add_readings, daily

from kei.app.health import health_of
from kei.config import load
from kei.core.clock import SystemClock
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.jobs.kinds import JobContext
from kei.jobs.scheduler import Scheduler
from kei.jobs.upload import KIND
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.timekeeping.monitor import ClockStatus
from kei.upload.health import Health

if TYPE_CHECKING:
    from kei.timekeeping.gate import TimeGate
    from kei.timekeeping.monitor import ClockMonitor

TEN_S_MS = 10_000
E0_EVERY = 12  # one reading of the register to so many of the power, as in the default requests
RIGHT = ClockStatus(synchronised=True, likely_wrong=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process is to run.

    Attributes:
        sites: their names.
        folder: each has one in it.
        url: of the link.
        cycle_s: of the uploads.
        step_ms: from one reading to the next.
        seed: of everything that chance decides.
    """

    sites: tuple[str, ...]
    folder: Path
    url: str
    cycle_s: int
    step_ms: int
    seed: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: rows in all, and at how many sites."""

    rows: int
    sites: int


class Site:
    """One kei. Used by its upload job and by the thread that made it."""

    def __init__(self, name: str, plan: Plan) -> None:
        folder = plan.folder / name
        folder.mkdir()
        path = folder / "jobs.toml"
        path.write_text(
            f'[site]\nname = "{name}"\n[[upload]]\ntarget_url = "{plan.url}/{name}/write"\n'
            'format = "influx"\nwhat = "readings"\nhealth = true\ncompress = "gzip"\n'
            f"cycle = {plan.cycle_s}\n"
        )
        self._clock = SystemClock(TOKYO)
        self._folder, self._step_ms = folder, plan.step_ms
        self._rng = Random(f"{plan.seed} {name}")
        self._count = 0
        self._begin_ms = self._started_ms = self._clock.now_ms()
        self.database = Database.open(folder / "kei.db", self._clock)
        self.health: list[Health] = []
        [self._planned] = KIND.plan(load(path, environ={}))
        self._target = self._planned.id.removeprefix("upload-")
        self._jitter = Random(f"{plan.seed} {name} jitter")
        self.start()

    def start(self) -> None:
        """Begin to record and to upload, as after a start of kei."""
        self._next_ms, self._end_ms = self._clock.now_ms(), None
        self._job = self._planned.build(self._context())
        self._scheduler = Scheduler(self._clock, 1, self._jitter)
        self._scheduler.add(self._planned, self._job.run)
        self._scheduler.start()

    def commit(self) -> bool:
        """Record what the meter would have said since the last time."""
        until_ms = self._clock.now_ms() if self._end_ms is None else self._end_ms
        times = range(self._next_ms, until_ms, self._step_ms)
        add_readings(self.database, [r for time_ms in times for r in self._readings(time_ms)])
        self._next_ms = times[-1] + self._step_ms if times else self._next_ms
        return True

    def pile_up(self, rows: int) -> None:
        """Record so many readings of power as if for ten seconds each; their times are past."""
        self._begin_ms -= rows * TEN_S_MS
        times = range(self._begin_ms, self._begin_ms + rows * TEN_S_MS, TEN_S_MS)
        add_readings(self.database, [r for time_ms in times for r in self._readings(time_ms)])

    def no_more(self) -> None:
        """Let what is recorded by now be all."""
        self._end_ms = self._clock.now_ms()

    def waits(self) -> int:
        """Return how many rows wait."""
        return UploadQueue(self.database).waiting(self._target, What.READINGS).rows

    def stop(self) -> None:
        """Stop; what waits goes on to wait."""
        self.no_more()
        self._job.stop()
        if self._scheduler.running:
            self._scheduler.end()

    def _context(self) -> JobContext:
        """Return what an upload job uses of it; the rest is for other jobs."""
        return JobContext(
            database=self.database,
            record=lambda _: None,
            recover=len,
            commit=self.commit,
            sums=daily(self._folder),
            monitor=cast("ClockMonitor", None),
            gate=cast("TimeGate", None),
            clock=self._clock,
            rng=self._jitter,
            run_after=lambda _: None,
            health=self._look,
            problems=lambda: (),
            meter_incidents=Incidents(structlog.stdlib.get_logger("kei.request"), self._clock),
        )

    def _readings(self, time_ms: int) -> Sequence[Reading]:
        self._count += 1
        made = [Reading(time_ms, "BR", "E7", Decimal(self._rng.randrange(60, 3000)), "x")]
        if self._count % E0_EVERY == 0:
            made.append(Reading(time_ms, "BR", "E0", Decimal(self._count) / 10, "x"))
        return made

    def _look(self) -> Health:
        up_s = (self._clock.now_ms() - self._started_ms) / 1000
        self.health.append(health_of(None, RIGHT, up_s, self._folder, self._clock))
        return self.health[-1]


def run_sites(plan: Plan, pipe: Connection) -> None:
    """Run sites until they are told to end: the main function of a process.

    Takes `(method, arguments)` of `_Sites` from the pipe, and sends what it returns.
    """
    structlog.configure(processors=[_drop])
    sites = _Sites(plan)
    pipe.send(None)
    method = ""
    while method != "end":
        method, arguments = pipe.recv()
        pipe.send(getattr(sites, method)(*arguments))


class _Sites:
    """What the sites of a process can be told and asked."""

    def __init__(self, plan: Plan) -> None:
        self._folder = plan.folder
        self._sites = {name: Site(name, plan) for name in plan.sites}

    def pile_up(self, rows: int) -> None:
        for site in self._sites.values():
            site.pile_up(rows)

    def no_more(self) -> None:
        for site in self._sites.values():
            site.no_more()

    def backlog(self) -> Backlog:
        waiting = [site.waits() for site in self._sites.values()]
        return Backlog(sum(waiting), sum(rows > 0 for rows in waiting))

    def stop(self, names: Sequence[str]) -> None:
        for name in self._sites.keys() & names:
            self._sites[name].stop()

    def start(self, names: Sequence[str]) -> None:
        for name in self._sites.keys() & names:
            self._sites[name].start()

    def end(self) -> None:
        """Stop all, and leave the health reports that were made beside each database."""
        for name, site in self._sites.items():
            site.stop()
            site.database.close()
            made = [[report.time_ms, report.known()] for report in site.health]
            (self._folder / name / "health.json").write_text(json.dumps(made))


def _drop(_logger: object, _name: str, _event: object) -> str:
    raise structlog.DropEvent
