"""`kei check`: validates a configuration and reports what it would do."""

import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kei import config
from kei.commands.writable import places_not_writable
from kei.core.clock import Clock, local
from kei.core.errors import PortLost
from kei.core.single_instance import running_pid, text_writer_pid
from kei.jobs.advice import AIR_TIME_LIMIT_S, advice, air_time_s
from kei.jobs.kinds import duration, plan
from kei.jobs.triggers import ScheduleTrigger
from kei.serialport.discovery import holders
from kei.serialport.port import SerialPort
from kei.settings.broute import EXAMPLE_ID, EXAMPLE_PWD, SIMULATED_PORT, Broute
from kei.settings.config import Config
from kei.settings.mqtt import Mqtt
from kei.settings.serial import SIMULATED_SENSORS, PortSettings, SensorSettings
from kei.settings.site import host_name
from kei.settings.tariff import Tariff
from kei.settings.web import Address, Web


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        line: for a person.
        is_good: False if kei cannot do its work like that.
    """

    line: str
    is_good: bool = True


def check(
    path: Path,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    with_secrets: bool = True,
    probe_ports: bool = False,
) -> Iterator[Finding]:
    """Yield the report: one line for each job, the ports with sensors, the air time, what is odd.

    Args:
        path: jobs.toml.
        environ: the environment.
        clock: for the next runs.
        with_secrets: False for a user who may not read them, and so is not going to run kei.
        probe_ports: whether to open each port, and close it again at once.

    Raises:
        ConfigError: the file does not validate.
    """
    wanted = config.load(path, environ=environ, with_secrets=with_secrets)
    yield from map(Finding, _plan(wanted, clock))
    hints = [hint.text for hint in advice(wanted)]
    for hint in (*hints, *_of_page(wanted.web), *_of_example(wanted.broute)):
        yield Finding(f"warning: {hint}")
    if wanted.tariff is not None:
        yield from _of_tariff(wanted.tariff, clock)
    text = wanted.recorder.directory / wanted.recorder.fname_base
    writer = text_writer_pid(text)
    if writer is not None and writer != running_pid(wanted.recorder.database):
        remedy = "give this one a directory or fname_base of its own"
        line = f"warning: {text}: daily files written by another kei (pid {writer}); {remedy}"
        yield Finding(line)
    for line in places_not_writable(wanted, path, is_own=with_secrets):
        yield Finding(line, is_good=False)
    if probe_ports:
        yield from _open_ports(wanted)


def _plan(wanted: Config, clock: Clock) -> Iterator[str]:
    now = local(clock.now_ms(), clock.zone)
    jobs = plan(wanted)
    width = max(len(job.id) for job in jobs)
    for job in jobs:
        trigger = ScheduleTrigger(job.schedule, clock.zone)
        following = trigger.get_next_fire_time(None, now).astimezone(clock.zone)
        when = f"every {job.every:<4}  next {following:%Y-%m-%d %H:%M:%S}"
        late = f"; up to {duration(job.schedule.spread_s)} later" if job.schedule.spread_s else ""
        yield f"{job.id:{width}}  {when}  {job.what}{late}"
    for port in wanted.serial:
        yield f"sensors: {_described(port)}"
    if wanted.mqtt:
        yield f"mqtt: {_told(wanted.mqtt, wanted.site.name)}"
    if wanted.web:
        yield f"page: {_looked_at(wanted.web.listen)}"
    if wanted.broute:
        used_s = air_time_s(wanted)
        yield f"air time: about {used_s:.1f} s an hour of the {AIR_TIME_LIMIT_S} s that are allowed"


def _of_tariff(tariff: Tariff, clock: Clock) -> Iterator[Finding]:
    # Not for the many who have no tariff.
    from kei.commands import tariff_advice  # noqa: PLC0415

    yield Finding(tariff_advice.summary(tariff, clock))
    for hint in tariff_advice.warnings(tariff, clock):
        yield Finding(f"warning: {hint}")


def _open_ports(wanted: Config) -> Iterator[Finding]:
    own_pid = running_pid(wanted.recorder.database)
    if wanted.broute:
        framing = PortSettings(wanted.broute.baudrate, drops_dtr=None)
        yield _tried(wanted.broute.port, framing, own_pid)
    for port in wanted.serial:
        yield _tried(port.port, port.framing, own_pid)


def _tried(port: str, settings: PortSettings, own_pid: int | None) -> Finding:
    if port.startswith((SIMULATED_PORT, SIMULATED_SENSORS)):
        return Finding(f"port {port.rstrip(':')}: simulated")
    try:
        SerialPort(port, settings).close()
    except PortLost as error:
        if own_pid is not None and any(holder.pid == own_pid for holder in holders(port)):
            return Finding(f"port {port}: open in the running kei (pid {own_pid})")
        return Finding(f"port {error}", is_good=False)
    return Finding(f"port {port}: can be opened")


def _described(port: SensorSettings) -> str:
    framing = port.framing
    line = f"{framing.baudrate} {framing.bytesize}{framing.parity}{framing.stopbits}"
    checked = " ".join(f"{check.unit},{check.sensor}" for check in port.checks)
    return f"{port.port} at {line}" + (f", checks for {checked}" if checked else "")


def _told(mqtt: Mqtt, site: str) -> str:
    line = f"{mqtt.address}{' by TLS' if mqtt.tls else ''}, topics {mqtt.topic}/{site}/..."
    return f"{line}, Home Assistant by {mqtt.discovery}/..." if mqtt.discovery else line


def _looked_at(listen: Address) -> str:
    if listen.is_any:
        return f"http://{host_name()}:{listen.port}/, or by any other name of this machine"
    return f"http://{listen}/"


def _of_page(web: Web | None) -> Iterator[str]:
    """Yield what to say if the address of the page is that of another machine."""
    if web is None:
        return
    host = web.listen.host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        try:
            tried.bind((host, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                remedy = 'see listen of [web], or write "0.0.0.0" for all that it has'
                yield f"{host} is no address of this machine, so there is no page; {remedy}"


def _of_example(broute: Broute | None) -> Iterator[str]:
    """Yield what to say if a dongle is to be used with the ID or password of the example."""
    if broute is None or not broute.port.startswith("/dev/") or broute.port.startswith("/dev/pts/"):
        return
    pairs = (
        ("broute_id", broute.broute_id.reveal().upper(), EXAMPLE_ID),
        ("broute_pwd", broute.broute_pwd.reveal(), EXAMPLE_PWD),
    )
    if not (names := [name for name, text, example in pairs if text == example]):
        return
    which = f"{' and '.join(names)} {'are those' if len(names) > 1 else 'is that'} of the example"
    yield f"{which}, which no meter takes: write what your power company has sent you"
