"""The ways to the meter, to the sensors and to the servers: built as jobs.toml says."""

import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from kei.app.workers import Body
from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.meter.decoder import FIRST_EPCS
from kei.sensors.reader import Put, SensorReader
from kei.settings.broute import Broute
from kei.settings.serial import SensorSettings
from kei.settings.upload import UploadTarget
from kei.store.database import Database
from kei.store.dead_letters import DeadLetters
from kei.store.queue import UploadQueue
from kei.upload.formats.registry import format_of
from kei.upload.http import Http
from kei.upload.sender import Sender
from kei.upload.target import Compression, FormatName, Target
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import Listener, Memory, Settings
from kei.wisun.session import Session
from kei.wisun.transcript import Transcript
from kei.wisun.transport import OnData, OnLost, SerialTransport, Transport

log = structlog.stdlib.get_logger("kei.wiring")

SIMULATED_PORT, SIMULATED_SENSORS = "sim:", "sim-sensor:"
KEEPER, SIMULATOR = "wisun-keeper", "simulator"  # names of threads
KEEPER_LIMIT_S = 7.0  # leaving the meter takes at most 6 s


@dataclass(frozen=True, slots=True)
class Line:
    """The way to the meter; nothing of it runs yet.

    Attributes:
        session: to be run in a thread named `KEEPER`.
        simulator: to be run in a thread named `SIMULATOR`; None where the port is a real one.
    """

    session: Session
    simulator: Body | None


def build_line(
    broute: Broute,
    memory: Memory,
    listener: Listener,
    *,
    clock: Clock,
    rng: random.Random,
    transcript: Path | None = None,
) -> Line:
    """Build the way to the meter.

    Args:
        broute: port, kind of dongle and credentials.
        memory: what the session wants to know after a restart.
        listener: hears of joins and notifications.
        clock: wall and monotonic time.
        rng: for jitter.
        transcript: file for everything that is said on the port; None for none.

    Raises:
        ConfigError: the options of a simulated port are wrong.
        OSError: no pseudo terminal is to be had for it.
    """
    port, simulator = broute.port, None
    if port.startswith(SIMULATED_PORT):
        port, simulator = _simulate(broute, clock)

    def open_port(on_data: OnData, on_lost: OnLost) -> Transport:
        return SerialTransport(port, broute.baudrate, on_data, on_lost)

    dialect = DIALECTS.get(broute.dongle.value)
    settings = Settings(broute.broute_id, broute.broute_pwd, dialect, FIRST_EPCS)
    secrets = (broute.broute_id, broute.broute_pwd)
    tap = None if transcript is None else Transcript(transcript, secrets, clock)
    session = Session(settings, open_port, memory, listener, clock=clock, rng=rng, tap=tap)
    return Line(session, simulator)


def _simulate(broute: Broute, clock: Clock) -> tuple[str, Body]:
    """Put a simulated meter with these credentials on a pseudo terminal; return its path and it."""
    # No part of the main job on a small machine.
    from kei.simulator.options import parse_sim_port  # noqa: PLC0415
    from kei.simulator.port.server import Simulator  # noqa: PLC0415

    credentials = (broute.broute_id.reveal(), broute.broute_pwd.reveal())
    simulator = Simulator(parse_sim_port(broute.port, *credentials), clock=clock)
    return simulator.port, simulator


@dataclass(frozen=True, slots=True)
class SensorLine:
    """The way to a board with sensors; nothing of it runs yet.

    Attributes:
        port: as jobs.toml has it.
        reader: reads it.
        simulator: plays the board; None where the port is a real one.
    """

    port: str
    reader: SensorReader
    simulator: Body | None

    def bodies(self) -> Iterator[tuple[str, Body]]:
        """Yield what is to run, with the names of the threads; the reader first."""
        yield self.port, self.reader
        if self.simulator is not None:
            yield f"{self.port} simulator", self.simulator


def build_sensor(settings: SensorSettings, put: Put, *, clock: Clock) -> SensorLine:
    """Build the way to a board with sensors.

    Args:
        settings: of the port.
        put: takes readings.
        clock: wall and monotonic time.

    Raises:
        ConfigError: the options of a simulated port are wrong.
        OSError: no pseudo terminal is to be had for it.
    """
    path, simulator = settings.port, None
    if path.startswith(SIMULATED_SENSORS):
        path, simulator = _simulate_board(settings.port, clock)
    return SensorLine(settings.port, SensorReader(settings, path, put, clock), simulator)


def _simulate_board(port: str, clock: Clock) -> tuple[str, Body]:
    """Put a simulated board on a pseudo terminal; return its path and it."""
    # No part of the main job on a small machine.
    from kei.simulator.board.board import simulated_board  # noqa: PLC0415
    from kei.simulator.board.options import parse_sensor_port  # noqa: PLC0415

    simulator = simulated_board(parse_sensor_port(port), clock=clock)
    return simulator.port, simulator


def build_sender(
    target: UploadTarget,
    fname_base: str,
    database: Database,
    commit: Callable[[], None],
    *,
    clock: Clock,
    rng: random.Random,
) -> Sender:
    """Build the way to a server, and give the target its place in the queue.

    Args:
        target: as jobs.toml has it.
        fname_base: of the text files.
        database: the queue.
        commit: brings everything recorded into it.
        clock: wall and monotonic time.
        rng: for the jitter of pauses.
    """
    kind = target.what
    queue = UploadQueue(database, commit)
    try:
        queue.register(target.name, kind, target.since_ms(clock.zone))
    except StoreError as error:  # one that is known already has its place in the queue
        log.warning("upload_not_registered", target=target.name, reason=str(error))
    wanted = Target(
        name=target.name,
        url=target.target_url,
        key=target.upload_key.reveal() if target.upload_key else None,
        format=FormatName(target.format.value),
        kind=kind,
        fname_base=fname_base,
        cycle_s=target.cycle_s,
        max_bytes=target.max_bytes,
        min_interval_s=target.min_interval_s,
        timeout_s=target.timeout_s,
        compression=Compression(target.compress.value),
        headers={name: value.reveal() for name, value in target.headers},
    )
    return Sender(
        wanted,
        [DeadLetters(database), queue],
        format_of(wanted, socket.gethostname(), clock.zone),
        Http(clock),
        clock=clock,
        random=rng,
        log=structlog.stdlib.get_logger("kei.upload"),
    )
