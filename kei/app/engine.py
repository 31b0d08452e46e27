"""Everything that runs for one configuration: threads, scheduler, session."""

import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from kei import __version__
from kei.app.health import costs_of, health_of
from kei.app.job_set import JobSet
from kei.app.meter_line import SESSION_LIMIT_S, SESSION_THREAD, MeterLine
from kei.app.mqtt_line import MqttLine
from kei.app.sensor_lines import SensorLines
from kei.app.status_server import StatusServer
from kei.app.web_line import WebLine
from kei.app.workers import Workers
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import KeiError, StoreError
from kei.core.incidents import Incidents, Lasting
from kei.core.printable import counted
from kei.core.reading import Reading
from kei.core.single_instance import InstanceLock
from kei.echonet.meter_class import STAMPED_SENSORS
from kei.jobs.advice import advice
from kei.jobs.heartbeat import HeartbeatStatus
from kei.jobs.kinds import Event, JobContext
from kei.jobs.scheduler import Scheduler
from kei.mqtt.sources import MeterNow, Sources
from kei.mqtt.status import MqttStatus
from kei.sensors.counters import ReaderStatus
from kei.settings.config import Config
from kei.settings.recorder import RecorderSettings
from kei.status.facts import Answer, facts_of, read_database
from kei.status.rules import problems_of
from kei.status.snapshot import PageStatus, Snapshot, clipped, doing, encode, status_summary
from kei.store import milliseconds
from kei.store.database import Database
from kei.store.intake_queue import IntakeQueue
from kei.store.queue import register_before_recovery
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.sinks import SinkStatus
from kei.store.text import DailyFile
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.linux import LinuxClock, adjtimex_of_libc, boot_id
from kei.timekeeping.monitor import ClockMonitor
from kei.upload.health import Health
from kei.web.live import Live
from kei.wisun.interfaces import SessionStatus

if TYPE_CHECKING:
    from kei.meter.figures import PresentFigures

log = structlog.stdlib.get_logger("kei.engine")

# Names of threads.
STATUS, RECORDER, INTAKE, CLOCK_MONITOR = "status", "recorder", "intake", "clock-monitor"
INSTANCE_LOCK = "instance-lock"
THREADS_LIMIT_S = 0.8  # by then the name of the status socket is free for another engine
JOBS_LIMIT_S = 1.0  # after that a job that still runs is an upload, and loses nothing


