"""Who is told that all is well: `[heartbeat]` of jobs.toml."""

from urllib.parse import urlsplit

from kei.settings import text_rules
from kei.settings.keys import DAY_S, MINUTE_S, Duration, Text, key, table
from kei.settings.text_rules import Wrong

EVERY_MIN_S = 10.0
EXAMPLE = "https://hc-ping.com/xxxxxxxx"
HEALTHCHECKS = "hc-ping.com"  # where each check has a path of its own


def check_url(text: str) -> str:
    """Take the address of a check, which is not that for its problems."""
    parts = urlsplit(text_rules.target_url(text, EXAMPLE))
    path = parts.path.rstrip("/")
    if path.endswith("/fail"):
        raise Wrong("is where problems are told", "leave out /fail, which kei adds itself")
    if parts.hostname == HEALTHCHECKS and not path:
        raise Wrong("names no check", f'write it like "{EXAMPLE}"')
    return text


@table()
class Heartbeat:
    """A check of healthchecks.io or the like, which gives the alarm when kei falls silent."""

    url: str = key(
        Text(check_url, "http or https, with a host", hidden=True),
        "Gets a GET when all is well, and `url/fail` a POST of the problems when not.",
        example=f'"{EXAMPLE}"',
    )
    every_s: float = key(
        Duration(EVERY_MIN_S, DAY_S),
        "How often; the check needs a grace time of two of these.",
        default=5 * MINUTE_S,
    )
