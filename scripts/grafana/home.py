"""The dashboard of one home: power, energy, yen, signal, and how its kei is.

Three ways by which data comes are asked for, the first that has any is shown: readings that kei
uploads, what is scraped from its `/metrics`, and averages that kei uploads.
"""

from panels import (
    BARS,
    GREEN,
    INFLUXDB,
    LAST,
    PROMETHEUS,
    RED,
    YELLOW,
    Json,
    Panel,
    Query,
    dashboard,
    of_datasource,
    renamed,
    variable,
)

SITE = 'source="$site"'
METER = f'{SITE},unit="$meter"'
OTHERS = f'{SITE},unit!="$meter"'
PUSHED_SITE = "\"source\" = '$site' AND $timeFilter"
PUSHED_METER = f"\"unit\" = '$meter' AND {PUSHED_SITE}"
SUMMARY_S = "10m"  # [summary] cycle, by default
HEALTH_S = "10m"  # two reports of health
SILENT_S = 900


def first_of(*queries: str, by: str = "source") -> str:
    """Return PromQL for the first of these that has data."""
    return f"\nor on ({by})\n".join(queries)


def health(pushed: str, scraped: str, where: str = SITE, window: str = HEALTH_S) -> str:
    """Return PromQL for a number that kei tells of itself, one series a site."""
    return first_of(
        f"max by (source) (last_over_time(kei_health_{pushed}{{{where}}}[{window}]))",
        f"max by (source) (kei_{scraped.format(where)})",
    )


def _average(sensor: str, scraped: str) -> str:
    of_sensor = f'{METER},sensor="{sensor}"'
    return first_of(
        f"avg_over_time(kei_value{{{of_sensor}}}[$__rate_interval])",
        f"avg_over_time({scraped}[$__rate_interval])",
        f"last_over_time(kei_summary_average{{{of_sensor}}}[{SUMMARY_S}])",
    )


def _newest(sensor: str, scraped: str) -> str:
    of_sensor = f'{METER},sensor="{sensor}"'
    return first_of(
        f"last_over_time(kei_value{{{of_sensor}}}[15m])",
        scraped,
        f"last_over_time(kei_summary_average{{{of_sensor}}}[30m])",
    )


def _rise(sensor: str, direction: str, window: str, over: str) -> str:
    """Return PromQL for the kWh by which a half-hour register rose."""
    of_sensor = f'{METER},sensor="{sensor}"'
    counted = f'kei_energy_joules_total{{{SITE},direction="{direction}"}}'

    def rise(series: str) -> str:
        now = f"last_over_time({series}[{window}]"
        return f"{now}) - {now} offset {over})"

    return first_of(
        f"({rise(f'kei_value{{{of_sensor}}}')})",
        f"({rise(counted)}) / 3.6e6",
        f"({rise(f'kei_summary_average{{{of_sensor}}}')})",
    )


def _means(sensors: str, name: str, where: str = PUSHED_METER, tags: str = "") -> list[Query]:
    """Return InfluxQL for readings, and for averages, which most homes have but one of."""
    kinds = (("kei", "value", name), ("kei_summary", "average", f"{name} (average)"))
    return [
        Query(
            f'SELECT mean("{value}") FROM "{measurement}" WHERE {sensors}{where}'
            f" GROUP BY time($__interval){tags} fill(none)",
            title,
        )
        for measurement, value, title in kinds
    ]


def _last_of(sensor: str, name: str) -> Query:
    return Query(
        f'SELECT last("value") FROM "kei" WHERE "sensor" = \'{sensor}\' AND {PUSHED_METER}', name
    )


def _last_told(field: str, name: str) -> Query:
    return Query(f'SELECT last("{field}") FROM "kei_health" WHERE {PUSHED_SITE}', name)


def _told(field: str, name: str) -> Query:
    return Query(
        f'SELECT last("{field}") FROM "kei_health" WHERE {PUSHED_SITE}'
        " GROUP BY time($__interval) fill(none)",
        name,
    )


def _rises(sensor: str, name: str, every: str) -> Query:
    return Query(
        'SELECT difference(first("value")) FROM "kei"'
        f" WHERE \"sensor\" = '{sensor}' AND {PUSHED_METER}"
        f" GROUP BY time({every}) fill(none) tz('Asia/Tokyo')",
        name,
    )


_YEN = (
    ("Today", "cost_today_yen", 'cost_yen{{{},range="today"}}'),
    ("Bill so far", "cost_bill_yen", 'cost_yen{{{},range="bill"}}'),
    ("Bill, forecast", "cost_forecast_yen", "cost_forecast_yen{{{}}}"),
)
_PRICE = ("price_yen_per_kwh", "price_yen_per_kwh{{{}}}")
YES = {1: ("yes", GREEN), 0: ("no", RED)}
LAST_HEARD = "max_over_time(timestamp(kei_{})[{}:1m])"
"""Prometheus knows the time of a sample only where it looks for it, so each minute is looked at."""


def _last_heard() -> str:
    return first_of(
        *(
            f"time() - max by (source) ({LAST_HEARD.format(f'{name}{{{SITE}}}', '1d')})"
            for name in ("health_uptime_s", "build_info")
        )
    )


