"""jobs.toml, read and checked: `load` is the way in, the dataclasses are what comes out."""

from kei.config.loader import load
from kei.settings.model import (
    Broute,
    Compress,
    Config,
    Dongle,
    Format,
    Log,
    LogLevel,
    Recorder,
    RequestGroup,
    Summary,
    UploadTarget,
    What,
)

__all__ = [
    "Broute",
    "Compress",
    "Config",
    "Dongle",
    "Format",
    "Log",
    "LogLevel",
    "Recorder",
    "RequestGroup",
    "Summary",
    "UploadTarget",
    "What",
    "load",
]
