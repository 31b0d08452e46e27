"""What jobs.toml says, checked: the only form in which the rest of kei gets to see it."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from enum import StrEnum
from pathlib import Path

from kei.core.clock import epoch_ms
from kei.core.secret import Secret
from kei.settings.serial import SensorSettings


class Dongle(StrEnum):
    """Kinds of dongle, as `broute.dongle` spells them."""

    AUTO = "auto"
    RL7023_DSS = "RL7023-DSS"
    RL7023_IPS = "RL7023-IPS"
    BP35A1 = "BP35A1"
    BP35C2 = "BP35C2"


class Format(StrEnum):
    """How an upload is written."""

    KEILOG = "keilog"
    JSON = "json"
    INFLUX = "influx"


class What(StrEnum):
    """What an upload target gets."""

    SUMMARY = "summary"
    READINGS = "readings"


class Compress(StrEnum):
    """How the body of an upload is packed."""

    NONE = "none"
    GZIP = "gzip"


class LogLevel(StrEnum):
    """Logs below this level are not written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Properties of the meter that are asked for together.

    Attributes:
        epcs: property codes, at least one, each once.
        cycle_s: seconds from one request to the next, 0.1 to 86,400.
    """

    epcs: tuple[int, ...]
    cycle_s: float


@dataclass(frozen=True, slots=True)
class Broute:
    """The dongle and the meter behind it.

    Attributes:
        port: absolute path of the device, or `sim:` with the simulator's options behind it.
        baudrate: bits a second.
        dongle: its kind, or AUTO to find out.
        broute_id: 32 hex digits, upper case.
        broute_pwd: 12 characters of 0-9 A-Z.
        unit: UnitID in the files.
        requests: at least one group.
    """

    port: str
    baudrate: int
    dongle: Dongle
    broute_id: Secret
    broute_pwd: Secret
    unit: str
    requests: tuple[RequestGroup, ...]


@dataclass(frozen=True, slots=True)
class Recorder:
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
class Summary:
    """How readings are summed up.

    Attributes:
        cycle_s: length of a window in whole seconds, a divisor of 86,400.
    """

    cycle_s: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """A server that gets a copy.

    Attributes:
        name: unlike that of any other target.
        target_url: http or https, with a host; not shown, its query may hold a token.
        upload_key: the server's key; None where the format needs none.
        format: how the data is written.
        what: which data.
        cycle_s: seconds from one flush to the next, 1 to 86,400.
        max_bytes: size of one body's data at most, 64 to 16,777,216.
        min_interval_s: seconds between two POSTs at least, 0 to 86,400.
        timeout_s: seconds that a server may stay silent, 0.1 to 300.
        compress: NONE for the format keilog.
        headers: names and values of extra HTTP headers; the values may be tokens.
        since: also what was recorded since then (a date begins at local midnight); None = from
            now on. See `since_ms`.
    """

    name: str
    target_url: str = field(repr=False)
    upload_key: Secret | None
    format: Format
    what: What
    cycle_s: float
    max_bytes: int
    min_interval_s: float
    timeout_s: float
    compress: Compress
    headers: tuple[tuple[str, Secret], ...]
    since: date | datetime | None

    def since_ms(self, zone: tzinfo) -> int | None:
        """Return `since` in milliseconds since 1970; None if it is not set.

        Args:
            zone: in whose midnight a date begins.
        """
        match self.since:
            case None:
                return None
            case datetime():
                return epoch_ms(self.since)
            case _:
                return epoch_ms(datetime.combine(self.since, time.min, zone))


@dataclass(frozen=True, slots=True)
class Log:
    """What is told, and where besides stdout.

    Attributes:
        level: the lowest level that is written.
        file: absolute; JSON lines go there too; None = stdout only.
        transcript: absolute; what is said on the dongle's port goes there; None = nowhere.
    """

    level: LogLevel
    file: Path | None
    transcript: Path | None


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
    """

    path: Path
    broute: Broute | None
    serial: tuple[SensorSettings, ...]
    recorder: Recorder
    summary: Summary
    upload: tuple[UploadTarget, ...]
    log: Log
