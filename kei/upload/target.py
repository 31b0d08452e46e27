"""What an upload needs to know of the server it goes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from kei.settings.upload import What

MIN_SECRET_CHARS = 4  # hiding shorter ones would garble messages and protect nothing


class FormatName(StrEnum):
    """The formats, as `format` in jobs.toml names them."""

    KEILOG = "keilog"
    JSON = "json"
    INFLUX = "influx"


class Compression(StrEnum):
    """How a body may be packed, as `compress` in jobs.toml names it."""

    NONE = "none"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class Target:
    """One `[[upload]]` table, validated.

    Attributes:
        name: unique among the targets; names its place in the queue.
        url: http or https; never logged, because its query may hold a token.
        key: `upload_key`; the form field `key` of keilog, the authorization of json and influx.
        format: how a batch is written.
        kind: readings or summaries.
        fname_base: base of the daily files' names, for keilog.
        cycle_s: seconds between two flushes.
        max_bytes: most bytes of data in one POST (before compression and form encoding).
        min_interval_s: least seconds between the starts of two POSTs.
        timeout_s: longest wait for a connection and for each sign of life of the server.
        compression: of json and influx; keilog ignores it.
        headers: sent with each POST; they win over kei's own of the same name.
    """

    name: str
    url: str = field(repr=False)
    key: str | None = field(repr=False)
    format: FormatName
    kind: What
    fname_base: str
    cycle_s: float = 60.0
    max_bytes: int = 65_536
    min_interval_s: float = 0.0
    timeout_s: float = 10.0
    compression: Compression = Compression.NONE
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def secrets(self) -> list[str]:
        """Return the texts that must not appear in a log, the longest first."""
        query = urlsplit(self.url).query
        found = {self.key or "", query, *self.headers.values()}
        found.update(value for _, value in parse_qsl(query))
        return sorted((text for text in found if len(text) >= MIN_SECRET_CHARS), key=len)[::-1]
