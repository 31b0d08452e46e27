"""APScheduler, set up so that no step of the clock stalls it or makes it list missed runs."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random
from traceback import format_tb

import apscheduler.job
import structlog
from apscheduler.executors.base import MaxInstancesReachedError
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from kei.core.clock import Clock, local
from kei.core.heartbeat import HEARTBEAT_S, Heartbeat
from kei.core.incidents import Incidents
from kei.jobs.kinds import Every, Executor, Planned, Schedule
from kei.jobs.triggers import ScheduleTrigger

log = structlog.stdlib.get_logger("kei.scheduler")

REQUESTS_AT_ONCE = 32  # the session decides who is next, so that none waits for a slow one
UPLOADS_AT_ONCE = 16  # at least: targets that a reload adds need threads, too
# Their jobs log by themselves what is wrong when they take long.
_LOG_DELAYS_THEMSELVES = (Executor.REQUESTS, Executor.UPLOAD, Executor.HISTORY)
_SLACK = timedelta(seconds=2)
_HEARTBEAT = "heartbeat"  # name of a job


class _Pool(ThreadPoolExecutor):  # type: ignore[misc]  # APScheduler 3 has no types
    """A thread pool that reports a job which is due while its last run goes on.

    The base class raises an error instead, and APScheduler logs that each time.

    Args:
        threads: so many jobs run at once.
        still_running: is called with the name of such a job.
    """

    def __init__(self, threads: int, still_running: Callable[[str], None]) -> None:
        super().__init__(threads)
        self._still_running = still_running

    def submit_job(self, job: apscheduler.job.Job, run_times: Sequence[datetime]) -> None:
        """Run the job in a thread, unless it runs already."""
        try:
            super().submit_job(job, run_times)
        except MaxInstancesReachedError:
            self._still_running(job.id)


class Scheduler:
    """Runs jobs by the wall clock. Thread-safe.

    A job that is late, because of a step of the clock or of a busy machine, runs late, and once.

    Args:
        clock: what jobs are planned by.
        uploads: how many upload targets there are.
        rng: for how much later than a cycle says servers are asked: which share of what is allowed.

    Attributes:
        heartbeat: of the scheduler, by a job that does nothing else.
    """

    def __init__(self, clock: Clock, uploads: int, rng: Random) -> None:
        self._clock = clock
        # Once: a reload must not make an interval longer than the cycle.
        self._lateness = rng.random()
        self._incidents = Incidents(log, clock)
        threads = {
            Executor.REQUESTS: REQUESTS_AT_ONCE,
            Executor.UPLOAD: max(UPLOADS_AT_ONCE, uploads + 1),  # and a heartbeat
        }
        self._inner = BackgroundScheduler(
            timezone=clock.zone,
            executors={
                executor.value: _Pool(
                    threads.get(executor, 1), partial(self._still_running, executor)
                )
                for executor in Executor
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self.heartbeat = Heartbeat(clock)
        self._add(_HEARTBEAT, Every(HEARTBEAT_S), Executor.HEARTBEAT, self.heartbeat.beat)

    @property
    def running(self) -> bool:
        """Whether it has been started and not ended."""
        return bool(self._inner.running)

    def start(self) -> None:
        """Begin to run jobs, in threads of its own."""
        self._inner.start()

    def pause(self) -> None:
        """Begin no other job."""
        self._inner.pause()

    def end(self) -> None:
        """Wait for the jobs that run, and end all threads."""
        self._inner.shutdown()

    def add(self, planned: Planned, run: Callable[[], None]) -> None:
        """Run this from now on whenever its schedule says."""
        self._add(planned.id, planned.schedule, planned.executor, run)

    def remove(self, name: str) -> None:
        """Remove a job, if there is one of this name; a run of it goes on to its end."""
        try:
            self._inner.remove_job(name)
        except JobLookupError:
            log.debug("job_gone", job=name)

    def run_now(self, names: Iterable[str]) -> None:
        """Run these jobs once, immediately; their schedules go on as they are.

        Those that ask a server are as late as ever.
        """
        now = self._now()
        for name in names:
            if job := self._inner.get_job(name):  # or a reload has removed it
                self._plan(name, now + job.trigger.late)

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - a protocol
        """Plan every job anew, as the clock has been set.

        No job runs because of that: the next instant of its cycle is as near as ever, and the meter
        must not be asked each time by a clock that is set again and again.
        """
        for job in self._inner.get_jobs():
            self._plan(job.id, job.trigger.get_next_fire_time(None, self._now()))

    def synchronised(self) -> None:
        """Do nothing: jobs follow the wall clock, whether it can be trusted or not."""

    def replan_late_jobs(self) -> None:
        """Plan those jobs anew that wait for longer than their cycle; to be called now and then.

        A clock that is set and set back between two looks at it leaves such jobs. So does
        APScheduler: it reads the time before it takes its lock, so that it may plan one job by the
        time before a step just after all have been planned by the time after it.
        """
        now = self._now()
        for job in self._inner.get_jobs():
            # The slack is for a run that is due at this moment, and has begun already.
            latest = job.trigger.get_next_fire_time(None, now + _SLACK)
            if job.next_run_time is not None and job.next_run_time > latest:
                log.debug("job_replanned", job=job.id)
                self._plan(job.id, job.trigger.get_next_fire_time(None, now))

    def _plan(self, name: str, moment: datetime) -> None:
        try:
            self._inner.modify_job(name, next_run_time=moment)
        except JobLookupError:  # removed by a reload
            log.debug("job_gone", job=name)

    def _add(
        self, name: str, schedule: Schedule, executor: Executor, run: Callable[[], None]
    ) -> None:
        late_s = self._lateness * schedule.spread_s
        trigger = ScheduleTrigger(schedule, self._clock.zone, late_s)
        # APScheduler's own log lines have the name, which by default is that of the function.
        self._inner.add_job(
            self._run, trigger, args=(name, run), id=name, name=name, executor=executor.value
        )

    def _run(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:  # noqa: BLE001 - a mistake of ours; the job's next run goes on
            trace = "".join(format_tb(error.__traceback__))
            log.error("job_failed", job=name, error=repr(error), exception=trace)  # noqa: TRY400
        else:
            self._incidents.ended("job_still_running", key=name)

    def _still_running(self, executor: Executor, name: str) -> None:
        if executor in _LOG_DELAYS_THEMSELVES:
            log.debug("job_still_running", job=name)
        else:
            self._incidents.raised("job_still_running", key=name, job=name)

    def _now(self) -> datetime:
        return local(self._clock.now_ms(), self._clock.zone)
