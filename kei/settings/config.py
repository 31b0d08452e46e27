"""All of jobs.toml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kei.settings.broute import Broute
from kei.settings.log import LogSettings
from kei.settings.recorder import RecorderSettings, SummarySettings
from kei.settings.serial import SensorSettings
from kei.settings.upload import UploadTarget


@dataclass(frozen=True, slots=True)
class Config:
    """All of jobs.toml.

    Attributes:
        path: of the file, as it was given.
        broute: None = kei is a sensor logger.
        serial: each with a port of its own.
        recorder: where readings are kept.
        summary: how readings are summed up.
        upload: each with a name of its own.
        log: what is told, and where.
        job_tables: tables that belong to kinds of jobs, by name; see `kei.jobs.kinds`.
    """

    path: Path
    broute: Broute | None
    serial: tuple[SensorSettings, ...]
    recorder: RecorderSettings
    summary: SummarySettings
    upload: tuple[UploadTarget, ...]
    log: LogSettings
    job_tables: Mapping[str, object] = field(default_factory=dict)
