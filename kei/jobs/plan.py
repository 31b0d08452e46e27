"""Which jobs a configuration asks for: their names, what they do, and when. Starts nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import tzinfo
from enum import StrEnum

from apscheduler.triggers.base import BaseTrigger

from kei.jobs.triggers import AfterWindows, AlignedInterval
from kei.settings.broute import RequestGroup
from kei.settings.config import Config
from kei.settings.upload import UploadTarget

REQUEST_PREFIX = "request-"  # of the names of jobs that ask the meter
UPLOAD_PREFIX = "upload-"  # of the names of jobs that post
SUMMARY_DELAY_S = 3  # after the window: a reading of its last instant has been written by then
DAY_S = 86_400
# 03:17, off the full hour when everybody's jobs run; an hour off on the day of a clock change.
PRUNE_AT_S = 3 * 3600 + 17 * 60
AIR_TIME_A_FRAME_S = 0.01  # 100 bytes at 100 kbit/s and the pause after them (ARIB STD-T108)
AIR_TIME_LIMIT_S = 360  # in any hour (ARIB STD-T108)


class Lane(StrEnum):
    """Executors: what waits in one never delays another."""

    REQUESTS = "requests"
    SUMMARY = "summary"
    UPLOAD = "upload"
    UPKEEP = "upkeep"
    HEARTBEAT = "heartbeat"


class Upkeep(StrEnum):
    """The jobs that belong to nothing in particular."""

    SUMMARY = "summary"
    PRUNE = "prune"


@dataclass(frozen=True, slots=True)
class Planned:
    """A job to be scheduled.

    Attributes:
        id: unique name.
        what: what it does, for a person.
        every: how often, for a person.
        subject: what it works on.
        lane: the executor it runs in.
        trigger: when it runs.
    """

    id: str
    what: str
    every: str
    subject: RequestGroup | UploadTarget | Upkeep
    lane: Lane
    trigger: BaseTrigger


def plan(config: Config, zone: tzinfo) -> list[Planned]:
    """Return the jobs of a configuration, in the order in which a start runs them.

    Args:
        config: what the owner wants.
        zone: local time, for the windows of the day.
    """
    jobs = [_request(group) for group in (config.broute.requests if config.broute else ())]
    cycle_s = config.summary.cycle_s
    jobs.append(
        Planned(
            id="summary",
            what=f"averages of each {duration(cycle_s)}",
            every=duration(cycle_s),
            subject=Upkeep.SUMMARY,
            lane=Lane.SUMMARY,
            trigger=AfterWindows(cycle_s, zone, SUMMARY_DELAY_S),
        )
    )
    jobs += [_upload(target) for target in config.upload]
    jobs.append(
        Planned(
            id="prune",
            what=f"remove readings older than {duration(config.recorder.retention_s)}",
            every="1d",
            subject=Upkeep.PRUNE,
            lane=Lane.UPKEEP,
            trigger=AfterWindows(DAY_S, zone, PRUNE_AT_S),
        )
    )
    return list(_by_names_of_their_own(jobs))


def _by_names_of_their_own(jobs: Iterable[Planned]) -> Iterator[Planned]:
    """Number jobs of the same name: two groups may ask for the same properties."""
    seen: Counter[str] = Counter()
    for job in jobs:
        seen[job.id] += 1
        yield job if seen[job.id] == 1 else replace(job, id=f"{job.id}.{seen[job.id]}")


def _request(group: RequestGroup) -> Planned:
    names = "-".join(f"{epc:02X}" for epc in group.epcs)
    return Planned(
        id=f"{REQUEST_PREFIX}{names}",
        what=f"ask the meter for {names.replace('-', ' ')}",
        every=duration(group.cycle_s),
        subject=group,
        lane=Lane.REQUESTS,
        trigger=AlignedInterval(group.cycle_s),
    )


def _upload(target: UploadTarget) -> Planned:
    return Planned(
        id=f"{UPLOAD_PREFIX}{target.name}",
        what=f"post what is new to {target.name}",
        every=duration(target.cycle_s),
        subject=target,
        lane=Lane.UPLOAD,
        trigger=AlignedInterval(target.cycle_s),
    )


def air_time_s(config: Config) -> float:
    """Return about how long the dongle transmits in an hour, in seconds."""
    groups = config.broute.requests if config.broute else ()
    return sum(3600 / group.cycle_s * AIR_TIME_A_FRAME_S for group in groups)


def duration(seconds: float) -> str:
    """Return a duration as jobs.toml has it: `10s`, `5m`, `1h`, `1d`."""
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{letter}"
    return f"{seconds:g}s"