class Engine:
    """One configuration at work.

    Raises:
        StoreError: another kei uses the database or the text files, or they cannot be opened.
    """

    def __init__(self, config: Config, *, clock: Clock, rng: random.Random) -> None:
        self.config = config
        self._clock = clock
        recorder = config.recorder
        self._instance_lock = InstanceLock(
            recorder.database, recorder.directory / recorder.fname_base
        )
        try:
            self._database = Database.open(recorder.database, clock)
        except BaseException:
            self._instance_lock.release()
            raise
        lines_ms = milliseconds.path_of(recorder.directory, recorder.fname_base)
        text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone, lines_ms)
        self._sums = DailyFile(recorder.directory, recorder.fname_base, "sum", clock.zone)
        newest_ms = newest_reading_ms(recorder, clock)
        self._monitor = ClockMonitor(clock, LinuxClock(adjtimex_of_libc()), newest_ms=newest_ms)
        self._gate = TimeGate(clock, self._monitor, recorder.wait_for_clock_s)
        self._recorder = Recorder(
            self._database,
            text,
            self._gate,
            clock=clock,
            boot=boot_id(),
            sync_s=recorder.sync_s,
        )
        self._intake = IntakeQueue(self._recorder, clock)
        self._scheduler = Scheduler(clock, len(config.upload), rng)
        self._monitor.add_listener(self._gate)
        self._monitor.add_listener(self._recorder)
        self._monitor.add_listener(self._scheduler)
        context = JobContext(
            database=self._database,
            record=self._intake.record,
            recover=self._recover,
            commit=self._recorder.commit,
            sums=self._sums,
            monitor=self._monitor,
            gate=self._gate,
            clock=clock,
            rng=rng,
            run_after=lambda event: self._job_set.run_after(event),  # noqa: PLW0108 - made below
            health=self._health_with_costs,
            problems=self.problems,
            meter_incidents=Incidents(structlog.stdlib.get_logger("kei.request"), clock),
        )
        self._cost_incidents = Incidents(structlog.stdlib.get_logger("kei.upload"), clock)
        self._job_set = JobSet(self._scheduler, context)
        self._begun = clock.monotonic()
        # At the last look: ready for averages; the clock trusted enough for pruning.
        self._was_ready = self._was_trusted = False
        self._status = StatusServer(recorder.database, lambda: encode(self.snapshot()), clock)
        self._workers = Workers(clock)
        self._sensors = SensorLines(self._intake.record, clock, self._workers)
        self._meter = MeterLine(
            self._intake,
            self._database,
            clock=clock,
            trust=self._monitor,
            rng=rng,
            workers=self._workers,
            on_joined=partial(self._job_set.run_after, Event.JOINED),
        )
        recorded = partial(_newest_recorded, recorder, clock)
        told = Sources(
            config=lambda: self.config,
            newest=self._intake.newest,
            recorded=recorded,
            meter=self._meter_now,
            health=self._health,
            problems=self.problems,
            figures=lambda: self._figures.figures(),  # noqa: PLW0108 - made when it is asked
            may_tell_time=lambda: not self._monitor.status.likely_wrong,
            memory=self._database,
            clock=clock,
        )
        self._mqtt = MqttLine(told, self._workers, rng)
        live = Live(
            config=lambda: self.config,
            newest=self._intake.newest,
            pauses_s=self._intake.pauses_s,
            recorded=recorded,
            snapshot=self.snapshot,
            health=self._health,
            figures=lambda: self._figures,
            clock=clock,
        )
        self._web = WebLine(live, self._workers)

    def start(self) -> None:
        """Start every thread and job.

        Raises:
            ConfigError: the options of a simulated port are wrong.
            OSError: no pseudo terminal is to be had for it.
        """
        self._advise()
        meter = self._meter.prepare(self.config)
        if self._instance_lock.text_was_locked or self._database.generation:
            uploads, zone = self.config.upload, self._clock.zone
            register_before_recovery(uploads, self._database, zone)
        self._recorder.start()
        self._workers.start(INTAKE, self._intake)
        self._sensors.change_to(self.config.serial)
        self._job_set.change_to(self.config, meter)
        self._scheduler.start()
        self._workers.start(INSTANCE_LOCK, self._instance_lock)
        self._workers.start(STATUS, self._status)
        self._workers.start(RECORDER, self._recorder, self._recorder.heartbeat)
        self._workers.start(CLOCK_MONITOR, self._monitor, self._monitor.heartbeat)
        self._meter.change_to(meter)
        self._mqtt.change_to(self.config)
        self._web.change_to(self.config.web)

    def stop(self) -> bool:
        """End everything in order: sources first, then what they feed, the files last.

        Returns:
            whether no job goes on; if one does, it is an upload whose server hangs.
        """
        started = self._scheduler.running
        if started:
            self._scheduler.pause()
        self._job_set.stop()
        self._workers.stop(SESSION_THREAD, *self._sensors.thread_names(), limit_s=SESSION_LIMIT_S)
        self._workers.stop(*self._workers.names(), limit_s=THREADS_LIMIT_S)
        end = self._scheduler.end if started else (lambda: None)
        ending = threading.Thread(target=end, name="ending", daemon=True)
        ending.start()
        ending.join(JOBS_LIMIT_S)
        if ending.is_alive():
            log.warning("job_abandoned", hint="a server that hangs; nothing is lost by that")
        self._intake.stop()
        self._intake.run()  # what came when its thread had ended already
        self._recorder.close()
        self._close_quietly("sum", self._sums.close)
        self._close_quietly("database", self._database.close)
        self._instance_lock.release()
        return not ending.is_alive()

    @staticmethod
    def _close_quietly(what: str, close: Callable[[], None]) -> None:
        try:
            close()
        except StoreError as error:
            log.error("close_failed", what=what, reason=str(error))  # noqa: TRY400 - says it all

    def can_change_to(self, wanted: Config) -> bool:
        """Tell whether a configuration can be taken up while recording goes on."""
        return self.config.recorder == wanted.recorder

    def change_to(self, wanted: Config) -> None:
        """Take up a configuration with the same `[recorder]`; what is the same in it goes on.

        Raises:
            ConfigError: the options of a simulated port are wrong; nothing has changed.
            OSError: no pseudo terminal is to be had for it; nothing has changed.
        """
        meter = self._meter.prepare(wanted)
        self._sensors.change_to(wanted.serial)
        self.config = wanted
        self._advise()
        self._job_set.change_to(wanted, meter)
        self._meter.change_to(meter)
        self._mqtt.change_to(wanted)
        self._web.change_to(wanted.web)

    def _advise(self) -> None:
        for hint in advice(self.config):
            write = log.warning if hint.is_urgent else log.info
            write("config_advice", advice=hint.text)

    def snapshot(self) -> Snapshot:
        """Return what everything is doing now; any thread."""
        recorder, meter = self._recorder.status(), self._meter.meter
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            up_s=round(self._clock.monotonic() - self._begun, 1),
            clock=self._monitor.status,
            session=_public_session(meter.session.status()) if meter else None,
            recorder=replace(
                recorder, text=_public(recorder.text), database=_public(recorder.database)
            ),
            sensors=tuple(_public(port) for port in self._sensors.status()),
            uploads=tuple(
                replace(status, last_error=_public_text(status.last_error))
                for status in (sender.status() for sender in self._job_set.senders)
            ),
            lines=logs.recent_lines(),
            meter_clock=meter.decoder.meter_clock.status if meter else None,
            mqtt=_public(mqtt) if (mqtt := self._mqtt.status()) else None,
            history=self._job_set.history(),
            page=_public(page) if (page := self._web.status()) else None,
            heartbeat=_public(told) if (told := self._job_set.heartbeat()) else None,
        )

    def _recover(self, readings: Sequence[Reading]) -> int:
        count = self._recorder.recover(readings)
        self._intake.know(readings)
        return count

    def _meter_now(self) -> MeterNow | None:
        meter = self._meter.meter
        if meter is None:
            return None
        decoder = meter.decoder
        return MeterNow(decoder.meter, decoder.met_at, decoder.readable, meter.session.status())

    @cached_property
    def _figures(self) -> "PresentFigures":
        # Half a megabyte that most do not need: neither a page nor a broker that is told prices.
        from kei.meter.figures import PresentFigures  # noqa: PLC0415

        return PresentFigures(lambda: self.config, self._clock)

    def _health(self) -> Health:
        meter = self._meter.meter
        return health_of(
            meter.session.status() if meter else None,
            self._monitor.status,
            self._clock.monotonic() - self._begun,
            self.config.recorder.database.parent,
            self._clock,
        )

    def _health_with_costs(self) -> Health:
        """Return health and what electricity costs; reads the disk when that may have changed."""
        found, config = self._health(), self.config
        # By a clock that is wrong the costs would be those of another month.
        if config.broute is None or config.tariff is None or found.time_ms is None:
            return found
        try:
            costs = costs_of(self._figures.figures())
        except KeiError as error:
            self._cost_incidents.raised("figures_not_read", reason=str(error))
            return found
        self._cost_incidents.ended("figures_not_read")
        return replace(found, numbers={**found.numbers, **costs})

    def problems(self) -> tuple[str, ...]:
        """Return what `kei status` would name, one line each; reads the disk. Any thread."""
        config, answer = self.config, Answer(self.snapshot())
        stored = read_database(config, self._clock)
        broken = problems_of(facts_of(config, answer, stored, self._clock))
        hanging = [f"hangs: {', '.join(names)}"] if (names := self.stuck()) else []
        return *(f"{each.rule.value}: {each.detail}" for each in broken), *hanging

    def supervise(self) -> None:
        """Start dead threads again, and correct jobs whose times a step of the clock has spoiled.

        To be called every few seconds.

        Raises:
            StoreError: another kei has got hold of the database: end this one.
        """
        if self._instance_lock.lost is not None:
            raise StoreError(self._instance_lock.lost)
        self._workers.restart_dead()
        self._scheduler.replan_late_jobs()
        is_ready = self._gate.is_steady and self._recorder.is_complete
        if is_ready and not self._was_ready:
            self._job_set.run_after(Event.READY)
        is_trusted = self._gate.is_trusted
        if is_trusted and not self._was_trusted:
            self._job_set.run_after(Event.TRUSTED)
        self._was_ready, self._was_trusted = is_ready, is_trusted

    def status_summary(self) -> str:
        """Return in one line what is being done, and what is in the way; never blocks."""
        meter = self._meter.meter
        session = meter.session if meter else None
        summary = status_summary(
            doing(session.state, is_pausing=session.is_pausing) if session else None,
            self._sensors.are_open(),
            self._recorder.failing,
            self._failing_uploads(),
        )
        return summary or "nothing to record"

    def _failing_uploads(self) -> list[str]:
        return [sender.name for sender in self._job_set.senders if sender.is_failing]

    def live(self) -> tuple[Mapping[str, Reading] | None, Lasting | None, str]:
        """Return what the live line shows: readings, what keeps the meter away, what else there is.

        The readings are the meter's latest; None without a meter. Never blocks.
        """
        ports, failing = self._sensors.are_open(), self._failing_uploads()
        meter, broute = self._meter.meter, self.config.broute
        told = status_summary(None, ports, self._recorder.failing, failing)
        if meter is None or broute is None:
            return None, None, told
        history = self._job_set.history()
        if history is not None and history.days_left:
            told = f"filling gaps, {counted(history.days_left, 'day')} left  {told}".rstrip()
        fault = meter.session.fault
        public = fault and replace(fault, why=_public_text(fault.why) or "")
        return self._intake.latest(broute.unit), public, told

    def stuck(self) -> list[str]:
        """Return the names of what hangs, so that only a new process helps."""
        hanging = ["scheduler"] if self._scheduler.heartbeat.has_stopped else []
        return self._workers.stuck() + hanging


