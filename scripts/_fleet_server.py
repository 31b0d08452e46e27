"""The server of `rehearse_fleet.py`: a real VictoriaMetrics, and what it gives back."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from series_databases import victoria_metrics

PROGRAM = "victoria-metrics"
Samples = Counter[tuple[str, int, float]]  # of one site: name, ms since 1970, value


class Server:
    """A VictoriaMetrics that runs.

    Attributes:
        port: on loopback.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.port = int(url.rpartition(":")[2])
        self._url, self._folder = url, folder

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

    def _get(self, path: str, parameters: dict[str, str]) -> requests.Response:
        answer = requests.get(f"{self._url}/{path}", parameters, timeout=60)
        answer.raise_for_status()
        return answer


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Have a server that ends with the block."""
    folder.mkdir()
    # What is sent twice counts once.
    settings = ("-retentionPeriod=10y", "-dedup.minScrapeInterval=1ms")
    with victoria_metrics(folder, *settings) as url:
        yield Server(url, folder)
