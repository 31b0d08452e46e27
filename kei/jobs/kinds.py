"""The kinds of jobs, and the plan of those that a configuration asks for.

A module of `kei.jobs` that is not named in `_MACHINERY` is a kind of job, and defines `KIND`: it
is found by being there. Reading a configuration imports all of them, as a kind may have a table of
jobs.toml of its own. So they import APScheduler, the uploader, the session and the store only in
the function that builds the job, never at module level.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar

import kei.jobs
from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.settings.config import Config
from kei.settings.text_rules import show_duration

if TYPE_CHECKING:
    from kei.jobs.heartbeat import HeartbeatStatus
    from kei.meter.decoder import MeterDecoder
    from kei.meter.progress import HistoryStatus
    from kei.store.database import Database
    from kei.store.text import DailyFile
    from kei.timekeeping.gate import TimeGate
    from kei.timekeeping.monitor import ClockMonitor
    from kei.upload.health import Health
    from kei.upload.sender import Sender
    from kei.wisun.session import Session

# 300 kei are 10 a second. What a new summary has changed is not on the card by then, as Linux waits
# for 30 s (vm.dirty_expire_centisecs): what an upload changes is written together with it.
SPREAD_MAX_S = 30.0
_MACHINERY = frozenset({"advice", "kinds", "scheduler", "triggers"})


class Executor(StrEnum):
    """Thread pools: what waits in one never delays another. Jobs are listed in this order."""

    REQUESTS = "requests"
    SUMMARY = "summary"
    UPLOAD = "upload"
    UPKEEP = "upkeep"
    HISTORY = "history"
    HEARTBEAT = "heartbeat"


class Event(Enum):
    """What jobs can be run after at once, besides at the times of their schedules."""

    JOINED = auto()  # the meter can be asked
    SUMMARISED = auto()  # there are new summaries
    TRUSTED = auto()  # the clock has been trusted for long enough to remove old rows by it
    READY = auto()  # all readings are written and the clock can be trusted: at the start or later


@dataclass(frozen=True, slots=True)
class Every:
    """Runs whenever the time since 1970 is a multiple of the cycle: 10 s at :00, :10, :20.

    Attributes:
        cycle_s: from one run to the next, seconds.
        asks_server: whether runs are later than that, all by the same share of `spread_s`, which
            chance decides: the clocks of a fleet agree, and must not send it all at once.
    """

    cycle_s: float
    asks_server: bool = False

    @property
    def spread_s(self) -> float:
        """How much later runs can be, seconds."""
        return min(SPREAD_MAX_S, self.cycle_s / 2) if self.asks_server else 0.0


@dataclass(frozen=True, slots=True)
class AfterWindows:
    """Runs so long after each window of the local day has begun, and the one before has ended.

    Attributes:
        cycle_s: length of a window in seconds, a divisor of a day.
        delay_s: seconds after the start of the window.
    """

    cycle_s: int
    delay_s: int
    spread_s: ClassVar[float] = 0.0


Schedule = Every | AfterWindows


@dataclass(frozen=True, slots=True)
class JobContext:
    """What jobs are built with.

    Attributes:
        database: for everything but the text files.
        record: takes readings, to be written soon; waits while too many are waiting.
        recover: records values that were made good later, at once; returns how many were new.
            Raises `StoreError`.
        commit: brings everything recorded so far into the database; returns whether that was all,
            or some readings wait for the clock or the text.
        sums: the text files of averages.
        monitor: says whether the clock is synchronised.
        gate: says what the time by the clock may be used for.
        clock: wall and monotonic time.
        rng: for jitter.
        run_after: runs the jobs that are to run after an event; any thread.
        health: says how this kei is, for servers; any thread.
        problems: says what `kei status` would name, one line each; reads the disk; any thread.
        meter_incidents: shared by all jobs that ask the meter, so that what holds them all up is
            logged once.
        session: with the meter; None without a `[broute]` table.
        decoder: turns the meter's answers into readings; None as above.
    """

    database: Database
    record: Callable[[Sequence[Reading]], None]
    recover: Callable[[Sequence[Reading]], int]
    commit: Callable[[], bool]
    sums: DailyFile
    monitor: ClockMonitor
    gate: TimeGate
    clock: Clock
    rng: random.Random
    run_after: Callable[[Event], None]
    health: Callable[[], Health]
    problems: Callable[[], Sequence[str]]
    meter_incidents: Incidents
    session: Session | None = None
    decoder: MeterDecoder | None = None


def _nothing() -> None:
    """Do nothing: what a job that never takes long does when it is stopped."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that can be run.

    Attributes:
        run: runs it once.
        stop: makes a run end soon, and any later one at once.
        sender: of an upload, for the status document; None for any other job.
        history: says how far the record has been made complete, for the same; any thread.
        heartbeat: says how the server of `[heartbeat]` is told, for the same; any thread.
    """

    run: Callable[[], None]
    stop: Callable[[], None] = _nothing
    sender: Sender | None = None
    history: Callable[[], HistoryStatus] | None = None
    heartbeat: Callable[[], HeartbeatStatus] | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that a configuration asks for.

    Attributes:
        id: unique name.
        what: what it does, for a person.
        schedule: when it runs.
        executor: the thread pool it runs in.
        origin: what it is made from: as long as that is equal, a reload leaves the job alone.
        build: makes the job.
        needs_meter: whether a new session with the meter needs a new job as well.
        also_after: an event that it also runs after; None for none.
    """

    id: str
    what: str
    schedule: Schedule
    executor: Executor
    origin: object
    build: Callable[[JobContext], Job]
    needs_meter: bool = False
    also_after: Event | None = None

    @property
    def every(self) -> str:
        """How often it runs, for a person."""
        return duration(self.schedule.cycle_s)


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job.

    Attributes:
        plan: returns the jobs of this kind that a configuration asks for.
        tables: its own top-level tables of jobs.toml, each with the frozen dataclass of its keys;
            what is read from them is in `Config.job_tables`.
    """

    plan: Callable[[Config], Iterable[Planned]]
    tables: Mapping[str, type] = field(default_factory=dict)


def kinds() -> Iterator[JobKind]:
    """Yield every kind of job, by the names of their modules."""
    for name in sorted(module.name for module in iter_modules(kei.jobs.__path__)):
        if name not in _MACHINERY:
            kind = import_module(f"{kei.jobs.__name__}.{name}").KIND
            assert isinstance(kind, JobKind), f"KIND of {name}"
            yield kind


def tables() -> Mapping[str, type]:
    """Return the tables of jobs.toml that belong to kinds of jobs, with their dataclasses."""
    return {name: settings for kind in kinds() for name, settings in kind.tables.items()}


def plan(config: Config) -> list[Planned]:
    """Return the jobs of all kinds, in the order in which a start adds them. Starts nothing.

    Jobs of the same name are numbered: two groups may ask for the same properties.
    """
    jobs = [job for kind in kinds() for job in kind.plan(config)]
    order = list(Executor)
    seen: Counter[str] = Counter()
    planned = []
    for job in sorted(jobs, key=lambda job: order.index(job.executor)):
        seen[job.id] += 1
        number = seen[job.id]
        planned.append(job if number == 1 else replace(job, id=f"{job.id}.{number}"))
    return planned


def duration(seconds: float) -> str:
    """Return a duration as jobs.toml has it, parts of a second as decimals: `0.5s`, `10s`, `5m`."""
    return show_duration(seconds) if seconds % 1 == 0 else f"{seconds:g}s"
