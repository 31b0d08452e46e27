"""`kei check`: what a configuration would do, without doing it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from kei import config
from kei.clock import Clock, local
from kei.jobs.plan import AIR_TIME_LIMIT_S, air_time_s, plan


def report(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Iterator[str]:
    """Yield the lines of the report: one for each job, then the estimated air time.

    Raises:
        ConfigError: the file does not validate.
    """
    wanted = config.load(path, environ=environ)
    now = local(clock.now_ms(), clock.zone)
    jobs = plan(wanted, clock.zone)
    width = max(len(job.id) for job in jobs)
    for job in jobs:
        following = job.trigger.get_next_fire_time(None, now).astimezone(clock.zone)
        when = f"every {job.every:<4}  next {following:%Y-%m-%d %H:%M:%S}"
        yield f"{job.id:{width}}  {when}  {job.what}"
    if wanted.broute:
        used = air_time_s(wanted)
        yield f"air time: about {used:.1f} s an hour of the {AIR_TIME_LIMIT_S} s that are allowed"
