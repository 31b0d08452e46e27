#!/usr/bin/env python3
"""What the page costs: a year of power, memory, and how late readings are while many look.

A real kei asks a simulated meter for E7 each second, beside a year of E7 every ten seconds: first
alone, then with as many browsers as asked for, each of which does what the page does, and then with
hostile clients besides (a thousand connections that ask for nothing, requests byte by byte, POST
and endless addresses). A reading is late by what its time is behind its second:

    scripts/bench_web.py [--browsers 20] [--seconds 30]
"""

import argparse
import http.client
import itertools
import multiprocessing
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from _project import use_project

use_project()

from programs import Program, free_port, running
from web_support import TARIFF, web_jobs

from kei.core.clock import SystemClock
from kei.store.blocks import BlockTable
from kei.store.database import Database
from kei.store.reading_table import SPAN_MS

YEAR_S, HALF_HOUR_MS = 365 * 86_400, 1_800_000
YEAR_OF_POWER = "/api/power?from=-365d"
ANSWERS = (
    "/api/now",
    "/api/power",
    "/api/energy?from=-6d&to=today&by=half-hour",
    "/api/energy?from=-365d&to=today&by=month",
    "/api/status",
    "/metrics",
)
PAGE = ("/", "/kei.css", "/kei.js", "/charts.js", "/text.js", "/words.js", *ANSWERS[:-1])
NOW_EVERY_S, STATE_EVERY, CHARTS_EVERY = 2.0, 5, 30  # as kei.js has it
RUNS = 15


@dataclass
class Part:
    """What was going on for a while, milliseconds since 1970."""

    name: str
    begin_ms: int
    end_ms: int


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30, help="for each of the three parts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kei-bench-", dir=Path.cwd()) as name:
        folder, port = Path(name), free_port()
        year(folder / "kei.db")
        jobs = web_jobs(folder, TARIFF, port=port)
        with running("--jobs", str(jobs), cwd=folder, measured=False) as kei:
            kei.wait_for_event("web_listening")
            kei.wait_for_event("session_joined")
            parts = measure(kei, port, options.browsers, options.seconds)
            kei.stop()
        report(folder / "kei.db", parts)


def measure(kei: Program, port: int, browsers: int, seconds: float) -> list[Part]:
    """Measure one after the other, with the same kei."""
    parts: list[Part] = []
    pause(5)
    alone_kb = memory_kb(kei)
    with part(parts, "nobody looks"):
        pause(seconds)
    medians: dict[str, float] = {}
    for path in (YEAR_OF_POWER, *ANSWERS):
        took = [ask(port, path)[1] for _ in range(RUNS)]
        medians[path] = statistics.median(took)
        print(f"{path}: median {medians[path]:.1f} ms, first {took[0]:.1f} ms")
    print(f"/metrics takes {medians['/metrics'] / medians['/api/status']:.2f} of /api/status")
    stop = multiprocessing.Event()
    crowd = [
        multiprocessing.Process(target=browser, args=(port, stop), daemon=True)
        for _ in range(browsers)
    ]
    for each in crowd:
        each.start()
    with part(parts, f"{browsers} browsers"):
        pause(seconds)
    print(f"memory: {alone_kb} kB alone, {memory_kb(kei)} kB with {browsers} browsers")
    enemy = multiprocessing.Process(target=hostile, args=(port, stop), daemon=True)
    enemy.start()
    with part(parts, f"{browsers} browsers and hostile clients"):
        pause(seconds)
    print(f"memory: {memory_kb(kei)} kB with those")
    stop.set()
    for each in (*crowd, enemy):
        each.join()
    return parts


