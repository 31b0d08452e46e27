"""The dashboards of scripts/grafana show data of real databases, and its rules give the alarm."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fakes import TOKYO
from programs import (
    ROOT,
    SIMULATED,
    Program,
    command,
    free_port,
    readings,
    running,
    summaries,
    wait_until,
    write_jobs,
)
from recorded_home import record_home
from series_databases import influxd, skip_without, victoria_metrics
from web_support import REQUESTS, TARIFF

from kei.core.clock import SystemClock, local

GRAFANA = ROOT / "scripts" / "grafana"
RULES = GRAFANA / "rules"
PUSHED, SCRAPED, AVERAGED = "house-07", "house-08", "house-09"
CLOCK = SystemClock(TOKYO)
DAY_S = 86_400
OF_AVERAGES = ("Power", "Current", "Sensors", "Energy", "Bought")  # panels
HALF_HOUR_S = 1800
TOLD = re.compile(r"\bkei_(?!health|value|summary)\w+").findall  # by `/metrics`

TROUBLED = """\
kei_health,source=house-90,version=0.1 session_up=1,uptime_s=9 {hour}
kei_health,source=house-91,version=0.1 backlog_rows=5,oldest_s=7000 {minute}
kei_health,source=house-91,version=0.1 session_up=0,rssi_dbm=-91,backlog_rows=9,oldest_s=7200,\
dead_letters=1,clock_synchronised=0,disk_free_bytes=1000000,uptime_s=9,cpu_celsius=81,missed=5 {now}
kei_health,source=house-07,version=0.1 missed=0,cpu_celsius=41,uptime_s=1 {minute}
"""
# Registers as the window of each half-hour has them; a real kei would have to run for a day.
AVERAGES = """\
kei_summary,source=house-09,unit=BR,sensor=EA average={kwh},min={kwh},max={kwh},count=1 {at}
kei_summary,source=house-09,unit=BR,sensor=EB average={kwh},min={kwh},max={kwh},count=1 {at}
"""


def dashboard(name: str) -> dict[str, Any]:
    text = (GRAFANA / "dashboards" / f"{name}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def questions(name: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each query of a dashboard: its panel's title, itself, and its panel's least interval."""
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target, panel.get("interval", "1m")


def put_in(text: str, **variables: str) -> str:
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    assert "$" not in text, f"a variable that Grafana does not put in: {text}"
    return text


class PromQL:
    """Asks a VictoriaMetrics as Grafana does."""

    write = "/write"
    write_averages = f"/write?extra_label=source={AVERAGED}"
    homes = (PUSHED, SCRAPED, AVERAGED)

    def __init__(self, url: str) -> None:
        self.url = url

    def has(self, target: dict[str, Any], site: str, interval: str) -> bool:
        window = {"__rate_interval": "1m", "__interval": interval}
        expr = put_in(target["expr"], site=site, meter="BR", **window)
        now_s = CLOCK.now_ms() // 1000
        if target["instant"]:
            return self._any("query", query=expr, time=now_s + 1)
        hour_s = now_s // 3600 * 3600
        span = {"start": hour_s - DAY_S, "end": hour_s + 3600, "step": 60}
        return self._any("query_range", query=expr, **span)

    def _any(self, path: str, **parameters: str | int) -> bool:
        """Tell whether there is a number, which NaN is not."""
        return any(
            not math.isnan(float(value))
            for series in self._get(path, **parameters)["result"]
            for _, value in series.get("values", [series.get("value")])
        )

    def sites(self, query: str) -> list[str]:
        asked = re.fullmatch(r"label_values\((.+), source\)", query)
        assert asked is not None
        found: list[str] = self._get("label/source/values", **{"match[]": asked[1]})
        return found

    def _get(self, path: str, **parameters: str | int) -> Any:
        # Or else what is younger than a second is left out.
        asked = {"nocache": 1, **parameters}
        answer = requests.get(f"{self.url}/api/v1/{path}", asked, timeout=10)
        assert answer.ok, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def bill(self) -> float:
        query = f'last_over_time(kei_health_cost_bill_yen{{source="{PUSHED}"}}[5m])'
        (found,) = self._get("query", query=query)["result"]
        return float(found["value"][1])

    def alerts(self) -> dict[str, set[str]]:
        """The sites for which the conditions of the alerts hold, by the alerts' names."""
        rules = (RULES / "kei.yml").read_text("utf-8")
        found = re.findall(
            r"alert: (\w+)\n +expr: (?:\|\n)?(.+?)\n +(?:for|keep)", rules, re.DOTALL
        )
        assert len(found) == rules.count("- alert: ")
        return {
            name: {each["metric"]["source"] for each in self._get("query", query=expr)["result"]}
            for name, expr in found
        }

    def add(self, now_s: int, metrics: str) -> None:
        """Write two days of a site that is scraped, and of one that uploads averages.

        What was written until now is found from now on.
        """
        pushed, scraped = [], []
        for at_s in range(now_s - 2 * DAY_S, now_s + 1, HALF_HOUR_S):
            kwh = 1000 + (at_s - now_s) / 3600
            pushed.append(AVERAGES.format(kwh=kwh, at=at_s * 1000))
            scraped += [f"{line} {at_s * 1000}\n" for line in metrics.splitlines()]
        post(f"{self.url}/write", *pushed)
        labels = f"extra_label=source={SCRAPED}&extra_label=job=kei&extra_label=instance=a:8580"
        post(f"{self.url}/api/v1/import/prometheus?{labels}", *scraped)
        requests.get(f"{self.url}/internal/force_flush", timeout=10)


