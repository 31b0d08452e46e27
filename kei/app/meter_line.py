"""The meter line of an engine: the session with the meter that jobs.toml names, or none."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from kei.app.workers import Workers, WorkerTarget
from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.meter.decoder import MeterDecoder
from kei.meter.meter_clock import METER_UTC_OFFSET, utc_offset
from kei.meter.scale import FIRST_EPCS
from kei.meter.stamps import ClockTrust
from kei.settings.broute import SIMULATED_PORT, Broute
from kei.settings.config import Config
from kei.store.intake_queue import Record
from kei.wisun.dialects import DIALECTS, Grammar
from kei.wisun.interfaces import Listener, Memory, OnData, OnLost, Settings, Transport
from kei.wisun.session import Session
from kei.wisun.transcript import Transcript
from kei.wisun.transport import SerialTransport

log = structlog.stdlib.get_logger("kei.meter")

SESSION_THREAD, SIMULATOR_THREAD = "wisun-keeper", "simulator"
SESSION_LIMIT_S = 7.0  # leaving the meter takes at most 6 s
SIMULATOR_LIMIT_S = 1.0  # it only has to remove its pseudo terminal


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """What belongs to one session; another one whenever the session had to be built anew.

    Attributes:
        origin: what it was built from: as long as that is equal, it goes on.
        session: with the meter.
        decoder: turns its answers into readings.
        simulator: of the meter; None where the port is a real one.
    """

    origin: tuple[Broute, Path | None]
    session: Session
    decoder: MeterDecoder
    simulator: WorkerTarget | None


class MeterLine:
    """Keeps the session with the meter, in threads of its own. Used by one thread.

    Args:
        record: takes the readings.
        memory: survives restarts.
        clock: wall and monotonic time.
        trust: whether the former can be trusted.
        rng: for the jitter of pauses.
        workers: the threads.
        on_joined: called after each join, by any thread.

    Attributes:
        meter: the present one; None where jobs.toml has no `[broute]`.
    """

    def __init__(
        self,
        record: Record,
        memory: Memory,
        *,
        clock: Clock,
        trust: ClockTrust,
        rng: random.Random,
        workers: Workers,
        on_joined: Callable[[], None],
    ) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._trust = trust
        self._rng = rng
        self._workers = workers
        self._on_joined = on_joined
        self.meter: Meter | None = None
        self._incidents = Incidents(log, clock)

    def prepare(self, config: Config) -> Meter | None:
        """Return what `change_to` is to take up: the present meter if its settings are the same.

        Raises:
            ConfigError: the options of a simulated port are wrong.
            OSError: no pseudo terminal is to be had for it.
        """
        if config.broute is None:
            return None
        broute, transcript = replace(config.broute, requests=()), config.log.transcript
        if self.meter is not None and self.meter.origin == (broute, transcript):
            return self.meter
        clock, memory = self._clock, self._memory
        decoder = MeterDecoder(
            broute.unit,
            self._record,
            memory,
            clock=clock,
            trust=self._trust,
            on_joined=self._on_joined,
            energy_unit=broute.energy_unit,
        )
        session, simulator = build_session(
            broute, memory, decoder, clock=clock, rng=self._rng, transcript=transcript
        )
        return Meter((broute, transcript), session, decoder, simulator)

    def change_to(self, meter: Meter | None) -> None:
        """Leave the meter of before, unless it is the same, and join the one that was prepared."""
        if meter is self.meter:
            return
        self._workers.stop(SESSION_THREAD, limit_s=SESSION_LIMIT_S)
        self._workers.stop(SIMULATOR_THREAD, limit_s=SIMULATOR_LIMIT_S)
        self.meter = meter
        if meter is None:
            self._incidents.ended("time_zone_differs")
            return
        self._compare_zones()
        if meter.simulator is not None:
            self._workers.start(SIMULATOR_THREAD, meter.simulator)
        self._workers.start(SESSION_THREAD, meter.session, meter.session.heartbeat)

    def _compare_zones(self) -> None:
        """Log once if local time, in which files are written, is not that of the meter."""
        offset = utc_offset(self._clock)
        if offset != METER_UTC_OFFSET:
            self._incidents.raised(
                "time_zone_differs",
                level=logging.INFO,  # all goes well: only midnight is another one
                utc_offset=offset,
                hint="the meter's times are Japan time, files are written in local time; "
                "to have them the same: timedatectl set-timezone Asia/Tokyo, then restart kei",
            )


def build_session(
    broute: Broute,
    memory: Memory,
    listener: Listener,
    *,
    clock: Clock,
    rng: random.Random,
    transcript: Path | None = None,
) -> tuple[Session, WorkerTarget | None]:
    """Return (session, simulator), of which nothing runs yet; the latter for a simulated port only.

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
        # No part of the main job on a small machine.
        from kei.simulator.options import parse_sim_port  # noqa: PLC0415
        from kei.simulator.port.server import Simulator  # noqa: PLC0415

        credentials = (broute.broute_id.reveal(), broute.broute_pwd.reveal())
        simulator = Simulator(parse_sim_port(port, *credentials), clock=clock)
        port = simulator.port

    def open_port(on_data: OnData, on_lost: OnLost) -> Transport:
        return SerialTransport(port, broute.baudrate, on_data, on_lost)

    dialect = DIALECTS.get(broute.dongle)
    settings = Settings(
        broute.broute_id,
        broute.broute_pwd,
        dialect,
        FIRST_EPCS,
        outlives_us=simulator is None,
        likely=Grammar.J11 if "J11" in port else Grammar.SKSTACK,  # names under by-id may say it
    )
    secrets = (broute.broute_id, broute.broute_pwd)
    tap = None if transcript is None else Transcript(transcript, secrets, clock)
    session = Session(settings, open_port, memory, listener, clock=clock, rng=rng, tap=tap)
    return session, simulator
