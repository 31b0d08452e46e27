#!/usr/bin/env python3
"""Memory and CPU time of a running kei, by what it does, beside a Python that has its libraries.

Each kei is a process of its own with the default requests of jobs.toml; its dongle, or its board of
sensors, is another process, and its server this one. It is looked at some time after it has joined
and, if it fills gaps, has filled them, which it does here without pauses. RSS counts the pages of
shared libraries in full, PSS by the processes that have them, `own` not at all. CPU time is that of
user and system in this last part, by the minute:

    scripts/bench_memory.py [--settle 60] [--only WORD] [--python /opt/kei/venv/bin/python]

structlog loads `rich` where that is installed, as in the environment of the tests: 4 MB more than
an installed kei has, in each row. A Python with a shared libpython, as pyenv makes it, has 1 MB
more than Debian's. Half a MiB is chance: how full the last of Python's arenas (1 MiB) is.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _project import ROOT, use_project

use_project("coverage")

import requests
from mosquitto import MOSQUITTO
from programs import free_port, write_jobs
from upload_support import Server
from web_support import TARIFF

LIBRARIES = "import apscheduler.schedulers.background, requests, serial, sqlite3, structlog"
# Air time is what the pauses between two questions of the history come from.
KEI = "import sys, kei.jobs.history as h; h.AIR_TIME_LIMIT_S = 1e6; import kei.cli; kei.cli.main()"
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.2
SENSORS = ("--sensor",)
METER = ("--solar", "--latency", "0", "--scan-time", "0", "--join-time", "0")
LOOKS = {"/api/now": 2.0, "/api/status": 10.0}  # a browser, seconds
SCRAPES = {"/metrics": 5.0}
KINDS = {"RSS": "Rss", "PSS": "Pss", "own": "Private_(?:Clean|Dirty)"}


@dataclass(frozen=True)
class Case:
    """A configuration of kei.

    Attributes:
        name: of its row.
        simulated: options of the simulator.
        tables: of jobs.toml, besides [broute].
        event: the last one of the log that is waited for.
        asks: addresses that are asked for, and how often, seconds.
    """

    name: str
    simulated: Sequence[str]
    tables: Sequence[str]
    event: str
    asks: Mapping[str, float] = field(default_factory=dict)


def cases(url: str, broker: int | None) -> Iterator[Case]:
    """Yield what is measured.

    Args:
        url: of a server for uploads.
        broker: port of one for MQTT; None if there is none.
    """
    upload = f'[[upload]]\ntarget_url = "{url}"\nformat = "json"\nwhat = "readings"\ncycle = 10'
    days = "[history]\ndays = {}".format
    yield Case("sensors only", SENSORS, (), "sensor_port_opened")
    yield Case("meter", METER, (days(0),), "session_joined")
    yield Case("meter, 99 days filled", METER, (days(99),), "history_filled")
    yield Case("the same, with an upload", METER, (days(99), upload), "history_filled")
    port = free_port()
    page = f'[web]\nlisten = "127.0.0.1:{port}"'
    at = f"http://127.0.0.1:{port}"
    looks, scrapes = ({at + path: s for path, s in each.items()} for each in (LOOKS, SCRAPES))
    tables = (days(99), upload)
    yield Case("and the page", METER, (*tables, page), "history_filled")
    yield Case("and a browser", METER, (*tables, page), "history_filled", looks)
    yield Case("page, /metrics scraped", METER, (*tables, page), "history_filled", scrapes)
    if broker is None:
        print("without mosquitto there is no row for MQTT")
        return
    mqtt = f'[mqtt]\nport = {broker}\ntopic = "bench"'
    yield Case("MQTT, no page", METER, (*tables, mqtt), "history_filled")
    everything = (*tables, page, mqtt, TARIFF)
    yield Case("all, and a tariff", METER, everything, "history_filled", looks | scrapes)


@contextlib.contextmanager
def process(*command: str, folder: Path, **to: int) -> Iterator[subprocess.Popen[str]]:
    """Run Python, with this kei, until the block ends."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environ, text=True, **to) as started:
        try:
            yield started
        finally:
            started.terminate()


