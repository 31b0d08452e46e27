"""APScheduler, set up so that no step of the clock stalls it or makes it list missed runs."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from kei.core.clock import Clock, local
from kei.core.heartbeat import HEARTBEAT_S, Heartbeat
from kei.jobs.events import EVENTS, JobReporter, told_here
from kei.jobs.plan import Lane, Planned
from kei.jobs.triggers import AlignedInterval

log = structlog.stdlib.get_logger("kei.scheduler")

REQUESTS_AT_ONCE = 32  # the session decides who is next, so that none waits for a slow one
UPLOADS_AT_ONCE = 16  # threads start when needed; targets that a reload adds need theirs, too
_SLACK = timedelta(seconds=2)
_HEARTBEAT = "heartbeat"  # name of a job


class Scheduler:
    """Runs jobs by the wall clock. Thread-safe.

    A job that is late, be it by a step of the clock or by a busy machine, runs late, and once.

    Args:
        clock: what jobs are planned by.
        uploads: how many upload targets there are.

    Attributes:
        heartbeat: of the scheduler, by a job that does nothing else.
    """

    def __init__(self, clock: Clock, uploads: int) -> None:
        self._clock = clock
        self._inner = BackgroundScheduler(
            timezone=clock.zone,
            executors={
                Lane.REQUESTS.value: ThreadPoolExecutor(REQUESTS_AT_ONCE),
                Lane.SUMMARY.value: ThreadPoolExecutor(1),
                Lane.UPLOAD.value: ThreadPoolExecutor(max(UPLOADS_AT_ONCE, uploads)),
                Lane.UPKEEP.value: ThreadPoolExecutor(1),
                Lane.HEARTBEAT.value: ThreadPoolExecutor(1),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._inner.add_listener(JobReporter(clock), EVENTS)
        self.heartbeat = Heartbeat(clock)
        trigger = AlignedInterval(HEARTBEAT_S)
        self._inner.add_job(
            self.heartbeat.beat, trigger, id=_HEARTBEAT, executor=Lane.HEARTBEAT.value
        )

    @property
    def running(self) -> bool:
        """Whether it has been started and not ended."""
        return bool(self._inner.running)

    def start(self) -> None:
        """Begin to run jobs, in threads of its own."""
        # Each logger by itself: a filter does not see what comes up from the loggers below.
        executors = [f"apscheduler.executors.{lane.value}" for lane in Lane]
        for name in ("apscheduler.scheduler", *executors):
            logging.getLogger(name).addFilter(told_here)
        self._inner.start()

    def pause(self) -> None:
        """Begin no other job."""
        self._inner.pause()

    def end(self) -> None:
        """Wait for the jobs that run, and end all threads."""
        self._inner.shutdown()

    def add(self, planned: Planned, body: Callable[[], None]) -> None:
        """Run this from now on whenever the plan says."""
        self._inner.add_job(body, planned.trigger, id=planned.id, executor=planned.lane.value)

    def remove(self, name: str) -> None:
        """Forget a job, if there is one of this name; should it run now, it goes on to its end."""
        try:
            self._inner.remove_job(name)
        except JobLookupError:
            log.debug("job_gone", job=name)

    def run_now(self, names: Iterable[str]) -> None:
        """Have these jobs run at once; after that their cycles go on as they are."""
        now = self._now()
        for name in names:
            self._plan(name, now)

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - where the clock came from is no matter
        """Plan every job anew, as the clock has been set.

        None is run out of turn: the next instant of its cycle is as near as ever, and a clock that
        is set again and again must not have the meter asked as often.
        """
        for job in self._inner.get_jobs():
            self._plan(job.id, job.trigger.get_next_fire_time(None, self._now()))

    def synchronised(self) -> None:
        """Do nothing: jobs follow the wall clock, whether it can be trusted or not."""

    def mend(self) -> None:
        """Plan those jobs anew that wait for longer than their cycle; to be called now and then.

        A clock that is set and set back between two looks leaves such jobs. So does APScheduler: as
        it asks for the time before it takes its lock, one job may be planned by the time before a
        step just after all have been planned by the time after it.
        """
        now = self._now()
        for job in self._inner.get_jobs():
            # The slack is for a run that is due in this very moment, and has been begun already.
            latest = job.trigger.get_next_fire_time(None, now + _SLACK)
            if job.next_run_time is not None and job.next_run_time > latest:
                log.debug("job_replanned", job=job.id)
                self._plan(job.id, job.trigger.get_next_fire_time(None, now))

    def _plan(self, name: str, moment: datetime) -> None:
        try:
            self._inner.modify_job(name, next_run_time=moment)
        except JobLookupError:  # taken out by a reload, which plans everything itself
            log.debug("job_gone", job=name)

    def _now(self) -> datetime:
        return local(self._clock.now_ms(), self._clock.zone)
