"""The dashboard of a fleet: which sites are silent, cut off from their meters, behind, or old."""

from collections.abc import Sequence

from home import HEALTH_S, LAST_HEARD, SILENT_S, YES, health
from panels import (
    BLUE,
    GREEN,
    INFLUXDB,
    PROMETHEUS,
    RED,
    YELLOW,
    Json,
    Panel,
    Query,
    dashboard,
    limits_of,
    renamed,
    words_of,
)

KNOWN = "7d"  # a site that has been silent for longer is forgotten
HEARD = "15m"
BEHIND_S = 3600  # as `kei status` has it
DISK_BYTES = 500_000_000  # days before the 200 MB at which kei's own page warns


def _told(pushed: str, scraped: str, window: str = HEARD) -> str:
    return health(pushed, scraped + "{{{}}}", where="", window=window)


def sites(window: str) -> str:
    """Return PromQL for the sites that have said anything in this time."""
    return (
        f"count by (source) (count_over_time(kei_health_uptime_s[{window}])"
        f" or count_over_time(kei_build_info[{window}]))"
    )


def _how_many(of: str) -> str:
    return f"count({of})\nor vector(0)"


def _how_many_last(field: str, condition: str = "", window: str = HEARD) -> str:
    """Return InfluxQL for how many sites said so last."""
    where = f' WHERE "said" {condition}' if condition else ""
    return (
        f'SELECT count("said") FROM (SELECT last("{field}") AS "said" FROM "kei_health"'
        f' WHERE time > now() - {window} GROUP BY "source"){where}'
    )


def _how_many_silent() -> str:
    """Return InfluxQL, whose `WHERE time` cannot choose among the last points of sites."""

    def summand(of: str, window: str) -> str:
        last = (
            f'SELECT last("uptime_s") AS "said" FROM "kei_health" WHERE time > now() - {window}'
            ' GROUP BY "source"'
        )
        return f'(SELECT {of} AS "sites" FROM ({last}))'

    known, heard = summand('count("said")', KNOWN), summand('-1 * count("said")', HEARD)
    return f'SELECT sum("sites") FROM {known}, {heard}'


def _count(title: str, about: str, promql: str, influxql: str, colour: str = RED) -> Panel:
    return Panel(
        title,
        about,
        "stat",
        4,
        4,
        {PROMETHEUS: [Query(promql, now=True)], INFLUXDB: [Query(influxql)]},
        limits=((0, GREEN), (1, colour)),
        nothing="0",
    )


COUNTS = (
    _count(
        "Sites",
        "Sites that have been heard within 7 days.",
        f"count({sites(KNOWN)})",
        _how_many_last("uptime_s", window=KNOWN),
        BLUE,
    ),
    _count(
        "Silent",
        "Sites that have been heard within 7 days, but not in the last 15 minutes.",
        _how_many(f"{sites(KNOWN)}\nunless on (source)\n{sites(HEARD)}"),
        _how_many_silent(),
    ),
    _count(
        "Without meter",
        "Sites whose kei is not joined with its meter.",
        _how_many(f"({_told('session_up', 'session_up')}) == 0"),
        _how_many_last("session_up", "= 0"),
    ),
    _count(
        "Behind",
        "Sites with rows that have been waiting for an hour to be uploaded.",
        _how_many(f"({_told('oldest_s', 'upload_oldest_row_age_seconds')}) > {BEHIND_S}"),
        _how_many_last("oldest_s", f"> {BEHIND_S}"),
        YELLOW,
    ),
    _count(
        "Clock not set",
        "Sites whose clock no time service has set.",
        _how_many(f"({_told('clock_synchronised', 'clock_synchronised')}) == 0"),
        _how_many_last("clock_synchronised", "= 0"),
        YELLOW,
    ),
    _count(
        "Disk nearly full",
        "Sites with less than 500 MB left for kei.",
        _how_many(f"({_told('disk_free_bytes', 'disk_free_bytes')}) < {DISK_BYTES}"),
        _how_many_last("disk_free_bytes", f"< {DISK_BYTES}"),
    ),
)

# Title, field of kei_health, name after `kei_` in /metrics, unit, limits.
COLUMNS: Sequence[tuple[str, str, str, str, Sequence[tuple[float, str]]]] = (
    ("Meter joined", "session_up", "session_up", "none", ()),
    ("Signal", "rssi_dbm", "signal_dbm", "dBm", ((-1e9, RED), (-85, YELLOW), (-75, GREEN))),
    ("Rows waiting", "backlog_rows", "upload_backlog_rows", "short", ()),
    (
        "Oldest row", "oldest_s", "upload_oldest_row_age_seconds", "s",
        ((0, GREEN), (BEHIND_S / 2, YELLOW), (BEHIND_S, RED)),
    ),
    ("Refused rows", "dead_letters", "upload_dead_letters", "short", ((0, GREEN), (1, YELLOW))),
    ("Clock set", "clock_synchronised", "clock_synchronised", "none", ()),
    (
        "Disk free", "disk_free_bytes", "disk_free_bytes", "decbytes",
        ((0, RED), (DISK_BYTES, YELLOW), (2 * DISK_BYTES, GREEN)),
    ),
    (
        "Processor", "cpu_celsius", "cpu_temperature_celsius", "celsius",
        ((0, GREEN), (70, YELLOW), (80, RED)),
    ),
    ("Up for", "uptime_s", "uptime_seconds", "s", ()),
)  # fmt: skip
COLOURED: Json = {
    "custom.cellOptions": {"type": "color-text"},
    "color": {"mode": "thresholds"},
}
_AGE_LIMITS = ((0, GREEN), (SILENT_S / 2, YELLOW), (SILENT_S, RED))