def memory_kb(pid: int) -> dict[str, int]:
    """Return kB by the names of `KINDS`; proc(5), smaps_rollup."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        name: sum(map(int, re.findall(rf"^{kind}:\s+(\d+)", text, re.MULTILINE)))
        for name, kind in KINDS.items()
    }


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process; proc(5), stat."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def asking(asks: Mapping[str, float]) -> Iterator[None]:
    """Ask for addresses again and again until the block ends."""
    stop = threading.Event()

    def ask(url: str, every_s: float) -> None:
        while not stop.wait(every_s):
            requests.get(url, timeout=PATIENCE_S).raise_for_status()

    threads = [threading.Thread(target=ask, args=each) for each in asks.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """Run a broker; its port, or None if it is not installed."""
    if MOSQUITTO is None:
        yield None
        return
    port = free_port()
    with subprocess.Popen(
        [MOSQUITTO, "-p", str(port)], cwd=folder, stderr=subprocess.DEVNULL
    ) as run:
        try:
            yield port
        finally:
            run.terminate()


def of_libraries(python: str, folder: Path) -> dict[str, int]:
    """Return the memory of a Python that has imported what kei is built on."""
    code = f"{LIBRARIES}; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(python, "-c", code, folder=folder, **pipes) as peer:
        assert peer.stdout is not None
        peer.stdout.readline()
        return memory_kb(peer.pid)


def of_kei(case: Case, python: str, folder: Path, settle_s: float) -> tuple[dict[str, int], float]:
    """Return memory, and CPU seconds a minute, of a kei that has come as far as the case says."""
    port, log = folder / "port", folder / "log"
    simulate = (python, "-m", "kei", "simulate", "--link", str(port), *case.simulated)
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with process(*simulate, folder=folder, **quiet) as simulator:
        assert simulator.stdout is not None
        assert simulator.stdout.readline().startswith("ready")
        jobs = write_jobs(folder, str(port), *case.tables)
        if case.simulated == SENSORS:
            jobs.write_text(f'[[serial]]\nport = "{port}"\n')
        with (
            log.open("w") as out,
            process(
                python, "-c", KEI, "--jobs", str(jobs), folder=folder, stdout=out.fileno()
            ) as kei,
        ):
            end = time.monotonic() + PATIENCE_S
            while case.event not in log.read_text():
                assert time.monotonic() < end, f"no {case.event}: {log.read_text()[-2000:]}"
                assert kei.poll() is None, log.read_text()[-2000:]
                time.sleep(LOOK_AGAIN_S)  # noqa: TID251 - no test
            before_s, begun = cpu_s(kei.pid), time.monotonic()
            with asking(case.asks):
                time.sleep(settle_s)  # noqa: TID251 - no test
            minutes = (time.monotonic() - begun) / 60
            return memory_kb(kei.pid), (cpu_s(kei.pid) - before_s) / minutes


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settle", type=float, default=60, metavar="S", help="(default: 60)")
    parser.add_argument("--python", default=sys.executable, help="which has kei's libraries")
    parser.add_argument("--only", default="", metavar="WORD", help="rows with it in their name")
    options = parser.parse_args()
    with (
        contextlib.closing(Server()) as server,
        tempfile.TemporaryDirectory() as name,
        mosquitto(Path(name)) as broker,
    ):
        peer = of_libraries(options.python, Path(name))
        print(
            f"{'MiB':26}"
            + "".join(f"{kind:>8}" for kind in KINDS)
            + f"{'ratio of RSS':>14}{'CPU s/min':>11}"
        )
        show("its libraries", peer, peer)
        for number, case in enumerate(cases(server.url, broker)):
            if options.only not in case.name:
                continue
            folder = Path(name, str(number))
            folder.mkdir()
            found, cpu_s_a_minute = of_kei(case, options.python, folder, options.settle)
            show(case.name, found, peer, f"{cpu_s_a_minute:11.2f}")


def show(name: str, found: dict[str, int], peer: dict[str, int], more: str = "") -> None:
    """Print one row."""
    columns = "".join(f"{kb / 1024:8.1f}" for kb in found.values())
    print(f"{name:26}{columns}{found['RSS'] / peer['RSS']:14.2f}{more}", flush=True)


if __name__ == "__main__":
    main()
