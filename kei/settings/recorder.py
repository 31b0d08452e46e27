"""Recording and averages: `[recorder]` and `[summary]` of jobs.toml."""

from pathlib import Path

from kei.settings import text_rules
from kei.settings.keys import DAY_S, HOUR_S, MINUTE_S, Duration, FilePath, Text, key, table
from kei.settings.text_rules import Wrong

RETENTION_MIN_S = DAY_S  # the longest summary window: its readings must still be there
RETENTION_MAX_S = 36_500 * DAY_S
SYNC_MIN_S, SYNC_MAX_S = 0.1, HOUR_S  # SD cards wear below, and more than an hour is never meant


@table()
class RecorderSettings:
    """Where readings are kept."""

    directory: Path = key(FilePath(), "Folder of the daily text files.", default=Path())
    fname_base: str = key(
        Text(text_rules.fname_base, "a file name without path, 200 bytes at most"),
        "The end of their names, without `.txt`.",
        default="mydatafile",
    )
    database: Path = key(FilePath(), "The SQLite file.", default=Path("kei.db"))
    retention_s: float = key(
        Duration(RETENTION_MIN_S, RETENTION_MAX_S),
        "Readings that are older leave the database; text files stay.",
        default=400 * DAY_S,
    )
    sync_s: float = key(
        Duration(SYNC_MIN_S, SYNC_MAX_S),
        "The most time of recording that a power cut may cost.",
        default=60.0,
    )
    wait_for_clock_s: float = key(
        Duration(0, DAY_S),
        "How long to wait for a clock that is likely to be wrong; 0: not at all.",
        default=2 * MINUTE_S,
    )


def window(seconds: float) -> int:
    """Take the length of a window: a divisor of a day, in whole seconds."""
    day, whole = int(DAY_S), int(seconds)
    if whole == seconds and day % whole == 0:
        return whole
    below = max(size for size in range(1, whole + 1) if day % size == 0)
    above = min(size for size in range(whole + 1, day + 1) if day % size == 0)
    raise Wrong(
        f"a day of {day} s cannot be divided into windows of {seconds:.15g} s",
        f"the nearest that fit are {below} and {above}",
    )


@table()
class SummarySettings:
    """How readings are averaged."""

    cycle_s: int = key(
        Duration(1, DAY_S, window, "a divisor of a day in whole seconds"),
        "Length of the windows that are averaged.",
        default=600,
    )
