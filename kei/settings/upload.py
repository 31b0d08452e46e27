"""Servers that get a copy: `[[upload]]` of jobs.toml."""

import math
from datetime import date, datetime, time, tzinfo
from enum import StrEnum

from kei.core.clock import epoch_ms
from kei.core.secret import Secret
from kei.settings import text_rules
from kei.settings.keys import (
    DAY_S,
    MINUTE_S,
    Choice,
    Derived,
    Duration,
    Flag,
    Headers,
    Moment,
    SecretText,
    Text,
    Whole,
    key,
    table,
)


class What(StrEnum):
    """What an upload target gets."""

    SUMMARY = "summary"
    READINGS = "readings"


class Compress(StrEnum):
    """How the body of an upload is packed."""

    NONE = "none"
    GZIP = "gzip"


# One line of a file has about 40 bytes; a small computer's memory bounds it above.
BODY_MIN_BYTES, BODY_MAX_BYTES = 64, 16 * 1024 * 1024
TIMEOUT_MIN_S, TIMEOUT_MAX_S = 0.1, 5 * MINUTE_S
HEALTH_EVERY_S = 300.0  # contract: who misses it for longer knows that something is wrong
POST_TIMEOUTS = 3  # a living server on a slow line needs several silences, but not many


@table()
class UploadTarget:
    """A server that gets a copy, one table a server."""

    name: str = key(
        Text(text_rules.plain),
        "What logs and `kei status` call it; no two targets have the same.",
        derived=Derived("the host of target_url", lambda of: text_rules.host(of["target_url"])),
        example='"home"',
    )
    target_url: str = key(
        Text(text_rules.target_url, "http or https, with a host", hidden=True),
        "Where to post.",
        example='"https://example.com/upload.php"',
    )
    upload_key: Secret | None = key(
        SecretText(text_rules.upload_key),
        "The server's key; the format keilog needs one.",
        default=None,
        example='"xxxxxxxxxxxxxxxx"',
    )
    format: str = key(Choice("formats"), "How the data is written.", default="keilog")
    what: What = key(Choice(What), "Averages, or every reading.", default=What.SUMMARY)
    cycle_s: float = key(Duration(1, DAY_S), "Time from one flush to the next.", default=60.0)
    max_bytes: int = key(
        Whole(BODY_MIN_BYTES, BODY_MAX_BYTES), "Most data in one POST, in bytes.", default=65_536
    )
    min_interval_s: float = key(Duration(0, DAY_S), "Least time between two POSTs.", default=0.0)
    timeout_s: float = key(
        Duration(TIMEOUT_MIN_S, TIMEOUT_MAX_S),
        "How long the server may be silent; a POST as a whole gets three times as long.",
        default=10.0,
    )
    compress: Compress = key(
        Choice(Compress), "How bodies are packed; not with keilog.", default=Compress.NONE
    )
    headers: tuple[tuple[str, Secret], ...] = key(
        Headers(), "Extra HTTP headers.", default=(), example='{ Authorization = "Token abc" }'
    )
    since: date | datetime | None = key(
        Moment(),
        'Sends what was recorded since then, too (a date: its midnight); "": only what is new.',
        default=None,
        example='"2026-01-01"',
    )

    recovered: bool = key(
        Flag(),
        "Also sends half-hours that were made good from what the meter remembers.",
        default=True,
    )
    health: bool = key(
        Flag(),
        "Each POST, and one in 5 minutes at least, also says how this kei is; not with keilog.",
        default=False,
    )

    @property
    def run_cycle_s(self) -> float:
        """Time from one run of the target's job to the next: a part of `cycle` for its health."""
        if not self.health:
            return self.cycle_s
        return self.cycle_s / math.ceil(self.cycle_s / HEALTH_EVERY_S)

    @property
    def post_limit_s(self) -> float:
        """How long a POST may take with everything: connecting, headers, body, redirects."""
        return POST_TIMEOUTS * self.timeout_s

    def since_ms(self, zone: tzinfo) -> int | None:
        """Return `since` in ms since 1970, of a date its midnight; None if it is not set."""
        match self.since:
            case None:
                return None
            case datetime():
                return epoch_ms(self.since)
            case _:
                return epoch_ms(datetime.combine(self.since, time.min, zone))
