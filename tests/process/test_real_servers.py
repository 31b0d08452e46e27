"""Time series databases as Debian has them take what kei sends, and give it back as it was."""

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from programs import SIMULATED, readings, running, wait_until, write_jobs

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'
START_LIMIT_S = 30.0
Samples = list[tuple[int, float]]  # ms since 1970, value


@dataclass(frozen=True)
class Database:
    """A server.

    Attributes:
        write_url: what `target_url` has to be.
        samples: gives back what was written of E7.
        health: gives back what was written of the session's state.
    """

    write_url: str
    samples: Callable[[], Samples]
    health: Callable[[], str]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, **form: str) -> str:
    """The answer to a GET, or to a POST of a form; nothing while there is none."""
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(url, data, timeout=5) as response:
            return str(response.read().decode()) or "(empty)"
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return ""


@contextmanager
def started(*command: str, ready_url: str, **environ: str) -> Iterator[None]:
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environ,
    ) as process:
        try:
            wait_until(lambda: fetch(ready_url), START_LIMIT_S, f"{command[0]} ready")
            yield
        finally:
            process.kill()


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[Database]:
    url = f"http://127.0.0.1:{free_port()}"
    address = url.removeprefix("http://")

    def samples() -> Samples:
        fetch(f"{url}/internal/force_flush")
        found: Samples = []
        for line in fetch(f"{url}/api/v1/export?match[]=kei_value").splitlines():
            series = json.loads(line)
            assert series["metric"]["sensor"] == "E7"
            found += zip(series["timestamps"], series["values"], strict=True)
        return sorted(found)

    def health() -> str:
        fetch(f"{url}/internal/force_flush")
        return fetch(f"{url}/api/v1/export?match[]=kei_health_session_up")

    arguments = (f"-storageDataPath={folder}", f"-httpListenAddr={address}")
    with started("victoria-metrics", *arguments, ready_url=f"{url}/health"):
        yield Database(f"{url}/write", samples, health)


@contextmanager
def influxd(folder: Path) -> Iterator[Database]:
    http, rpc = free_port(), free_port()
    url = f"http://127.0.0.1:{http}"

    def samples() -> Samples:
        query = urllib.parse.quote("SELECT value FROM kei WHERE sensor = 'E7'")
        answer = json.loads(fetch(f"{url}/query?db=kei&epoch=ms&q={query}"))
        series = answer["results"][0].get("series", [{"values": []}])
        return [(time_ms, value) for time_ms, value in series[0]["values"]]

    def health() -> str:
        return fetch(f"{url}/query?db=kei&q=SELECT%20source%2Csession_up%20FROM%20kei_health")

    settings = {
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{http}",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc}",
        "INFLUXDB_REPORTING_DISABLED": "true",
    }
    config = folder / "influxd.conf"
    config.write_text("[data]\n")
    with started("influxd", "-config", str(config), ready_url=f"{url}/ping", **settings):
        fetch(f"{url}/query", q="CREATE DATABASE kei")
        yield Database(f"{url}/write?db=kei", samples, health)


@pytest.mark.parametrize(
    ("program", "server"), [("victoria-metrics", victoria_metrics), ("influxd", influxd)]
)
@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_what_was_recorded_comes_back_as_it_was(
    program: str,
    server: Callable[[Path], AbstractContextManager[Database]],
    compress: str,
    tmp_path: Path,
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; Debian has it (victoria-metrics, influxdb)")
    (tmp_path / "server").mkdir()
    with server(tmp_path / "server") as database:
        upload = (
            f'[[upload]]\ntarget_url = "{database.write_url}"\nformat = "influx"\n'
            f'what = "readings"\ncycle = 1\ncompress = "{compress}"\nhealth = true\n'
            '[site]\nname = "house-07"'
        )
        jobs = write_jobs(tmp_path, SIMULATED, upload, requests=FAST)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: len(readings(tmp_path)) >= 20, 20, "readings")
            wait_until(lambda: len(database.samples()) >= 10, 20, "samples")
            wait_until(lambda: "house-07" in database.health(), 20, "health")
            assert kei.stop() == 0
        command = ("export", "--jobs", str(jobs), "--from", "2000-01-01", "--to", "2100-01-01")
        with running(*command, "--format", "jsonl", "--sensor", "E7") as export:
            assert export.wait() == 0
        rows = [json.loads(line) for line in export.lines]
        recorded = [
            (round(datetime.fromisoformat(row["time"]).timestamp() * 1000), row["value"])
            for row in rows
        ]
        sent = database.samples()
    assert sent == recorded[: len(sent)]
    assert len(sent) >= 10