def newest_reading_ms(recorder: RecorderSettings, clock: Clock) -> int | None:
    """Return the newest time that this machine's clock gave a reading.

    Values with the meter's own time say nothing of this clock: a meter may have been ahead.

    Returns:
        milliseconds since 1970; None if there is none, or it cannot be read.
    """
    try:
        last = _newest_recorded(recorder, clock)
    except StoreError as error:
        log.warning("newest_reading_unknown", reason=str(error))
        return None
    own = (reading.time_ms for reading in last if reading.sensor not in STAMPED_SENSORS)
    return max(own, default=None)


def _newest_recorded(recorder: RecorderSettings, clock: Clock) -> Sequence[Reading]:
    """Return the newest reading of each series; reads the disk, raises StoreError."""
    text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
    return read_overview(recorder.database, text, (), clock).last


def _public_session(status: SessionStatus) -> SessionStatus:
    return replace(status, firmware=clipped(status.firmware), fault=_public_text(status.fault))


_Fallible = TypeVar("_Fallible", SinkStatus, ReaderStatus, MqttStatus, PageStatus, HeartbeatStatus)


def _public(status: _Fallible) -> _Fallible:
    return replace(status, fault=_public_text(status.fault))


def _public_text(text: str | None) -> str | None:
    """Return a text that everybody may see: without secrets, and of a bounded length."""
    return None if text is None else clipped(logs.masker.mask(text))
