"""The jobs of an engine: those that jobs.toml asks for at present, and no others."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kei.app.meter_line import Meter
from kei.jobs.heartbeat import HeartbeatStatus
from kei.jobs.kinds import Event, Job, JobContext, Planned, plan
from kei.jobs.scheduler import Scheduler
from kei.meter.progress import HistoryStatus
from kei.settings.config import Config

if TYPE_CHECKING:
    from kei.upload.sender import Sender


@dataclass(frozen=True, slots=True)
class _Entry:
    """A job that the scheduler has, and what it was made from."""

    planned: Planned
    origin: object
    job: Job


class JobSet:
    """Has the scheduler run what jobs.toml asks for. Used by one thread, if not said otherwise.

    Args:
        scheduler: runs the jobs.
        context: what jobs are built with, but for the session with the meter.
    """

    def __init__(self, scheduler: Scheduler, context: JobContext) -> None:
        self._scheduler = scheduler
        self._context = context
        self._entries: dict[str, _Entry] = {}  # by the job's id; replaced, never changed

    @property
    def senders(self) -> tuple[Sender, ...]:
        """The senders of the uploads; any thread."""
        jobs = [entry.job for entry in self._entries.values()]
        return tuple(job.sender for job in jobs if job.sender is not None)

    def history(self) -> HistoryStatus | None:
        """Return how far the record has been made complete; None if that is not asked for."""
        for entry in self._entries.values():
            if entry.job.history is not None:
                return entry.job.history()
        return None

    def heartbeat(self) -> HeartbeatStatus | None:
        """Return how the server of `[heartbeat]` is told; None if there is none. Any thread."""
        for entry in self._entries.values():
            if entry.job.heartbeat is not None:
                return entry.job.heartbeat()
        return None

    def change_to(self, config: Config, meter: Meter | None) -> None:
        """Remove, replace and add jobs, so that they are those of a configuration.

        A job whose origin is the same goes on: an upload, for one, remembers a batch that may have
        arrived, and a wait. A new one that asks the meter does so at once.

        Args:
            config: the configuration.
            meter: that is asked; not None if there are requests.
        """
        planned = {job.id: job for job in plan(config)}
        origins = {
            name: (job.origin, meter if job.needs_meter else None) for name, job in planned.items()
        }
        kept = {
            name: entry
            for name, entry in self._entries.items()
            if name in origins and entry.origin == origins[name]
        }
        for name, entry in self._entries.items():
            if name not in kept:
                self._scheduler.remove(name)
                entry.job.stop()
        context = self._context
        if meter is not None:
            context = replace(context, session=meter.session, decoder=meter.decoder)
        entries = {}
        for name, job in planned.items():
            built = kept[name].job if name in kept else job.build(context)
            before = self._entries[name].job.sender if name in self._entries else None
            if built.sender is not None and before is not None and name not in kept:
                built.sender.go_on_from(before)
            entries[name] = _Entry(job, origins[name], built)
            if name not in kept:
                self._scheduler.add(job, built.run)
        self._entries = entries
        if meter is not None and meter.session.is_joined:  # or else all are run after joining
            self.run_after(Event.JOINED, besides=kept)

    def run_after(self, event: Event, besides: Container[str] = ()) -> None:
        """Run the jobs that are to run after an event now, once, but for some names. Any thread."""
        self._scheduler.run_now(
            name
            for name, entry in self._entries.items()
            if entry.planned.also_after is event and name not in besides
        )

    def stop(self) -> None:
        """Make jobs that take long end soon."""
        for entry in self._entries.values():
            entry.job.stop()
