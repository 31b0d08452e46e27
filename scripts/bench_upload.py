#!/usr/bin/env python3
"""What uploads cost: how fast a backlog goes out, its memory, and the bytes of a day.

A month of readings at the default requests, and the averages of ten series, wait in a real database
for a server on loopback that takes everything. The peer in the same run is a program that has the
lines in memory already and posts them with requests in bodies of the same size:

    scripts/bench_upload.py [--days 30]
"""

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

from _project import use_project

use_project()

import requests
import structlog
from fakes import TOKYO, FakeClock
from stored import add_readings, add_summaries

from kei.core.clock import SystemClock
from kei.core.reading import Reading, Summary
from kei.core.secret import Secret
from kei.settings.upload import Compress, UploadTarget, What
from kei.store.database import Database
from kei.store.lines import reading_line
from kei.store.queue import UploadQueue
from kei.upload.batching import Origin
from kei.upload.formats import FORMATS
from kei.upload.http import Http
from kei.upload.sender import Sender

DAY_MS = 86_400_000
BEGIN_MS = 1_767_193_200_000  # 2026-01-01 in Japan
CYCLES_S = {"E7": 10, "E0": 120, "D3": 3600, "D7": 3600, "E1": 3600}
BODY_BYTES = 65_536
SERIES = 10
MANY = 10_000_000  # rows, more than there are
WINDOW_MS = 600_000


class Handler(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        """Read the body and say OK."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    days = parser.parse_args().days
    structlog.configure(processors=[_drop])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    with tempfile.TemporaryDirectory(prefix="kei-bench-", dir=Path.cwd()) as name:
        database = Database.open(Path(name) / "kei.db", FakeClock(BEGIN_MS, TOKYO))
        for day in range(days):
            add_readings(database, list(_day(day)))
            add_summaries(database, list(_summaries(day)))
        print(f"waiting: {days} days")
        before = _peak_mib()
        for form, spec in FORMATS.items():
            for what in What:
                for packed in Compress if spec.compressible else (Compress.NONE,):
                    drain(database, _target(url, form, what, packed), Path(name))
        print(f"memory beyond the start       {_peak_mib() - before:6.1f} MiB")
        database.close()
    peer(url, days)
    server.shutdown()


def _target(url: str, form: str, what: What, packed: Compress) -> UploadTarget:
    return UploadTarget(
        name=f"{form}-{what}-{packed}",
        target_url=url,
        upload_key=Secret("key"),
        format=form,
        what=what,
        cycle_s=86_400,
        max_bytes=BODY_BYTES,
        min_interval_s=0,
        timeout_s=10,
        compress=packed,
        headers=(),
        since=None,
    )


def drain(database: Database, target: UploadTarget, folder: Path) -> None:
    """Report how fast everything goes out to a target, and what a day of it weighs."""
    queue = UploadQueue(database)
    queue.register(target.name, target.what, 0)
    rows = len(queue.pending(target.name, target.what, MANY))
    seconds, _ = _flushed(database, target)
    speed = rows / seconds
    # Of a day as it is sent live: a window, or the readings of a minute, at a time.
    a_day = _live_bytes(folder / f"{target.name}.db", target)
    print(
        f"{target.format:7} {target.what:9} {target.compress:5}"
        f"  {speed:8.0f} lines/s  {a_day / 1024:7.0f} KiB a day"
    )


def _flushed(database: Database, target: UploadTarget) -> tuple[float, int]:
    """Empty a target's queue; return how long it took, and the bytes that were sent."""
    queue, clock = UploadQueue(database), SystemClock(TOKYO)
    http = Http(clock)
    sender = Sender(
        target, [queue], Origin("raspberrypi", "mydatafile", TOKYO), http,
        clock=clock, random=Random(1), log=structlog.stdlib.get_logger(),
    )  # fmt: skip
    begun = time.perf_counter()
    sender.flush()
    seconds = time.perf_counter() - begun
    assert not queue.pending(target.name, target.what, 1)
    sender.stop()
    return seconds, http.sent_bytes


def _live_bytes(path: Path, target: UploadTarget) -> float:
    """Return the bytes of a day that is sent as it comes, from a sample of two hours."""
    step = 600 if target.what is What.SUMMARY else 60
    total = 0
    live = Database.open(path, FakeClock(BEGIN_MS, TOKYO))
    UploadQueue(live).register(target.name, target.what, 0)
    for begin in range(0, 7200, step):
        ends_ms = BEGIN_MS + begin * 1000, BEGIN_MS + (begin + step) * 1000
        if target.what is What.READINGS:
            add_readings(live, [r for r in _day(0) if ends_ms[0] <= r.time_ms < ends_ms[1]])
        else:
            add_summaries(
                live, [s for s in _default_summaries() if ends_ms[0] <= s.start_ms < ends_ms[1]]
            )
        total += _flushed(live, target)[1]
    live.close()
    return total * 12


def peer(url: str, days: int) -> None:
    """Report how fast a program posts lines that it has in memory."""
    lines = [f"{reading_line(r, TOKYO)}\n" for day in range(days) for r in _day(day)]
    begun = time.perf_counter()
    with requests.Session() as session:
        body: list[str] = []
        size = 0
        for line in [*lines, ""]:
            if not line or size + len(line) > BODY_BYTES:
                session.post(url, data={"data": "".join(body)}, timeout=10)
                body, size = [], 0
            body.append(line)
            size += len(line)
    print(f"peer    readings  none   {len(lines) / (time.perf_counter() - begun):8.0f} lines/s")


def _day(day: int) -> Iterator[Reading]:
    for second in range(0, 86_400, 10):
        for sensor, cycle_s in CYCLES_S.items():
            if second % cycle_s == 0:
                at_ms = BEGIN_MS + day * DAY_MS + second * 1000 + 700
                value = Decimal(second * 7 % 3000) if sensor != "E0" else Decimal(f"{day}.5")
                yield Reading(at_ms, "BR", sensor, value, "x")


def _summaries(day: int) -> Iterator[Summary]:
    for start_ms in range(BEGIN_MS + day * DAY_MS, BEGIN_MS + (day + 1) * DAY_MS, WINDOW_MS):
        for series in range(SERIES):
            one = Decimal(start_ms // 1000 % 3000)
            yield Summary(start_ms, "A1", f"T{series}", one + Decimal("0.25"), one, one + 1, 60)


def _default_summaries() -> Iterator[Summary]:
    """Those of the default requests: E7 and E0 in each window, the hourly ones in one of six."""
    for start_ms in range(BEGIN_MS, BEGIN_MS + DAY_MS, WINDOW_MS):
        hourly = ("D3", "D7", "E1") if start_ms % 3_600_000 == 0 else ()
        for sensor in ("E7", "E0", *hourly):
            one = Decimal(start_ms // 1000 % 3000)
            yield Summary(start_ms, "BR", sensor, one + Decimal("0.25"), one, one + 1, 60)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _drop(_logger: object, _name: str, _event: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    main()
