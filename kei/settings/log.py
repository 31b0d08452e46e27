"""Logs: `[log]` of jobs.toml."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LogLevel(StrEnum):
    """Logs below this level are not written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is told, and where besides stdout.

    Attributes:
        level: the lowest level that is written.
        file: absolute; JSON lines go there too; None = stdout only.
        transcript: absolute; what is said on the dongle's port goes there; None = nowhere.
    """

    level: LogLevel
    file: Path | None
    transcript: Path | None
