"""Everything that runs for one configuration: threads, scheduler, session."""

import random
import threading
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from kei.app.engine_status import EngineStatus
from kei.app.job_set import JobSet
from kei.app.meter_line import SESSION_LIMIT_S, SESSION_THREAD, MeterLine
from kei.app.mqtt_line import MqttLine
from kei.app.sensor_lines import SensorLines
from kei.app.status_server import StatusServer
from kei.app.web_line import WebLine
from kei.app.workers import Workers
from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.core.single_instance import InstanceLock
from kei.echonet.meter_class import STAMPED_SENSORS
from kei.jobs.advice import advice
from kei.jobs.kinds import Event, JobContext
from kei.jobs.scheduler import Scheduler
from kei.mqtt.sources import Sources
from kei.settings.config import Config
from kei.settings.recorder import RecorderSettings
from kei.status.snapshot import encode
from kei.store import milliseconds
from kei.store.database import Database
from kei.store.intake_queue import IntakeQueue
from kei.store.queue import register_before_recovery
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.linux import LinuxClock, adjtimex_of_libc, boot_id
from kei.timekeeping.monitor import ClockMonitor
from kei.web.live import Live

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

    Attributes:
        config: what is in force.
        refused: why a newer jobs.toml is not, one line each.
    """

    def __init__(self, config: Config, *, clock: Clock, rng: random.Random) -> None:
        self.config = config
        self.refused: Sequence[str] = ()
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
        self._workers = Workers(clock)
        self._sensors = SensorLines(self._intake.record, clock, self._workers)
        self._meter = MeterLine(
            self._intake,
            self._database,
            clock=clock,
            trust=self._monitor,
            rng=rng,
            workers=self._workers,
            on_joined=lambda: self._job_set.run_after(Event.JOINED),
        )
        self.status = EngineStatus(
            config=lambda: self.config,
            refused=lambda: self.refused,
            clock=clock,
            begun_s=clock.monotonic(),
            monitor=self._monitor,
            recorder=self._recorder,
            intake=self._intake,
            scheduler=self._scheduler,
            workers=self._workers,
            sensors=self._sensors,
            meter=self._meter,
            job_set=lambda: self._job_set,
            mqtt=lambda: self._mqtt.status(),  # noqa: PLW0108 - made below
            page=lambda: self._web.status(),  # noqa: PLW0108 - the same
            cost_incidents=Incidents(structlog.stdlib.get_logger("kei.upload"), clock),
        )
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
            health=self.status.health_with_costs,
            problems=self.status.problems,
            meter_incidents=Incidents(structlog.stdlib.get_logger("kei.request"), clock),
        )
        self._job_set = JobSet(self._scheduler, context)
        # At the last look: ready for averages; the clock trusted enough for pruning.
        self._was_ready = self._was_trusted = False
        self._status_server = StatusServer(
            recorder.database, lambda: encode(self.status.snapshot()), clock
        )
        recorded = partial(_newest_recorded, recorder, clock)
        told = Sources(
            config=lambda: self.config,
            newest=self._intake.newest,
            recorded=recorded,
            meter=self.status.meter_now,
            health=self.status.health,
            problems=self.status.problems,
            figures=lambda: self.status.figures.figures(),  # noqa: PLW0108 - made when it is asked
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
            snapshot=self.status.snapshot,
            health=self.status.health,
            figures=lambda: self.status.figures,
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
        self._workers.start(STATUS, self._status_server)
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

    def _recover(self, readings: Sequence[Reading]) -> int:
        count = self._recorder.recover(readings)
        self._intake.know(readings)
        return count

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
