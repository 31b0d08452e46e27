"""The server of `rehearse_fleet.py`: a real VictoriaMetrics, and what it gives back."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from _fleet_link import HOST
from programs import free_port, wait_until

PROGRAM = "victoria-metrics"
Samples = Counter[tuple[str, int, float]]  # of one site: name, ms since 1970, value


class Server:
    """A VictoriaMetrics that keeps its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._url = f"http://{HOST}:{self.port}"
        self._folder = folder
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM"),  # however this script ends, it does, too
                PROGRAM,
                f"-storageDataPath={folder}",
                f"-httpListenAddr={HOST}:{self.port}",
                "-retentionPeriod=10y",
                "-dedup.minScrapeInterval=1ms",  # what is sent twice counts once
                "-search.latencyOffset=0s",  # or else it answers for half a minute ago
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._is_ready, 60, f"{PROGRAM} ready")

    def samples(self, metrics: str, site: str) -> Samples:
        """Return everything of the metrics of one site; names are those of metric and sensor."""
        match = f'{{__name__=~"{metrics}",source="{site}"}}'
        # Without an end it is the present second, which the last health is in.
        query = {"match[]": match, "start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        found: Samples = Counter()
        for line in self._get("api/v1/export", query).text.splitlines():
            series = json.loads(line)
            labels = series["metric"]
            name = labels["__name__"].removeprefix("kei_") + labels.get("sensor", "")
            found.update(
                (name, *s) for s in zip(series["timestamps"], series["values"], strict=True)
            )
        return found

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return what a query answers for now."""
        found: list[dict[str, Any]] = self._get("api/v1/query", {"query": text}).json()["data"][
            "result"
        ]
        return found

    def bytes_on_disk(self) -> int:
        """Return how much it has written so far, after all has been merged."""
        self._get("internal/force_merge", {})
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())

    def flush(self) -> None:
        """Let everything that was taken be found."""
        self._get("internal/force_flush", {})

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _get(self, path: str, parameters: dict[str, str]) -> requests.Response:
        answer = requests.get(f"{self._url}/{path}", parameters, timeout=60)
        answer.raise_for_status()
        return answer

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, f"{PROGRAM} has ended"
        try:
            return self._get("health", {}).ok
        except requests.ConnectionError:
            return False


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Have a server that ends with the block."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()
