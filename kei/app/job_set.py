"""The jobs of an engine: those of jobs.toml at present, and no others."""

import random
from collections.abc import Callable

import structlog

from kei.app.meter_line import Meter
from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.jobs.plan import Planned, Upkeep, plan
from kei.jobs.prune import SUMMARIES_KEPT_S, CautiousNow, Kept, Pruner
from kei.jobs.request import RequestJob
from kei.jobs.scheduler import Scheduler
from kei.meter.expected import cycles_of
from kei.settings.broute import RequestGroup
from kei.settings.config import Config
from kei.settings.upload import UploadTarget, What
from kei.store.database import Database
from kei.store.dead_letters import DeadLetters
from kei.store.reading_table import ReadingTable
from kei.store.recorder import Recorder
from kei.store.summaries import Summariser
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile
from kei.timekeeping.monitor import ClockMonitor
from kei.upload.sender import Sender, build_sender


class JobSet:
    """Has the scheduler run what jobs.toml asks for. Used by one thread, if not said otherwise.

    Args:
        scheduler: runs the jobs.
        database: for everything but the text files.
        recorder: commits what has been recorded.
        sums: the text files of averages.
        monitor: says what the clock is worth.
        clock: wall and monotonic time.
        rng: for the jitter of uploads.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        database: Database,
        recorder: Recorder,
        sums: DailyFile,
        monitor: ClockMonitor,
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._scheduler = scheduler
        self._database = database
        self._recorder = recorder
        self._sums = sums
        self._monitor = monitor
        self._clock = clock
        self._rng = rng
        self._jobs: dict[str, object] = {}  # by name, what each was made from
        self._senders: dict[UploadTarget, Sender] = {}
        self._request_ids: tuple[str, ...] = ()
        self._summary_upload_ids: tuple[str, ...] = ()
        self._request_incidents = Incidents(structlog.stdlib.get_logger("kei.request"), clock)

    @property
    def senders(self) -> tuple[Sender, ...]:
        """The uploads; any thread."""
        return tuple(self._senders.copy().values())

    def change_to(self, config: Config, meter: Meter | None) -> None:
        """Take out, replace and add jobs, so that they are those of a configuration.

        A job that is as it should be goes on as it was. One that is new asks the meter at once.

        Args:
            config: the configuration.
            meter: who is asked; not None if there are requests.
        """
        # One whose target stays goes on: it remembers a batch that may have arrived, and a wait.
        for target in self._senders.keys() - set(config.upload):
            self._senders.pop(target).stop()
        wanted = {planned.id: planned for planned in plan(config, self._clock.zone)}
        origins = {name: _origin(planned, config, meter) for name, planned in wanted.items()}
        for name in [name for name in self._jobs if self._jobs[name] != origins.get(name)]:
            del self._jobs[name]
            self._scheduler.remove(name)
        new = [name for name in wanted if name not in self._jobs]
        for name in new:
            self._scheduler.add(wanted[name], self._body(wanted[name], config, meter))
            self._jobs[name] = origins[name]
        requests = [name for name in wanted if isinstance(wanted[name].subject, RequestGroup)]
        self._request_ids = tuple(requests)
        self._summary_upload_ids = tuple(
            name for name in wanted if _waits_for_summaries(wanted[name], config)
        )
        if meter is not None and meter.session.is_joined:  # or else all are asked after joining
            self._scheduler.run_now(name for name in requests if name in new)

    def ask_everything(self) -> None:
        """Have all groups asked now; after that their cycles go on as they are. Any thread."""
        self._scheduler.run_now(self._request_ids)

    def stop(self) -> None:
        """Have uploads end soon."""
        for sender in self._senders.values():
            sender.stop()

    def _body(self, planned: Planned, config: Config, meter: Meter | None) -> Callable[[], None]:
        match planned.subject:
            case RequestGroup() as group:
                assert meter is not None, "requests belong to a meter"
                return self._request(group, meter)
            case UploadTarget() as target:
                return self._upload(target, config)
            case Upkeep.SUMMARY:
                return self._summariser(config).run
            case Upkeep.PRUNE:
                return self._pruner(config).run

    def _request(self, group: RequestGroup, meter: Meter) -> Callable[[], None]:
        return RequestJob(
            group.epcs,
            group.cycle_s,
            session=meter.session,
            source=meter.source,
            incidents=self._request_incidents,
        ).run

    def _upload(self, target: UploadTarget, config: Config) -> Callable[[], None]:
        if target not in self._senders:
            self._senders[target] = build_sender(
                target,
                config.recorder.fname_base,
                self._database,
                self._recorder.commit,
                clock=self._clock,
                rng=self._rng,
            )
        return self._senders[target].flush

    def _summariser(self, config: Config) -> Summariser:
        cycles = cycles_of(config.broute)
        return Summariser(
            self._database,
            self._sums,
            self._clock,
            config.summary.cycle_s,
            expected=lambda unit, sensor: cycles.get((unit, sensor)),
            commit=self._recorder.commit,
            on_new=self._summarised,
        )

    def _summarised(self) -> None:
        self._scheduler.run_now(self._summary_upload_ids)

    def _pruner(self, config: Config) -> Pruner:
        retention_s = config.recorder.retention_s
        readings = ReadingTable(self._database)
        kept = [
            Kept("readings", readings, retention_s),
            Kept("dead_letters", DeadLetters(self._database), retention_s),
            Kept("summaries", SummaryTable(self._database), SUMMARIES_KEPT_S),
        ]
        now = CautiousNow(self._clock, self._monitor, readings, retention_s)
        return Pruner(kept, now, self._clock)


def _origin(planned: Planned, config: Config, meter: Meter | None) -> object:
    """Return what a job is made from: as long as that is the same, the job is, too."""
    match planned.subject:
        case RequestGroup() as group:
            return group, meter
        case Upkeep.SUMMARY:
            return config.summary, cycles_of(config.broute)
        case Upkeep.PRUNE:
            return config.recorder
        case UploadTarget() as target:
            return target


def _waits_for_summaries(planned: Planned, config: Config) -> bool:
    """Tell whether a job is to run as soon as a window has been summed up.

    Its server has the window at once. And what is remembered of the upload goes onto the pages
    of the database that have just changed, before Linux writes them: the card wears less.
    """
    target = planned.subject
    if not isinstance(target, UploadTarget) or target.what is not What.SUMMARY:
        return False
    return target.cycle_s <= config.summary.cycle_s  # who wants fewer posts than windows gets fewer
