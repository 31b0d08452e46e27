"""Time series databases as Debian has them take what kei sends, and give it back as it was."""

import json
import urllib.parse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from programs import SIMULATED, readings, running, wait_until, write_jobs
from series_databases import fetch, influxd, victoria_metrics

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'
Samples = list[tuple[int, float]]  # ms since 1970, value


@dataclass(frozen=True)
class Database:
    """How to use a server.

    Attributes:
        start: starts one in a folder, and gives its address.
        write: what `target_url` has behind the address.
        samples: gives back what was written of E7 to an address.
        health: gives back what was written of the session's state.
    """

    start: Callable[[Path], AbstractContextManager[str]]
    write: str
    samples: Callable[[str], Samples]
    health: Callable[[str], str]


def samples_of_victoria_metrics(url: str) -> Samples:
    fetch(f"{url}/internal/force_flush")
    found: Samples = []
    for line in fetch(f"{url}/api/v1/export?match[]=kei_value").splitlines():
        series = json.loads(line)
        assert series["metric"]["sensor"] == "E7"
        found += zip(series["timestamps"], series["values"], strict=True)
    return sorted(found)


def health_of_victoria_metrics(url: str) -> str:
    fetch(f"{url}/internal/force_flush")
    return fetch(f"{url}/api/v1/export?match[]=kei_health_session_up")


def samples_of_influxd(url: str) -> Samples:
    query = urllib.parse.quote("SELECT value FROM kei WHERE sensor = 'E7'")
    answer = json.loads(fetch(f"{url}/query?db=kei&epoch=ms&q={query}"))
    series = answer["results"][0].get("series", [{"values": []}])
    return [(time_ms, value) for time_ms, value in series[0]["values"]]


def health_of_influxd(url: str) -> str:
    return fetch(f"{url}/query?db=kei&q=SELECT%20source%2Csession_up%20FROM%20kei_health")


DATABASES = {
    "victoria-metrics": Database(
        victoria_metrics, "/write", samples_of_victoria_metrics, health_of_victoria_metrics
    ),
    "influxd": Database(influxd, "/write?db=kei", samples_of_influxd, health_of_influxd),
}


@pytest.mark.parametrize("database", DATABASES.values(), ids=DATABASES)
@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_what_was_recorded_comes_back_as_it_was(
    database: Database, compress: str, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    with database.start(tmp_path / "server") as url:
        upload = (
            f'[[upload]]\ntarget_url = "{url}{database.write}"\nformat = "influx"\n'
            f'what = "readings"\ncycle = 1\ncompress = "{compress}"\nhealth = true\n'
            '[site]\nname = "house-07"'
        )
        jobs = write_jobs(tmp_path, SIMULATED, upload, requests=FAST)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: len(readings(tmp_path)) >= 20, 20, "readings")
            wait_until(lambda: len(database.samples(url)) >= 10, 20, "samples")
            wait_until(lambda: "house-07" in database.health(url), 20, "health")
            assert kei.stop() == 0
        command = ("export", "--jobs", str(jobs), "--from", "2000-01-01", "--to", "2100-01-01")
        with running(*command, "--format", "jsonl", "--sensor", "E7") as export:
            assert export.wait() == 0
        rows = [json.loads(line) for line in export.lines]
        recorded = [
            (round(datetime.fromisoformat(row["time"]).timestamp() * 1000), row["value"])
            for row in rows
        ]
        sent = database.samples(url)
    assert sent == recorded[: len(sent)]
    assert len(sent) >= 10
