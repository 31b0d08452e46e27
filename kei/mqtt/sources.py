"""What the running kei tells of now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.settings.config import Config
from kei.upload.health import Health
from kei.wisun.interfaces import Memory, SessionStatus

if TYPE_CHECKING:
    from kei.meter.figures import Figures


@dataclass(frozen=True, slots=True)
class MeterNow:
    """The meter of now.

    Attributes:
        address: its MAC address; empty until it has been joined.
        met_at: when this meter was joined first since the start, by the monotonic clock.
        readable: its property map; None while that is not known.
        session: how far the session is.
    """

    address: str
    met_at: float
    readable: frozenset[int] | None
    session: SessionStatus


@dataclass(frozen=True, slots=True)
class Sources:
    """What the running kei tells. Each may be called by any thread.

    Attributes:
        config: returns the present configuration, which a reload replaces.
        newest: returns the last reading of each series since the start, by UnitID and SensorID.
        recorded: returns the last readings before the start; reads the disk, raises StoreError.
        meter: returns the meter of now; None without a `[broute]` table.
        health: returns numbers about kei and its machine.
        problems: returns what `kei status` would name; reads the disk.
        figures: returns what electricity costs; reads the disk, raises StoreError and ConfigError.
        may_tell_time: returns whether the clock may be right.
        memory: survives restarts.
        clock: wall and monotonic time.
    """

    config: Callable[[], Config]
    newest: Callable[[], Mapping[tuple[str, str], Reading]]
    recorded: Callable[[], Sequence[Reading]]
    meter: Callable[[], MeterNow | None]
    health: Callable[[], Health]
    problems: Callable[[], Sequence[str]]
    figures: Callable[[], "Figures"]
    may_tell_time: Callable[[], bool]
    memory: Memory
    clock: Clock
