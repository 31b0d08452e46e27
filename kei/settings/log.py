"""Logs: `[log]` of jobs.toml."""

from enum import StrEnum
from pathlib import Path

from kei.settings.keys import Choice, FilePath, key, table


class LogLevel(StrEnum):
    """Logs below this level are not written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@table()
class LogSettings:
    """What is logged, and where besides stdout."""

    level: LogLevel = key(
        Choice(LogLevel), "The lowest level that is written.", default=LogLevel.INFO
    )
    file: Path | None = key(
        FilePath(optional=True),
        "A file that gets the log as JSON lines, too.",
        default=None,
        example='"/var/log/kei/kei.log"',
    )
    transcript: Path | None = key(
        FilePath(optional=True),
        "A file for everything said on the dongle's port, secrets masked, 10 MB at most.",
        default=None,
        example='"port.txt"',
    )
