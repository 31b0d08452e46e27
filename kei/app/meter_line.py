"""The way to the meter of an engine: that of jobs.toml at present, or none."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kei.app.wiring import KEEPER, KEEPER_LIMIT_S, SIMULATOR, build_line
from kei.app.workers import Body, Workers
from kei.core.clock import Clock
from kei.meter.decoder import MeterDecoder
from kei.settings.broute import Broute
from kei.settings.config import Config
from kei.store.intake_queue import Record
from kei.wisun.interfaces import Memory
from kei.wisun.session import Session

SIMULATOR_LIMIT_S = 1.0  # it only has to let go of its pseudo terminal


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """A way to the meter; another one whenever it had to be built anew.

    Attributes:
        session: with it.
        source: turns its answers into readings.
        simulator: that plays it; None where the port is a real one.
    """

    session: Session
    source: MeterDecoder
    simulator: Body | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a way to the meter is built from; with anything else a session goes on."""

    broute: Broute
    transcript: Path | None


class MeterPort:
    """Keeps the session with the meter, in threads of its own. Used by one thread.

    Args:
        record: takes the readings.
        memory: survives restarts.
        clock: wall and monotonic time.
        rng: for the jitter of pauses.
        threads: where everything runs.
        on_joined: called after each join, by any thread.
    """

    def __init__(
        self,
        record: Record,
        memory: Memory,
        *,
        clock: Clock,
        rng: random.Random,
        threads: Workers,
        on_joined: Callable[[], None],
    ) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._rng = rng
        self._threads = threads
        self._on_joined = on_joined
        self._wanted: _Wanted | None = None
        self._meter: Meter | None = None

    @property
    def present(self) -> Meter | None:
        """The way to the meter; None where jobs.toml has no `[broute]`."""
        return self._meter

    def prepared(self, config: Config) -> Meter | None:
        """Return what `change_to` is to take up: the present one if that is as it should be.

        Args:
            config: what is wanted.

        Raises:
            ConfigError: the options of a simulated port are wrong.
            OSError: no pseudo terminal is to be had for it.
        """
        wanted = _wanted(config)
        if wanted is None:
            return None
        if self._meter is not None and wanted == self._wanted:
            return self._meter
        source = MeterDecoder(
            wanted.broute.unit,
            self._record,
            self._memory,
            clock=self._clock,
            on_joined=self._on_joined,
        )
        line = build_line(
            wanted.broute,
            self._memory,
            source,
            clock=self._clock,
            rng=self._rng,
            transcript=wanted.transcript,
        )
        return Meter(line.session, source, line.simulator)

    def change_to(self, meter: Meter | None, config: Config) -> None:
        """Leave the meter of before, unless it is the same, and join this one.

        Args:
            meter: what was prepared.
            config: what it was prepared from.
        """
        self._wanted = _wanted(config)
        if meter is self._meter:
            return
        self._threads.stop(KEEPER, limit_s=KEEPER_LIMIT_S)
        self._threads.stop(SIMULATOR, limit_s=SIMULATOR_LIMIT_S)
        self._meter = meter
        if meter is None:
            return
        if meter.simulator is not None:
            self._threads.start(SIMULATOR, meter.simulator)
        self._threads.start(KEEPER, meter.session, meter.session.heartbeat)


def _wanted(config: Config) -> _Wanted | None:
    if config.broute is None:
        return None
    return _Wanted(replace(config.broute, requests=()), config.log.transcript)
