"""Time series databases as Debian has them: started, asked, and always ended."""

import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import free_port, wait_until

START_LIMIT_S = 30.0


def fetch(url: str, **form: str) -> str:
    """The answer to a GET, or to a POST of a form; nothing while there is none."""
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(url, data, timeout=5) as response:
            return str(response.read().decode()) or "(empty)"
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return ""


def skip_without(program: str, package: str) -> None:
    """Skip the test where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; Debian has it (package {package})")


@contextmanager
def victoria_metrics(folder: Path, *more: str) -> Iterator[str]:
    """A VictoriaMetrics with its data in this folder; gives its address, without a path.

    Args:
        folder: which exists.
        more: of its settings.
    """
    skip_without("victoria-metrics", "victoria-metrics")
    address = f"127.0.0.1:{free_port()}"
    # What is queried may be younger than 30 s.
    settings = (f"-storageDataPath={folder}", "-search.latencyOffset=0s", *more)
    with _started(
        "victoria-metrics",
        f"-httpListenAddr={address}",
        *settings,
        ready=f"http://{address}/health",
    ):
        yield f"http://{address}"


@contextmanager
def influxd(folder: Path) -> Iterator[str]:
    """An InfluxDB 1.x with a database `kei` in this folder; gives its address, without a path."""
    skip_without("influxd", "influxdb")
    url = f"http://127.0.0.1:{free_port()}"
    settings = {
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_HTTP_BIND_ADDRESS": url.removeprefix("http://"),
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "INFLUXDB_REPORTING_DISABLED": "true",
    }
    config = folder / "influxd.conf"
    config.write_text("[data]\n")
    with _started("influxd", "-config", str(config), ready=f"{url}/ping", **settings):
        fetch(f"{url}/query", q="CREATE DATABASE kei")
        yield url


@contextmanager
def _started(*command: str, ready: str, **environ: str) -> Iterator[None]:
    with subprocess.Popen(
        ("setpriv", "--pdeathsig", "TERM", *command),  # however the one who asks ends, it does, too
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environ,
    ) as process:
        try:
            wait_until(lambda: fetch(ready), START_LIMIT_S, f"{command[0]} ready")
            yield
        finally:
            process.kill()
