"""Everything that runs for one configuration, wired together: threads, scheduler, session."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from kei import __version__
from kei.app.headline import Doings, headline
from kei.app.job_set import JobSet
from kei.app.meter_line import MeterPort
from kei.app.retiming import Retiming, newest_reading_ms
from kei.app.sensor_lines import SensorPorts
from kei.app.status_document import ClockState, SessionState, Snapshot, UploadState, clipped, encode
from kei.app.status_server import StatusServer
from kei.app.wiring import KEEPER, KEEPER_LIMIT_S
from kei.app.workers import Workers
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.single_instance import InstanceLock
from kei.jobs.advice import advice
from kei.jobs.scheduler import Scheduler
from kei.settings.config import Config
from kei.store.database import Database
from kei.store.intake_queue import IntakeQueue
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.store.timing import Timing, boot_id
from kei.store.write_queue import RecorderStatus, SinkStatus
from kei.timekeeping.linux import LinuxClock, adjtimex_of_libc
from kei.timekeeping.monitor import ClockMonitor
from kei.wisun.interfaces import Status as SessionStatus
from kei.wisun.skstack import rssi_dbm
from kei.wisun.states import State

log = structlog.stdlib.get_logger("kei.engine")

# Names of threads.
STATUS, RECORDER, INTAKE, CLOCK_MONITOR = "status", "recorder", "intake", "clock-monitor"
THREADS_LIMIT_S = 0.8  # by then the name of the status socket is free for another engine
SENSORS_LIMIT_S = 2.0  # closing a port waits for nothing
JOBS_LIMIT_S = 1.0  # after that a job that still runs is an upload, and loses nothing


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
        recorder = config.recorder
        self._instance_lock = InstanceLock(recorder.database)
        try:
            self._database = Database.open(recorder.database, clock)
        except BaseException:
            self._instance_lock.release()
            raise
        self._text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
        self._sums = DailyFile(recorder.directory, recorder.fname_base, "sum", clock.zone)
        newest_ms = newest_reading_ms(recorder, clock)
        self._monitor = ClockMonitor(clock, LinuxClock(adjtimex_of_libc()), newest_ms=newest_ms)
        self._recorder = Recorder(
            self._database,
            self._text,
            Timing(clock, self._monitor, boot_id(), recorder.wait_for_clock_s),
            clock=clock,
            sync_s=recorder.sync_s,
        )
        self._scheduler = Scheduler(clock, len(config.upload))
        self._monitor.add_listener(Retiming(self._recorder, self._monitor))
        self._monitor.add_listener(self._scheduler)
        self._job_set = JobSet(
            self._scheduler,
            self._database,
            self._recorder,
            self._sums,
            self._monitor,
            clock=clock,
            rng=rng,
        )
        self._begun = clock.monotonic()
        self._status = StatusServer(recorder.database, lambda: encode(self.snapshot()), clock)
        self._threads = Workers(clock)
        self._intake = IntakeQueue(self._recorder)
        self._sensors = SensorPorts(self._intake.record, clock, self._threads)
        self._meter = MeterPort(
            self._intake,
            self._database,
            clock=clock,
            rng=rng,
            threads=self._threads,
            on_joined=self._job_set.ask_everything,
        )

    def start(self) -> None:
        """Start every thread and job.

        Raises:
            ConfigError: the options of a simulated port are wrong.
            OSError: no pseudo terminal is to be had for it.
        """
        self._advise()
        meter = self._meter.prepared(self.config)
        self._recorder.start()
        self._threads.start(INTAKE, self._intake)
        self._sensors.change_to(self.config.serial, SENSORS_LIMIT_S)
        self._job_set.change_to(self.config, meter)
        self._scheduler.start()
        self._threads.start(STATUS, self._status)
        self._threads.start(RECORDER, self._recorder, self._recorder.heartbeat)
        self._threads.start(CLOCK_MONITOR, self._monitor, self._monitor.heartbeat)
        self._meter.change_to(meter, self.config)

    def stop(self) -> bool:
        """End everything in order: sources first, then what they feed, the files last.

        Returns:
            whether no job goes on; if one does, it is an upload whose server hangs.
        """
        started = self._scheduler.running
        if started:
            self._scheduler.pause()
        self._job_set.stop()
        self._threads.stop(KEEPER, *self._sensors.names(), limit_s=KEEPER_LIMIT_S)
        self._threads.stop(*self._threads.names(), limit_s=THREADS_LIMIT_S)
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
        meter = self._meter.prepared(wanted)
        self._sensors.change_to(wanted.serial, SENSORS_LIMIT_S)
        self.config = wanted
        self._advise()
        self._job_set.change_to(wanted, meter)
        self._meter.change_to(meter, wanted)

    def _advise(self) -> None:
        for hint in advice(self.config):
            tell = log.warning if hint.is_urgent else log.info
            tell("config_advice", advice=hint.text)

    def snapshot(self) -> Snapshot:
        """Return what everything is doing now; any thread."""
        recorder, clock, meter = self._recorder.status(), self._monitor.status, self._meter.present
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            up_s=round(self._clock.monotonic() - self._begun, 1),
            clock=ClockState(clock.synchronised, clock.likely_wrong),
            session=_session_state(meter.session.status()) if meter else None,
            recorder=RecorderStatus(_masked(recorder.text), _masked(recorder.database)),
            sensors=tuple(
                replace(port, fault=_hidden(port.fault)) for port in self._sensors.status()
            ),
            uploads=tuple(self._upload_states()),
            lines=logs.recent_lines(),
        )

    def _upload_states(self) -> Iterator[UploadState]:
        for sender in self._job_set.senders:
            try:
                status = sender.status()
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
        meter = self._meter.present
        doings = Doings(
            meter=meter.session.state if meter else None,
            ports=self._sensors.are_open(),
            full=self._recorder.failing,
            failing=tuple(sender.name for sender in self._job_set.senders if sender.is_failing),
        )
        return headline(doings)

    def stuck(self) -> list[str]:
        """Return the names of what does not move any more, so that only a new process helps."""
        hanging = ["scheduler"] if self._scheduler.heartbeat.has_stopped else []
        return self._threads.stuck() + hanging


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


def _masked(outlet: SinkStatus) -> SinkStatus:
    return replace(outlet, fault=_hidden(outlet.fault))


def _hidden(text: str | None) -> str | None:
    """Return a text for anybody's eyes: no secrets, and of a bounded length."""
    return None if text is None else clipped(logs.masker.mask(text))
