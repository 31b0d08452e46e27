#!/usr/bin/env python3
"""What recording costs: readings a second, summaries beside a year of readings, bytes a day.

Readings go one by one through the whole path, to text and database; the peer in the same run is
a program that commits each one to SQLite (write-ahead log, synchronous = NORMAL) and appends its
line. Summaries are timed in a database with a day and in one with a year of the default requests.
The bytes are those that a real kei makes Linux write, with summaries and an upload every ten
minutes; it takes as long as is asked for, and should have the machine to itself:

    scripts/bench_recording.py [--minutes 30] [--readings 50000] [--skip-year]
"""

import argparse
import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from _project import use_project

use_project()

import structlog
from fakes import TOKYO, FakeClock
from programs import running, write_jobs
from stored import add_readings, daily, recorder_of, summariser_of
from upload_support import Server

from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.lines import reading_line
from kei.store.text import DailyFile

DAY_MS = 86_400_000
BEGIN_MS = 1_767_193_200_000  # 2026-01-01 in Japan
CYCLES_S = {"E7": 10, "E0": 120, "D3": 3600, "D7": 3600, "E1": 3600}
MIB = 1024 * 1024
SETTLE_S = 90  # joining and the first requests; after that a day goes on as it began
RUNS = 15


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0, help="for the bytes a day; 0 = not")
    parser.add_argument("--readings", type=int, default=50_000)
    parser.add_argument("--skip-year", action="store_true")
    options = parser.parse_args()
    structlog.configure(processors=[_drop])
    with tempfile.TemporaryDirectory(prefix="kei-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        throughput(folder, options.readings)
        summaries(folder, years=0 if options.skip_year else 1)
        if options.minutes:
            bytes_a_day(folder, options.minutes)


def throughput(folder: Path, count: int) -> None:
    """Report readings a second, and how much of a processor each takes."""
    rows = [Reading(BEGIN_MS + n * 10, "BR", "E7", Decimal(n % 4000), "x") for n in range(count)]
    database = Database.open(folder / "kei.db", SystemClock(TOKYO))
    recorder = recorder_of(database, daily(folder), clock=SystemClock(TOKYO))

    def ours() -> None:
        for row in rows:
            recorder.record([row])
        recorder.close()

    seconds, cpu = _timed(ours)
    database.close()
    some = rows[: count // 10]
    peer = folder / "peer"
    peer.mkdir()
    peer_seconds, peer_cpu = _timed(lambda: _peer(peer, some))
    rate, peer_rate = count / seconds, len(some) / peer_seconds
    print(f"readings/s               kei {rate:8.0f}   each committed {peer_rate:8.0f}"
          f"   ratio {rate / peer_rate:.1f}")  # fmt: skip
    print(f"CPU a reading            kei {cpu / count * 1e6:6.1f} us"
          f"   each committed {peer_cpu / len(some) * 1e6:6.1f} us")  # fmt: skip


def _peer(folder: Path, rows: list[Reading]) -> None:
    connection = sqlite3.connect(folder / "peer.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE readings (time_ms, unit, sensor, value, data_id)")
    connection.execute("CREATE INDEX by_time ON readings (unit, sensor, time_ms)")
    with (folder / "peer.txt").open("a", buffering=1) as text:
        for row in rows:
            fields = (row.time_ms, row.unit, row.sensor, str(row.value), row.data_id)
            connection.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?)", fields)
            text.write(reading_line(row, TOKYO) + "\n")
    connection.close()


def summaries(folder: Path, years: int) -> None:
    """Report how long a window takes in a small and in a large database."""
    took: dict[str, float] = {}
    for name, days in (("a day", 1), ("a year", 365 * years)):
        if not days:
            continue
        path = folder / f"{days}.db"
        clock = FakeClock(BEGIN_MS, TOKYO)
        database = Database.open(path, clock)
        for day in range(days):
            add_readings(database, list(_day(day)))
        end_ms = BEGIN_MS + days * DAY_MS
        clock.wall_ms = end_ms
        summariser = summariser_of(database, DailyFile(folder, name, "sum", TOKYO))
        database.set_state("summary_done_until", str(end_ms))
        took[name] = _window_ms(database, summariser.run, clock, end_ms)
        size = path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size
        print(f"a window beside {name:8} {took[name]:6.2f} ms   database {size / MIB:6.1f} MiB")
        database.close()
    if len(took) > 1:
        print(f"ratio                    {took['a year'] / took['a day']:6.2f}")


def _window_ms(
    database: Database, run: Callable[[], None], clock: FakeClock, begin_ms: int
) -> float:
    """Return how long one run takes that has one window to compute, milliseconds (median)."""
    times = []
    for number in range(RUNS):
        start_ms = begin_ms + number * 600_000
        rows = [r for r in _day((start_ms - BEGIN_MS) // DAY_MS)
                if start_ms <= r.time_ms < start_ms + 600_000]  # fmt: skip
        add_readings(database, rows)
        clock.wall_ms = start_ms + 603_000
        seconds, _ = _timed(run)
        times.append(seconds * 1000)
    return statistics.median(times)


def _day(day: int) -> Iterator[Reading]:
    """Yield the readings of a day at the default requests, in the order of time."""
    for second in range(0, 86_400, 10):
        for sensor, cycle_s in CYCLES_S.items():
            if second % cycle_s == 0:
                at_ms = BEGIN_MS + day * DAY_MS + second * 1000 + 700
                value = Decimal(second * 7 % 3000) if sensor != "E0" else Decimal(f"{day}.5")
                yield Reading(at_ms, "BR", sensor, value, "x")


def bytes_a_day(folder: Path, minutes: float) -> None:
    """Report how many bytes a running kei makes Linux write, by the day."""
    home = folder / "home"
    home.mkdir()
    with contextlib.closing(Server()) as server:
        upload = f'[[upload]]\ntarget_url = "{server.url}"\nformat = "json"'
        jobs = write_jobs(home, "sim:", upload)
        with running("--jobs", str(jobs), cwd=home) as kei:
            kei.wait_for_event("session_joined", 120)
            _wait(SETTLE_S)
            before = _written(kei.process.pid)
            _wait(minutes * 60)
            written = _written(kei.process.pid) - before
            assert kei.stop() == 0
    a_day = written * 1440 / minutes / MIB
    print(f"written in {minutes:g} min       {written / 1024:6.0f} KiB   {a_day:.1f} MiB a day")


def _written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _wait(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 - a measurement takes its time


def _timed(do: Callable[[], None]) -> tuple[float, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - begun, time.process_time() - cpu


def _drop(_logger: object, _name: str, _event: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    main()