def year(path: Path) -> None:
    """Make a database with a year of E7 every ten seconds, and what kei computes of it."""
    now_ms = time.time_ns() // 1_000_000  # noqa: TID251 - of the machine that is measured
    end_ms = now_ms - now_ms % (2 * HALF_HOUR_MS)
    begin_ms = end_ms - YEAR_S * 1000
    database = Database.open(path, SystemClock())
    with database.transaction() as connection:
        count = 0
        for sensor, cycle_ms in (("E7", 10_000), ("EA", HALF_HOUR_MS), ("EB", HALF_HOUR_MS)):
            rows = YEAR_S * 1000 // cycle_ms
            series = database.series_id(connection, "BR", sensor, 0)
            value = "300 + i * 7919 % 2500" if sensor == "E7" else "1000 + i"
            connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO readings (id, series_id, time_ms, value, data_id)"
                f" SELECT ? + i, ?, ? + i * ?, ({value}) * 10000, 'x' FROM n",
                (rows - 1, count + 1, series, begin_ms, cycle_ms),
            )
            connection.execute(
                f"INSERT INTO spans SELECT time_ms / {SPAN_MS}, min(id), max(id) FROM readings"
                " WHERE series_id = ? GROUP BY 1",
                (series,),
            )
            count += rows
        connection.execute(
            "INSERT INTO summaries (series_id, start_ms, average, minimum, maximum, count)"
            f" SELECT series_id, time_ms / {SPAN_MS} * {SPAN_MS}, sum(value) / count(*),"
            " min(value), max(value), count(*) FROM readings GROUP BY 2, 1"
        )
        connection.execute(
            "INSERT OR REPLACE INTO state (key, value) VALUES ('summary_done_until', ?),"
            " ('summary_lines_until', (SELECT max(id) FROM summaries))",
            (str(end_ms),),
        )
        connection.execute(
            "UPDATE series SET last_id = (SELECT max(id) FROM readings WHERE series_id = series.id)"
        )
    before = path.stat().st_size
    BlockTable(database).catch_up()
    with database.access() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (blocks,) = connection.execute("SELECT count(*) FROM blocks").fetchone()
    database.close()
    grown = path.stat().st_size - before
    print(f"{count} readings in {path.stat().st_size >> 20} MiB; {blocks} blocks in {grown} bytes")


@contextmanager
def part(parts: list[Part], name: str) -> Iterator[None]:
    """Note when the block ran."""
    begun = time.time_ns() // 1_000_000  # noqa: TID251 - as above
    yield
    parts.append(Part(name, begun, time.time_ns() // 1_000_000))  # noqa: TID251 - as above


def report(database: Path, parts: list[Part]) -> None:
    """Say how late the readings of each part were; kei has ended."""
    with closing(sqlite3.connect(database)) as connection:
        for each in parts:
            rows = connection.execute(
                "SELECT r.time_ms % 1000 FROM readings r JOIN series s ON s.id = r.series_id"
                " WHERE s.sensor = 'E7' AND r.id > ? AND r.time_ms >= ? AND r.time_ms < ?",
                (YEAR_S // 10, each.begin_ms, each.end_ms),
            ).fetchall()
            late = sorted(ms for (ms,) in rows)
            seconds = (each.end_ms - each.begin_ms) / 1000
            print(
                f"{each.name}: {len(late)} readings in {seconds:.0f} s, late by"
                f" {statistics.median(late):.0f} ms (median), {late[-2]} ms, {late[-1]} ms (worst)"
            )


def pause(seconds: float) -> None:
    """Wait."""
    threading.Event().wait(seconds)


def memory_kb(kei: Program) -> int:
    """Return what a kei has in memory (VmRSS of proc(5)), kB."""
    status = Path(f"/proc/{kei.process.pid}/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def ask(port: int, path: str) -> tuple[int, float]:
    """Return status and ms of an answer."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, (time.monotonic() - begun) * 1000


def browser(port: int, stop: Event) -> None:
    """Do what the page does, until told to stop."""
    for number in itertools.count():
        wanted = PAGE if number % CHARTS_EVERY == 0 else ("/api/now",)
        for path in (*wanted, *(["/api/status"] if number % STATE_EVERY == 0 else [])):
            with suppress(OSError, http.client.HTTPException):
                ask(port, path)
        if stop.wait(NOW_EVERY_S):
            return


def hostile(port: int, stop: Event) -> None:
    """Be a thousand connections, dribble, and ask for what there is not."""
    with ExitStack() as open_ones:
        while not stop.wait(0.05):
            with suppress(OSError):
                for _ in range(50):
                    idle = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                    idle.sendall(b"G")
            with suppress(OSError, http.client.HTTPException):
                ask(port, "/" + "a" * 9000)
            with suppress(OSError):
                other = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                other.sendall(b"POST /api/now HTTP/1.1\r\nContent-Length: 900\r\n\r\n" + b"x" * 800)


if __name__ == "__main__":
    main()