def _table(of: str) -> Panel:
    versions = " or ".join(
        LAST_HEARD.format(name, KNOWN) for name in ("health_uptime_s", "build_info")
    )
    age = f"time() - topk by (source) (1, max by (source, version) ({versions}))"
    promql = [Query(age, table=True, now=True)] + [
        Query(_told(pushed, scraped), table=True, now=True) for _, pushed, scraped, *_ in COLUMNS
    ]
    fields = ", ".join(f'"{pushed}"' for _, pushed, *_ in COLUMNS)
    influxql = Query(
        f'SELECT last("uptime_s") AS "up", "version", {fields} FROM "kei_health"'
        f' WHERE time > now() - {KNOWN} GROUP BY "source"',
        table=True,
    )
    begin = {"source": "Site"}
    if of == PROMETHEUS:
        names = begin | {"Value #A": "Last heard", "version": "Version"}
        names |= {f"Value #{chr(ord('B') + i)}": title for i, (title, *_) in enumerate(COLUMNS)}
        transformations: list[Json] = [{"id": "merge", "options": {}}, renamed(names, "Time")]
    else:
        names = begin | {"Time": "Last heard", "version": "Version"}
        names |= {pushed: title for title, pushed, *_ in COLUMNS}
        transformations = [renamed(names, "up")]
    oldest: Json = {"field": "Last heard", "desc": of == PROMETHEUS}
    by_age: Json = {"id": "sortBy", "options": {"sort": [oldest]}}
    link = {"title": "This home", "url": f"/d/kei-home-{of}?var-site=${{__value.raw}}"}
    heard: Json = {"unit": "s", "thresholds": limits_of(_AGE_LIMITS), **COLOURED}
    return Panel(
        "Sites, silent ones first",
        "What each kei said last of itself. What is empty was not said in the last 15 minutes, or"
        " cannot be told. A click on the site shows its home.",
        "table", 24, 14,
        {PROMETHEUS: promql, INFLUXDB: [influxql]},
        overrides={
            "^Site$": {"links": [link]},
            "^Last heard$": heard if of == PROMETHEUS else {"unit": "dateTimeFromNow"},
            "^(Meter joined|Clock set)$": {"mappings": words_of(YES), **COLOURED},
            **{
                f"^{title}$": {"unit": unit}
                | ({"thresholds": limits_of(limits), **COLOURED} if limits else {})
                for title, _, _, unit, limits in COLUMNS
                if unit != "none"
            },
        },
        transformations={of: [*transformations, by_age]},
    )  # fmt: skip


def _over_time(pushed: str, scraped: str) -> dict[str, list[Query]]:
    influxql = (
        f'SELECT last("{pushed}") FROM "kei_health" WHERE $timeFilter'
        ' GROUP BY time($__interval), "source" fill(none)'
    )
    return {
        PROMETHEUS: [Query(_told(pushed, scraped, HEALTH_S), "{{source}}")],
        INFLUXDB: [Query(influxql, "$tag_source")],
    }


OVER_TIME = (
    Panel(
        "Meter joined",
        "Green: joined; red: not joined; a gap: the site was silent.",
        "state-timeline", 24, 18,
        _over_time("session_up", "session_up"),
        words=YES,
        interval="10m",
    ),
    Panel(
        "Rows that wait",
        "Rows that are recorded and not uploaded yet, by site.",
        "timeseries", 12, 8,
        _over_time("backlog_rows", "upload_backlog_rows"),
        unit="short",
        interval="10m",
    ),
    Panel(
        "Signal",
        "Power with which the meters are received, in dBm, by site.",
        "timeseries", 12, 8,
        _over_time("rssi_dbm", "signal_dbm"),
        unit="dBm",
        interval="10m",
    ),
)  # fmt: skip
VERSIONS = Panel(
    "Versions",
    "How many sites run which version of kei, of those that are not silent.",
    "stat", 24, 4,
    {
        PROMETHEUS: [
            Query(
                "count by (version) (max by (source, version) ("
                 f"last_over_time(kei_health_uptime_s[{HEALTH_S}]) or kei_build_info))",
                "{{version}}",
                now=True,
            )
        ],
        INFLUXDB: [
            Query(
                'SELECT count("up") FROM (SELECT last("uptime_s") AS "up" FROM "kei_health"'
                f' WHERE time > now() - {HEARD} GROUP BY "source", "version") GROUP BY "version"',
                "$tag_version",
            )
        ],
    },
    options={"textMode": "value_and_name"},
)  # fmt: skip


def fleet(of: str) -> Json:
    """Return the dashboard of a fleet, for a type of data source."""
    return dashboard(
        of,
        f"kei-fleet-{of}",
        "kei: all sites",
        "Which sites are silent, cut off from their meters, behind, or old.",
        (*COUNTS, _table(of), *OVER_TIME, VERSIONS),
        time={"from": "now-24h", "to": "now"},
        refresh="1m",
    )