POWER = 'kei_power_watts{source="$site"}'
CURRENT = 'kei_current_amperes{{source="$site",phase="{}"}}'

PANELS = (
    Panel(
        "Power now",
        "Meter property E7 in W, its newest value of 15 minutes. Negative while you sell.",
        "stat", 4, 4,
        {
            PROMETHEUS: [Query(_newest("E7", POWER), "W", now=True)],
            INFLUXDB: [_last_of("E7", "W")],
        },
        unit="watt",
    ),
    Panel(
        "Current now",
        "Meter property E8 of both phases, in A. kei asks for it where jobs.toml has it in `epc`.",
        "stat", 4, 4,
        {
            PROMETHEUS: [
                Query(_newest("E8R", CURRENT.format("r")), "R", now=True),
                Query(_newest("E8T", CURRENT.format("t")), "T", now=True),
            ],
            INFLUXDB: [_last_of("E8R", "R"), _last_of("E8T", "T")],
        },
        unit="amp",
    ),
    Panel(
        "Bought in 24 hours",
        "kWh by the meter's half-hour register EA, up to the last half-hour that has come.",
        "stat", 4, 4,
        {
            PROMETHEUS: [Query(_rise("EA", "bought", "1h", "1d"), "kWh", now=True)],
            INFLUXDB: [
                Query(
                    'SELECT spread("value") FROM "kei" WHERE "sensor" = \'EA\' AND "unit" = '
                    "'$meter' AND \"source\" = '$site' AND time > now() - 1d",
                    "kWh",
                )
            ],
        },
        unit="kwatth",
    ),
    Panel(
        "Cost",
        "Yen: today, the running bill so far, and what it will be. Needs [tariff] in jobs.toml.",
        "stat", 6, 4,
        {
            PROMETHEUS: [Query(health(p, s), name, now=True) for name, p, s in _YEN],
            INFLUXDB: [_last_told(field, name) for name, field, _ in _YEN],
        },
        unit="currencyJPY",
    ),
    Panel(
        "Next kWh",
        "Yen that the next kWh costs, fuel and levy included. Needs [tariff] in jobs.toml.",
        "stat", 3, 4,
        {
            PROMETHEUS: [Query(health(*_PRICE), "yen/kWh", now=True)],
            INFLUXDB: [_last_told(_PRICE[0], "yen/kWh")],
        },
        unit="currencyJPY",
    ),
    Panel(
        "Last heard",
        "When this kei last said how it is. It does so every 5 minutes at least.",
        "stat", 3, 4,
        {
            PROMETHEUS: [Query(_last_heard(), "ago", now=True)],
            INFLUXDB: [
                Query(
                    "SELECT last(\"uptime_s\") FROM \"kei_health\" WHERE \"source\" = '$site'",
                    table=True,
                )
            ],
        },
        unit="s",
        limits=((0, GREEN), (SILENT_S / 2, YELLOW), (SILENT_S, RED)),
        options={"reduceOptions": LAST | {"fields": "/^(ago|at)$/"}},
        overrides={
            "^at$": {
                "unit": "dateTimeFromNow",
                "color": {"mode": "fixed", "fixedColor": "text"},
            }
        },
        transformations={INFLUXDB: [renamed({"Time": "at"})]},
    ),
    Panel(
        "Power",
        "Average of meter property E7, in W. Below zero is what you sell.",
        "timeseries", 24, 9,
        {
            PROMETHEUS: [Query(_average("E7", POWER), "power")],
            INFLUXDB: _means("\"sensor\" = 'E7' AND ", "power"),
        },
        unit="watt",
        interval="1m",
    ),
    Panel(
        "Energy",
        "kWh by the meter's half-hour registers EA and EB. A bar is an hour, or more in a long"
        " range, and stands where it ends: that at 10:00 is 9:00 to 10:00.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [
                Query(_rise("EA", "bought", "$__interval", "$__interval"), "bought"),
                Query(_rise("EB", "sold", "$__interval", "$__interval"), "sold"),
            ],
            INFLUXDB: [
                _rises("EA", "bought", "$__interval"),
                _rises("EB", "sold", "$__interval"),
            ],
        },
        unit="kwatth",
        interval="1h",
        custom=BARS,
    ),
    Panel(
        "Energy by day",
        "kWh by the meter's half-hour registers. A bar stands at the midnight that ends its day.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [
                Query(_rise("EA", "bought", "1d", "1d"), "bought"),
                Query(_rise("EB", "sold", "1d", "1d"), "sold"),
            ],
            INFLUXDB: [_rises("EA", "bought", "1d"), _rises("EB", "sold", "1d")],
        },
        unit="kwatth",
        interval="1d",
        of_last="30d",
        custom=BARS,
    ),
    Panel(
        "Current",
        "Average of meter property E8 of both phases, in A.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [
                Query(_average("E8R", CURRENT.format("r")), "R"),
                Query(_average("E8T", CURRENT.format("t")), "T"),
            ],
            INFLUXDB: _means('"sensor" =~ /^E8/ AND ', "$tag_sensor", tags=', "sensor"'),
        },
        unit="amp",
        interval="1m",
    ),
    Panel(
        "Cost over time",
        "Yen: today, the running bill so far, and what it will be. Needs [tariff] in jobs.toml.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [Query(health(p, s), name) for name, p, s in _YEN],
            INFLUXDB: [_told(field, name) for name, field, _ in _YEN],
        },
        unit="currencyJPY",
        interval="10m",
    ),
    Panel(
        "Sensors",
        "Averages of what comes from serial ports, by UnitID and SensorID, in their own units.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [
                Query(
                    first_of(
                        f"avg_over_time(kei_value{{{OTHERS}}}[$__rate_interval])",
                        f"avg_over_time(kei_sensor_value{{{SITE}}}[$__rate_interval])",
                        f"last_over_time(kei_summary_average{{{OTHERS}}}[{SUMMARY_S}])",
                        by="source, unit, sensor",
                    ),
                    "{{unit}} {{sensor}}",
                )
            ],
            INFLUXDB: _means(
                "\"unit\" <> '$meter' AND ",
                "$tag_unit $tag_sensor",
                where=PUSHED_SITE,
                tags=', "unit", "sensor"',
            ),
        },
        interval="1m",
    ),
    Panel(
        "Signal",
        "Power with which the meter is received, in dBm. Below -85 answers begin to be missing.",
        "timeseries", 12, 8,
        {
            PROMETHEUS: [Query(health("rssi_dbm", "signal_dbm{{{}}}"), "signal")],
            INFLUXDB: [_told("rssi_dbm", "signal")],
        },
        unit="dBm",
        interval="10m",
    ),
    Panel(
        "Meter and clock",
        "Whether kei is joined with the meter, and whether a time service has set its clock. A gap:"
        " this kei said nothing.",
        "state-timeline", 8, 7,
        {
            PROMETHEUS: [
                Query(health("session_up", "session_up{{{}}}"), "meter joined"),
                Query(health("clock_synchronised", "clock_synchronised{{{}}}"), "clock set"),
            ],
            INFLUXDB: [
                _told("session_up", "meter joined"),
                _told("clock_synchronised", "clock set"),
            ],
        },
        words=YES,
        interval="10m",
    ),
    Panel(
        "Requests without answer",
        "How many requests the meter did not answer, in an hour.",
        "timeseries", 8, 7,
        {
            PROMETHEUS: [
                Query(
                    first_of(
                        f"max by (source) (increase(kei_health_missed{{{SITE}}}[1h]))",
                        "max by (source)"
                        f' (increase(kei_requests_total{{{SITE},result="missed"}}[1h]))',
                    ),
                    "without answer",
                )
            ],
            INFLUXDB: [
                Query(
                    'SELECT non_negative_derivative(last("missed"), 1h) FROM "kei_health"'
                    f" WHERE {PUSHED_SITE} GROUP BY time($__interval) fill(none)",
                    "without answer",
                )
            ],
        },
        interval="10m",
    ),
    Panel(
        "Rows that wait",
        "Rows that kei has recorded and not uploaded yet.",
        "timeseries", 8, 7,
        {
            PROMETHEUS: [
                Query(health("backlog_rows", "upload_backlog_rows{{{}}}"), "rows"),
            ],
            INFLUXDB: [_told("backlog_rows", "rows")],
        },
        interval="10m",
    ),
    Panel(
        "Free on the disk",
        "Bytes that kei may still write to the disk of its database.",
        "timeseries", 12, 6,
        {
            PROMETHEUS: [Query(health("disk_free_bytes", "disk_free_bytes{{{}}}"), "free")],
            INFLUXDB: [_told("disk_free_bytes", "free")],
        },
        unit="decbytes",
        interval="10m",
    ),
    Panel(
        "Temperature of the processor",
        "Degrees Celsius. A Raspberry Pi slows down at 80.",
        "timeseries", 12, 6,
        {
            PROMETHEUS: [
                Query(health("cpu_celsius", "cpu_temperature_celsius{{{}}}"), "processor"),
            ],
            INFLUXDB: [_told("cpu_celsius", "processor")],
        },
        unit="celsius",
        interval="10m",
    ),
)  # fmt: skip

_SITES = {
    PROMETHEUS: 'label_values({__name__=~"kei_.+"}, source)',
    INFLUXDB: 'SHOW TAG VALUES WITH KEY = "source"',
}


def home(of: str) -> Json:
    """Return the dashboard of one home, for a type of data source."""
    site = variable(
        "query", "site", label="Site", datasource=of_datasource(of), query=_SITES[of],
        refresh=2, sort=1, regex="", multi=False, includeAll=False,
        options=[],
    )  # fmt: skip
    meter = variable("constant", "meter", query="BR", label="UnitID of the meter") | {"hide": 2}
    return dashboard(
        of,
        f"kei-home-{of}",
        "kei: one home",
        "Power, energy, yen, signal, and how its kei is.",
        PANELS,
        variables=[site, meter],
        time={"from": "now-24h", "to": "now"},
        refresh="1m",
    )
