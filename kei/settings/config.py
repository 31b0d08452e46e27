"""All of jobs.toml."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from kei.settings.broute import Broute
from kei.settings.heartbeat import Heartbeat
from kei.settings.keys import Table, Tables, key, table
from kei.settings.log import LogSettings
from kei.settings.mqtt import Mqtt
from kei.settings.recorder import RecorderSettings, SummarySettings
from kei.settings.serial import SensorSettings
from kei.settings.site import Site
from kei.settings.tariff import Tariff
from kei.settings.upload import UploadTarget
from kei.settings.web import Web


@table(kw_only=True)
class Config:
    """All of jobs.toml.

    Attributes:
        path: of the file, as it was given.
        broute: None where kei only records sensors.
        web: None where nobody looks by a browser.
        mqtt: None where no broker is told.
        heartbeat: None where nobody gives the alarm when kei falls silent.
        job_tables: the tables that `kei.jobs.kinds` declares, by their names.
    """

    path: Path
    site: Site = key(Table(Site))
    broute: Broute | None = key(Table(Broute), default=None)
    serial: tuple[SensorSettings, ...] = key(Tables(SensorSettings, by=("port",)), default=())
    recorder: RecorderSettings = key(Table(RecorderSettings))
    summary: SummarySettings = key(Table(SummarySettings))
    upload: tuple[UploadTarget, ...] = key(
        Tables(
            UploadTarget,
            by=("name",),
            unique='give each [[upload]] a name of its own: name = "..."',
        ),
        default=(),
    )
    tariff: Tariff | None = key(Table(Tariff), default=None)
    web: Web | None = key(Table(Web), default=None)
    mqtt: Mqtt | None = key(Table(Mqtt), default=None)
    heartbeat: Heartbeat | None = key(Table(Heartbeat), default=None)
    log: LogSettings = key(Table(LogSettings))
    job_tables: Mapping[str, object] = field(default_factory=dict)
