"""Everything that runs for one configuration, wired together: threads, scheduler, session."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from kei import __version__, logs
from kei.cadence import cycles_of
from kei.claim import Claim
from kei.clock import Clock
from kei.config import Broute, Config, Log, LogLevel, RequestGroup, Summary, UploadTarget, What
from kei.control import StatusServer
from kei.errors import StoreError
from kei.faults import Faults
from kei.headline import Doings, headline
from kei.jobs.plan import Planned, Upkeep, plan
from kei.jobs.request import RequestJob
from kei.jobs.scheduler import Scheduler
from kei.jobs.upkeep import SUMMARIES_KEPT_S, CautiousNow, Kept, Pruner
from kei.meter_source import MeterSource
from kei.retiming import Retiming, newest_reading_ms
from kei.sensor_ports import SensorPorts
from kei.snapshot import ClockState, SessionState, Snapshot, UploadState, clipped, encode
from kei.store.database import Database
from kei.store.dead_letters import DeadLetters
from kei.store.reading_table import ReadingTable
from kei.store.recorder import Recorder
from kei.store.spool import OutletStatus, RecorderStatus
from kei.store.summaries import Summariser
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile
from kei.store.timing import Timing, boot_id
from kei.threads import Body, Threads
from kei.timekeeping.guard import Guard
from kei.timekeeping.machine import Machine, adjtimex_of_libc
from kei.upload.flusher import Flusher
from kei.wiring import KEEPER, KEEPER_LIMIT_S, SIMULATOR, build_flusher, build_line
from kei.wisun.seams import Status as SessionStatus
from kei.wisun.session import Session
from kei.wisun.skstack import rssi_dbm
from kei.wisun.states import State

log = structlog.stdlib.get_logger("kei.engine")

STATUS, RECORDER, CLOCK_GUARD = "status", "recorder", "clock-guard"  # names of threads
THREADS_LIMIT_S = 0.8  # by then the name of the status socket is free for another engine
SENSORS_LIMIT_S = 2.0  # closing a port waits for nothing
JOBS_LIMIT_S = 1.0  # after that a job that still runs is an upload, and loses nothing
_ANY_SUMMARY = Summary(86_400)


class Engine:
    """One configuration at work.

    Args:
        config: what to do.
        clock: wall and monotonic time.
        rng: for jitter.

    Raises:
        StoreError: another kei uses the database, or it cannot be opened.
    """

    def __init__(self, config: Config, *, clock: Clock, rng: random.Random) -> None:
        self.config = config
        self._clock = clock
        self._rng = rng
        recorder = config.recorder
        self._claim = Claim(recorder.database)
        try:
            self._database = Database.open(recorder.database, clock)
        except BaseException:
            self._claim.release()
            raise
        self._text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
        self._sums = DailyFile(recorder.directory, recorder.fname_base, "sum", clock.zone)
        newest_ms = newest_reading_ms(recorder, clock)
        self._guard = Guard(clock, Machine(adjtimex_of_libc()), newest_ms=newest_ms)
        self._recorder = Recorder(
            self._database,
            self._text,
            Timing(clock, self._guard, boot_id(), recorder.wait_for_clock_s),
            clock=clock,
            sync_s=recorder.sync_s,
        )
        self._scheduler = Scheduler(clock, len(config.upload))
        self._guard.listen(Retiming(self._recorder, self._guard))
        self._guard.listen(self._scheduler)
        self._flushers: dict[UploadTarget, Flusher] = {}
        self._request_ids: list[str] = []
        self._summary_upload_ids: list[str] = []
        self._request_faults = Faults(structlog.stdlib.get_logger("kei.request"), clock)
        self._session: Session | None = None
        self._source: MeterSource | None = None
        self._begun = clock.monotonic()
        self._status = StatusServer(recorder.database, lambda: encode(self.snapshot()), clock)
        self._threads = Threads(clock)
        self._sensors = SensorPorts(self._recorder.record, clock, self._threads)

    def start(self) -> None:
        """Start every thread and job.

        Raises:
            ConfigError: the options of a simulated port are wrong.
            OSError: no pseudo terminal is to be had for it.
        """
        if self.config.broute is None and not self.config.serial:
            hint = "jobs.toml has neither a [broute] nor a [[serial]] table"
            log.warning("nothing_to_record", hint=hint)
        meter = self._build_session(self.config.broute) if self.config.broute else {}
        self._recorder.start()
        self._sensors.change_to(self.config.serial, SENSORS_LIMIT_S)
        self._schedule()
        self._scheduler.start()
        self._threads.start(STATUS, self._status)
        self._threads.start(RECORDER, self._recorder, self._recorder.pulse)
        self._threads.start(CLOCK_GUARD, self._guard, self._guard.pulse)
        for name, body in meter.items():
            self._threads.start(name, body, body.pulse if isinstance(body, Session) else None)

    def stop(self) -> bool:
        """End everything in order: sources first, then what they feed, the files last.

        Returns:
            whether no job goes on; if one does, it is an upload whose server hangs.
        """
        started = self._scheduler.running
        if started:
            self._scheduler.pause()
        for flusher in self._flushers.values():
            flusher.stop()
        self._threads.stop(KEEPER, *self._sensors.names(), limit_s=KEEPER_LIMIT_S)
        self._threads.stop(*self._threads.names(), limit_s=THREADS_LIMIT_S)
        end = self._scheduler.end if started else (lambda: None)
        ending = threading.Thread(target=end, name="ending", daemon=True)
        ending.start()
        ending.join(JOBS_LIMIT_S)
        if ending.is_alive():
            log.warning("job_abandoned", hint="a server that hangs; nothing is lost by that")
        self._recorder.close()
        self._close_quietly("sum", self._sums.close)
        self._close_quietly("database", self._database.close)
        self._claim.release()
        return not ending.is_alive()

    @staticmethod
    def _close_quietly(what: str, close: Callable[[], None]) -> None:
        try:
            close()
        except StoreError as error:
            log.error("close_failed", what=what, reason=str(error))  # noqa: TRY400 - says it all

    def can_change_to(self, wanted: Config) -> bool:
        """Tell whether a configuration can be taken up without ending the session."""
        return _skeleton(self.config) == _skeleton(wanted)

    def change_to(self, wanted: Config) -> None:
        """Take up other cycles, request groups, sensors, summaries and uploads.

        Nothing else differs.

        Raises:
            OSError: no pseudo terminal is to be had for simulated sensors; nothing has changed.
        """
        self._sensors.change_to(wanted.serial, SENSORS_LIMIT_S)
        # One whose target stays goes on: it remembers a batch that may have arrived, and a wait.
        for target in self._flushers.keys() - set(wanted.upload):
            self._flushers.pop(target).stop()
        self._scheduler.clear()
        self.config = wanted
        self._schedule()
        self._ask_everything()

    def snapshot(self) -> Snapshot:
        """Return what everything is doing now; any thread."""
        recorder, clock = self._recorder.status(), self._guard.status
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            up_s=round(self._clock.monotonic() - self._begun, 1),
            clock=ClockState(clock.synchronised, clock.likely_wrong),
            session=_session_state(self._session.status()) if self._session else None,
            recorder=RecorderStatus(_masked(recorder.text), _masked(recorder.database)),
            sensors=tuple(
                replace(port, fault=_hidden(port.fault)) for port in self._sensors.status()
            ),
            uploads=tuple(self._upload_states()),
            lines=logs.recent_lines(),
        )

    def _upload_states(self) -> Iterator[UploadState]:
        for flusher in list(self._flushers.values()):
            try:
                status = flusher.status()
            except StoreError as error:
                log.debug("upload_status_unknown", reason=str(error))
                continue
            yield UploadState(
                target=status.target,
                last_success_ms=status.last_success_ms,
                last_error=_hidden(status.last_error),
                failures=status.failures,
                refused=status.refused,
                sent=status.sent,
            )

    def look_after_everything(self) -> None:
        """Start a thread that has died again, and mend what a step of the clock has left behind."""
        self._threads.look_after()
        self._scheduler.mend()

    def headline(self) -> str:
        """Return in one line what is being done, and what is in the way."""
        flushers = list(self._flushers.values())
        doings = Doings(
            meter=self._session.state if self._session else None,
            ports=self._sensors.are_open(),
            full=self._recorder.failing,
            failing=tuple(flusher.name for flusher in flushers if flusher.is_failing),
        )
        return headline(doings)

    def stuck(self) -> list[str]:
        """Return the names of what does not move any more, so that only a new process helps."""
        hanging = ["scheduler"] if self._scheduler.pulse.has_stopped else []
        return self._threads.stuck() + hanging

    # ------------------------------------------------------------------ the meter

    def _build_session(self, broute: Broute) -> dict[str, Body]:
        """Return what is to run for the meter, by the names of the threads."""
        self._source = MeterSource(
            broute.unit,
            self._recorder,
            self._database,
            clock=self._clock,
            on_joined=self._ask_everything,
        )
        line = build_line(
            broute,
            self._database,
            self._source,
            clock=self._clock,
            rng=self._rng,
            transcript=self.config.log.transcript,
        )
        self._session = line.session
        bodies: dict[str, Body] = {KEEPER: line.session}
        if line.simulator is not None:
            bodies[SIMULATOR] = line.simulator
        return bodies

    def _ask_everything(self) -> None:
        """Have all groups asked now; after that their cycles go on as they are."""
        self._scheduler.run_now(tuple(self._request_ids))

    # ------------------------------------------------------------------ jobs

    def _schedule(self) -> None:
        self._request_ids.clear()
        self._summary_upload_ids.clear()
        for planned in plan(self.config, self._clock.zone):
            if isinstance(planned.subject, RequestGroup):
                self._request_ids.append(planned.id)
            if self._waits_for_summaries(planned):
                self._summary_upload_ids.append(planned.id)
            self._scheduler.add(planned, self._body(planned))

    def _body(self, planned: Planned) -> Callable[[], None]:
        match planned.subject:
            case RequestGroup() as group:
                return self._request(group)
            case UploadTarget() as target:
                return self._upload(target)
            case Upkeep.SUMMARY:
                return self._summariser().run
            case Upkeep.PRUNE:
                return self._pruner().run

    def _waits_for_summaries(self, planned: Planned) -> bool:
        """Tell whether a job is to run as soon as a window has been summed up.

        Its server has the window at once. And what is remembered of the upload goes onto the pages
        of the database that have just changed, before Linux writes them: the card wears less.
        """
        target, cycle_s = planned.subject, self.config.summary.cycle_s
        if not isinstance(target, UploadTarget) or target.what is not What.SUMMARY:
            return False
        return target.cycle_s <= cycle_s  # who wants fewer posts than windows gets fewer

    def _summarised(self) -> None:
        self._scheduler.run_now(tuple(self._summary_upload_ids))

    def _summariser(self) -> Summariser:
        cycles = cycles_of(self.config.broute)
        return Summariser(
            self._database,
            self._sums,
            self._clock,
            self.config.summary.cycle_s,
            expected=lambda unit, sensor: cycles.get((unit, sensor)),
            commit=self._recorder.commit,
            on_new=self._summarised,
        )

    def _pruner(self) -> Pruner:
        retention_s = self.config.recorder.retention_s
        readings = ReadingTable(self._database)
        kept = [
            Kept("readings", readings, retention_s),
            Kept("dead_letters", DeadLetters(self._database), retention_s),
            Kept("summaries", SummaryTable(self._database), SUMMARIES_KEPT_S),
        ]
        now = CautiousNow(self._clock, self._guard, readings, retention_s)
        return Pruner(kept, now, self._clock)

    def _request(self, group: RequestGroup) -> Callable[[], None]:
        assert self._session is not None, "requests belong to a session"
        assert self._source is not None, "requests belong to a session"
        return RequestJob(
            group.epcs,
            group.cycle_s,
            session=self._session,
            source=self._source,
            faults=self._request_faults,
        ).run

    def _upload(self, target: UploadTarget) -> Callable[[], None]:
        if target not in self._flushers:
            self._flushers[target] = build_flusher(
                target,
                self.config.recorder.fname_base,
                self._database,
                self._recorder.commit,
                clock=self._clock,
                rng=self._rng,
            )
        return self._flushers[target].flush


def _session_state(status: SessionStatus) -> SessionState:
    network, dongle = status.network, status.dongle
    lqi = status.lqi
    if lqi is None and network is not None:
        lqi = network.lqi  # of its beacon
    return SessionState(
        state=status.state.value,
        joined=status.state is State.JOINED,
        since_s=round(status.since_s, 1),
        dongle=dongle.dialect.name if dongle else None,
        firmware=clipped(dongle.firmware) if dongle else None,
        channel=network.channel if network else None,
        pan_id=f"{network.pan_id:04X}" if network else None,
        lqi=lqi,
        rssi_dbm=None if lqi is None else rssi_dbm(lqi),
        answered=status.answered,
        missed=status.missed,
        held_back=status.held_back,
        ignored_frames=status.ignored_frames,
    )


def _masked(outlet: OutletStatus) -> OutletStatus:
    return replace(outlet, fault=_hidden(outlet.fault))


def _hidden(text: str | None) -> str | None:
    """Return a text for anybody's eyes: no secrets, and of a bounded length."""
    return None if text is None else clipped(logs.masker.mask(text))


def _skeleton(config: Config) -> Config:
    """Return the configuration without what can be changed while the session goes on."""
    broute = replace(config.broute, requests=()) if config.broute else None
    log_ = Log(LogLevel.INFO, None, config.log.transcript)
    return replace(config, broute=broute, serial=(), summary=_ANY_SUMMARY, upload=(), log=log_)
