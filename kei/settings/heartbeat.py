"""Who is told that all is well: `[heartbeat]` of jobs.toml."""

from kei.settings import text_rules
from kei.settings.keys import DAY_S, MINUTE_S, Duration, Text, key, table

EVERY_MIN_S = 10.0


@table()
class Heartbeat:
    """A check of healthchecks.io or the like, which gives the alarm when kei falls silent."""

    url: str = key(
        Text(text_rules.target_url, "http or https, with a host", hidden=True),
        "Gets a GET when all is well, and `url/fail` a POST of the problems when not.",
        example='"https://hc-ping.com/xxxxxxxx"',
    )
    every_s: float = key(
        Duration(EVERY_MIN_S, DAY_S),
        "How often; the check needs a grace time of two of these.",
        default=5 * MINUTE_S,
    )
