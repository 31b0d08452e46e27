"""What the scheduler has to say of its jobs, in kei's own log lines."""

import logging

import structlog
from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    JobEvent,
    JobExecutionEvent,
)

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.jobs.plan import REQUEST_PREFIX, UPLOAD_PREFIX

log = structlog.stdlib.get_logger("kei.scheduler")

EVENTS = EVENT_JOB_ERROR | EVENT_JOB_EXECUTED | EVENT_JOB_MAX_INSTANCES
_TELL = (REQUEST_PREFIX, UPLOAD_PREFIX)  # of themselves what is wrong when they take long
_TOLD_HERE = ("Execution of job", 'Job "%s" raised')


class JobReporter:
    """A listener for the scheduler: errors with their traceback, other faults once each."""

    def __init__(self, clock: Clock) -> None:
        self._incidents = Incidents(log, clock)

    def __call__(self, event: JobEvent) -> None:
        """Take an event of one of the kinds of `EVENTS`."""
        match event.code:
            case code if code == EVENT_JOB_ERROR:
                assert isinstance(event, JobExecutionEvent), "of this code"
                log.error(
                    "job_failed",
                    job=event.job_id,
                    error=repr(event.exception),
                    exception=event.traceback,
                )
            case code if code == EVENT_JOB_MAX_INSTANCES and event.job_id.startswith(_TELL):
                log.debug("job_still_running", job=event.job_id)
            case code if code == EVENT_JOB_MAX_INSTANCES:
                self._incidents.raised("job_still_running", key=event.job_id, job=event.job_id)
            case _:
                self._incidents.ended("job_still_running", key=event.job_id)


def told_here(record: logging.LogRecord) -> bool:
    """Filter for APScheduler's loggers: drop what `JobReporter` tells, and does not repeat."""
    return not str(record.msg).startswith(_TOLD_HERE)
