"""What the running kei tells the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.settings.config import Config
from kei.status.snapshot import Snapshot
from kei.upload.health import Health

if TYPE_CHECKING:
    from kei.meter.figures import PresentFigures


@dataclass(frozen=True, slots=True)
class Live:
    """What the running kei tells the page. Each may be called by any thread, and never blocks.

    Attributes:
        config: returns the present configuration, which a reload replaces.
        newest: returns the last reading of each series since the start, by UnitID and SensorID.
        pauses_s: returns how long it usually is from one reading to the next, of each series.
        recorded: returns the last readings before the start; reads the disk, raises StoreError.
        snapshot: returns what everything is doing now.
        health: returns numbers about kei and its machine.
        figures: returns what computes the sums.
        clock: wall and monotonic time.
    """

    config: Callable[[], Config]
    newest: Callable[[], Mapping[tuple[str, str], Reading]]
    pauses_s: Callable[[], Mapping[tuple[str, str], float]]
    recorded: Callable[[], Sequence[Reading]]
    snapshot: Callable[[], Snapshot]
    health: Callable[[], Health]
    figures: Callable[[], "PresentFigures"]
    clock: Clock
