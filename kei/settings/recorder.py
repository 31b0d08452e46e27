"""Recording and averages: `[recorder]` and `[summary]` of jobs.toml."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Where readings are kept.

    Attributes:
        directory: absolute; of the text files.
        fname_base: the end of their names, without `.txt`; no path in it.
        database: absolute; the SQLite file.
        retention_s: seconds after which a reading leaves the database, at least a day.
        sync_s: seconds of readings that a power cut may cost, at least 0.1.
        wait_for_clock_s: seconds to wait for a clock that is likely to be wrong; 0 = never.
    """

    directory: Path
    fname_base: str
    database: Path
    retention_s: float
    sync_s: float
    wait_for_clock_s: float


@dataclass(frozen=True, slots=True)
class SummarySettings:
    """How readings are summed up.

    Attributes:
        cycle_s: length of a window in whole seconds, a divisor of 86,400.
    """

    cycle_s: int
