"""Servers that get a copy: `[[upload]]` of jobs.toml."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from enum import StrEnum

from kei.core.clock import epoch_ms
from kei.core.secret import Secret


class What(StrEnum):
    """What an upload target gets."""

    SUMMARY = "summary"
    READINGS = "readings"


class Compress(StrEnum):
    """How the body of an upload is packed."""

    NONE = "none"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """A server that gets a copy.

    Attributes:
        name: unlike that of any other target.
        target_url: http or https, with a host; not shown, its query may hold a token.
        upload_key: the server's key; None where the format needs none.
        format: how the data is written, a name of `kei.upload.formats.FORMATS`.
        what: which data.
        cycle_s: seconds from one flush to the next, 1 to 86,400.
        max_bytes: size of one body's data at most, 64 to 16,777,216.
        min_interval_s: seconds between two POSTs at least, 0 to 86,400.
        timeout_s: seconds that a server may stay silent, 0.1 to 300.
        compress: NONE where the format is not compressible.
        headers: names and values of extra HTTP headers; the values may be tokens.
        since: also what was recorded since then (a date begins at local midnight); None = from
            now on. See `since_ms`.
    """

    name: str
    target_url: str = field(repr=False)
    upload_key: Secret | None
    format: str
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
