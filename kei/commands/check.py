"""`kei check`: validates a configuration and reports what it would do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kei import config
from kei.core.clock import Clock, local
from kei.core.errors import PortLost
from kei.core.single_instance import running_pid, text_writer_pid
from kei.jobs.advice import AIR_TIME_LIMIT_S, advice, air_time_s
from kei.jobs.kinds import plan
from kei.jobs.triggers import ScheduleTrigger
from kei.serialport.discovery import holders
from kei.serialport.port import SerialPort
from kei.settings.broute import SIMULATED_PORT
from kei.settings.serial import SIMULATED_SENSORS, PortSettings, SensorSettings


def report(path: Path, *, environ: Mapping[str, str], clock: Clock) -> Iterator[str]:
    """Yield the lines of the report: one for each job, the ports with sensors, the air time.

    Raises:
        ConfigError: the file does not validate.
    """
    wanted = config.load(path, environ=environ)
    now = local(clock.now_ms(), clock.zone)
    jobs = plan(wanted)
    width = max(len(job.id) for job in jobs)
    for job in jobs:
        trigger = ScheduleTrigger(job.schedule, clock.zone)
        following = trigger.get_next_fire_time(None, now).astimezone(clock.zone)
        when = f"every {job.every:<4}  next {following:%Y-%m-%d %H:%M:%S}"
        yield f"{job.id:{width}}  {when}  {job.what}"
    for port in wanted.serial:
        yield f"sensors: {_described(port)}"
    if wanted.broute:
        used_s = air_time_s(wanted)
        yield f"air time: about {used_s:.1f} s an hour of the {AIR_TIME_LIMIT_S} s that are allowed"
    for hint in advice(wanted):
        yield f"warning: {hint.text}"
    text = wanted.recorder.directory / wanted.recorder.fname_base
    writer = text_writer_pid(text)
    if writer is not None and writer != running_pid(wanted.recorder.database):
        remedy = "give this one a directory or fname_base of its own"
        yield f"warning: {text}: daily files written by another kei (pid {writer}); {remedy}"


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of opening a port.

    Attributes:
        line: of the report.
        is_good: whether it could be opened.
    """

    line: str
    is_good: bool


def open_ports(path: Path, *, environ: Mapping[str, str]) -> Iterator[Opened]:
    """Open each port of a configuration, and close it again at once.

    Raises:
        ConfigError: the file does not validate.
    """
    wanted = config.load(path, environ=environ)
    own_pid = running_pid(wanted.recorder.database)
    if wanted.broute:
        yield _tried(
            wanted.broute.port, PortSettings(wanted.broute.baudrate, drops_dtr=None), own_pid
        )
    for port in wanted.serial:
        yield _tried(port.port, port.framing, own_pid)


def _tried(port: str, settings: PortSettings, own_pid: int | None) -> Opened:
    if port.startswith((SIMULATED_PORT, SIMULATED_SENSORS)):
        return Opened(f"port {port}: simulated", is_good=True)
    try:
        SerialPort(port, settings).close()
    except PortLost as error:
        if own_pid is not None and any(holder.pid == own_pid for holder in holders(port)):
            return Opened(f"port {port}: open in the running kei (pid {own_pid})", is_good=True)
        return Opened(f"port {error}", is_good=False)
    return Opened(f"port {port}: can be opened", is_good=True)


def _described(port: SensorSettings) -> str:
    framing = port.framing
    line = f"{framing.baudrate} {framing.bytesize}{framing.parity}{framing.stopbits}"
    checked = " ".join(f"{check.unit},{check.sensor}" for check in port.checks)
    return f"{port.port} at {line}" + (f", checks for {checked}" if checked else "")