class InfluxQL:
    """Asks an InfluxDB as Grafana does."""

    write = write_averages = "/write?db=kei"
    homes = (PUSHED,)

    def __init__(self, url: str) -> None:
        self.url = url

    def has(self, target: dict[str, Any], site: str, interval: str) -> bool:
        if "derivative" in target["query"]:
            interval = "10s"  # the real kei has told of its health for seconds only
        time_filter = f"time > now() - {2 * DAY_S}s"
        window = {"timeFilter": time_filter, "__interval": interval}
        return bool(self._ask(put_in(target["query"], site=site, meter="BR", **window)))

    def sites(self, query: str) -> list[str]:
        return [str(value) for series in self._ask(query) for _, value in series["values"]]

    def bill(self) -> float:
        query = f"SELECT last(cost_bill_yen) FROM kei_health WHERE source = '{PUSHED}'"
        return float(self._ask(query)[0]["values"][0][1])

    def alerts(self) -> dict[str, set[str]]:
        """There are none for this database."""
        return {}

    def add(self, now_s: int, metrics: str) -> None:
        """Nothing is scraped here."""

    def _ask(self, query: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/query", {"db": "kei", "q": query}, timeout=10)
        (result,) = answer.json()["results"]
        assert "error" not in result, f"{query}: {result}"
        return list(result.get("series", []))


def post(url: str, *lines: str) -> None:
    times = {"precision": "ms"}
    requests.post(url, "".join(lines), params=times, timeout=10).raise_for_status()


def uploads(database: PromQL | InfluxQL) -> str:
    """What a jobs.toml has to have to write readings, averages and health to a database."""
    since = local(CLOCK.now_ms(), TOKYO).date() - timedelta(days=4)
    both = f'[[upload]]\nformat = "influx"\ncycle = 1\nsince = "{since}"\ntarget_url = "'
    return (
        f'[site]\nname = "{PUSHED}"\n[summary]\ncycle = 1\n'
        f'{both}{database.url}{database.write}"\nname = "readings"\nwhat = "readings"\n'
        f"health = true\nmax_bytes = 1000000\n"
        f'{both}{database.url}{database.write_averages}"\nname = "averages"\n'
    )


@pytest.mark.parametrize(
    ("of", "start", "language"),
    [("prometheus", victoria_metrics, PromQL), ("influxdb", influxd, InfluxQL)],
    ids=["victoria-metrics", "influxd"],
)
def test_every_query_of_the_dashboards_has_data(
    of: str,
    start: Callable[[Path], AbstractContextManager[str]],
    language: type[PromQL] | type[InfluxQL],
    tmp_path: Path,
) -> None:
    (tmp_path / "server").mkdir()
    record_home(tmp_path / "kei.db", CLOCK, days=3, solar=True, power_every_s=HALF_HOUR_S)
    with start(tmp_path / "server") as url:
        database = language(url)
        now_s = CLOCK.now_ms() // 1000
        times = {"now": now_s, "minute": now_s - 60, "hour": now_s - 3600}
        at = {name: time_s * 1000 for name, time_s in times.items()}
        post(url + database.write, TROUBLED.format(**at))
        upload = uploads(database)
        board = '[[serial]]\nport = "sim-sensor:interval=0.5,board=B1"'
        page = f"127.0.0.1:{free_port()}"
        tables = (board, f'[web]\nlisten = "{page}"', upload, TARIFF)
        jobs = write_jobs(tmp_path, f"{SIMULATED},solar", *tables, requests=REQUESTS)
        with running("--jobs", str(jobs), cwd=tmp_path, TZ="Asia/Tokyo") as kei:
            wait_until_sent(kei, jobs)
            database.add(now_s, scraped(page))
            for site in database.homes:
                wait_for_data(database, f"home-{of}", site)
            wait_for_data(database, f"fleet-{of}")
            query = next(
                variable["query"]
                for variable in dashboard(f"home-{of}")["templating"]["list"]
                if variable["type"] == "query"
            )
            assert {PUSHED, "house-90"} <= set(database.sites(query))
            wait_until(lambda: database.bill() == bill(jobs), 20, "the bill that kei prints")
            for alert, told in database.alerts().items():
                troubled = {"KeiSilent": {"house-90"}, "KeiAllSilent": set()}
                assert told - {PUSHED, SCRAPED} == troubled.get(alert, {"house-91"}), alert
            assert kei.stop() == 0


def wait_until_sent(kei: Program, jobs: Path) -> None:
    """Wait until a series of each kind, and averages of it, are with the server.

    VictoriaMetrics remembers for up to 10 s that there was nothing, so it is not asked before.
    """
    wanted = {"E7", "E8R", "E8T", "T1"}

    def is_recorded() -> bool:
        return all(wanted <= {row[2] for row in of(jobs.parent)} for of in (readings, summaries))

    def is_sent() -> bool:
        _, lines, _ = command("status", "--json", "--jobs", jobs, TZ="Asia/Tokyo")
        times = [each["last_success"] for each in json.loads(lines[0])["uploads"]]
        return all(time is not None and datetime.fromisoformat(time) > since for time in times)

    kei.wait_for(is_recorded, 20, "readings and averages")
    since = local(CLOCK.now_ms(), TOKYO)
    wait_until(is_sent, 20, "uploads")


def scraped(page: str) -> str:
    """The samples that a kei tells Prometheus, and the temperature, which not every machine has.

    A kei that has just begun does not know its costs and all registers at once.
    """
    asked = {name for _, target, _ in questions("home-prometheus") for name in TOLD(target["expr"])}
    told: list[str] = []

    def are_all_told() -> bool:
        text = requests.get(f"http://{page}/metrics", timeout=10).text
        told[:] = [line for line in text.splitlines() if not line.startswith("#")]
        told.append("kei_cpu_temperature_celsius 45")
        return asked <= {re.split(r"\W", line)[0] for line in told}

    wait_until(are_all_told, 20, f"all of {sorted(asked)}")
    return "\n".join(told)


def bill(jobs: Path) -> float:
    _, lines, _ = command("bill", "--format", "json", "--jobs", jobs, TZ="Asia/Tokyo")
    return float(json.loads("\n".join(lines))["total"])


def wait_for_data(database: PromQL | InfluxQL, name: str, site: str = "") -> None:
    """Wait until there is an answer to each question of a dashboard."""
    empty = [
        question
        for question in questions(name)
        if site != AVERAGED or question[0].startswith(OF_AVERAGES)
    ]

    def are_answered() -> bool:
        empty[:] = [
            (title, target, interval)
            for title, target, interval in empty
            if not database.has(target, site, interval)
        ]
        return not empty

    try:
        wait_until(are_answered, 20, name)
    except AssertionError:
        pytest.fail(f"no data of {site or name}: {[title for title, *_ in empty]}")


DASHBOARDS = sorted(path.stem for path in (GRAFANA / "dashboards").glob("*.json"))


def test_the_dashboards_are_what_the_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GRAFANA / "make.py", tmp_path], check=True)
    for path in tmp_path.iterdir():
        hint = "make them anew: scripts/grafana/make.py"
        assert path.read_bytes() == (GRAFANA / "dashboards" / path.name).read_bytes(), hint
    assert {path.stem for path in tmp_path.iterdir()} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_put_into_any_grafana(name: str) -> None:
    """Provisioning knows neither `__inputs` nor the data sources of another Grafana."""
    found = dashboard(name)
    kind = name.rsplit("-", 1)[1]
    assert "__inputs" not in found
    assert found["uid"] == f"kei-{name}"
    (chosen,) = (each for each in found["templating"]["list"] if each["type"] == "datasource")
    assert chosen["query"] == kind
    sources = [panel["datasource"] for panel in found["panels"]]
    sources += [target["datasource"] for panel in found["panels"] for target in panel["targets"]]
    assert all(each == {"type": kind, "uid": "${datasource}"} for each in sources)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_width_and_none_covers_another(name: str) -> None:
    covered: dict[tuple[int, int], str] = {}
    for panel in dashboard(name)["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in covered, f"{panel['title']} covers {covered[x, y]}"
                covered[x, y] = panel["title"]
    assert {x for x, _ in covered} == set(range(24))
    assert len(covered) == 24 * (1 + max(y for _, y in covered))


@pytest.mark.parametrize("what", ["check", "test"])
def test_the_rules_give_the_alarm_when_they_should(what: str) -> None:
    skip_without("promtool", "prometheus")
    file = {"check": "kei.yml", "test": "kei.test.yml"}[what]
    done = subprocess.run(
        ["promtool", what, "rules", file], cwd=RULES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_vmalert_takes_the_rules_without_what_it_does_not_know(tmp_path: Path) -> None:
    skip_without("vmalert", "victoria-metrics")
    lines = (RULES / "kei.yml").read_text("utf-8").splitlines()
    known = [line for line in lines if "keep_firing_for" not in line]
    (tmp_path / "kei.yml").write_text("\n".join(known))
    done = subprocess.run(
        ["vmalert", "-dryRun", f"-rule={tmp_path / 'kei.yml'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
