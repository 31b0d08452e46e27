#!/usr/bin/env python3
"""What a request costs: kei's session in both grammars, momonga, and a bare loop, in the same run.

Each runs in a process of its own against a simulator without latencies in another, and
asks for one property as often as it is told. Times differ from machine to machine and from run to
run; the ratios are what counts:

    scripts/bench_session.py [REQUESTS]
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from _project import ROOT, use_project

use_project("momonga")

BROUTE_ID, BROUTE_PWD = "00112233445566778899AABBCCDDEEFF", "0123456789AB"
POWER = 0xE7


def measure(started: float, ask: Callable[[], object], count: int) -> dict[str, float]:
    """Ask so often, and return what that cost."""
    ask()
    first_s = time.monotonic() - started
    latencies = []
    cpu = time.process_time()
    for _ in range(count):
        before = time.perf_counter()
        ask()
        latencies.append(time.perf_counter() - before)
    cpu = time.process_time() - cpu
    return {
        "cpu_us": cpu / count * 1e6,
        "median_us": statistics.median(latencies) * 1e6,
        "p99_us": statistics.quantiles(latencies, n=100)[98] * 1e6,
        "first_s": first_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def kei(port: str, count: int, started: float) -> dict[str, float]:
    """Ask with kei's own session."""
    from kei.core.clock import SystemClock
    from kei.core.secret import Secret
    from kei.wisun.interfaces import Settings
    from kei.wisun.session import Session
    from kei.wisun.transport import SerialTransport

    joined = threading.Event()

    class Everything:
        def joined(self, *_: object) -> None:
            pass

        def ready(self) -> None:
            joined.set()

        def notified(self, *_: object) -> None:
            pass

        def get_state(self, _key: str) -> None:
            return None

        def set_state(self, *_: object) -> None:
            pass

    everything = Everything()
    session = Session(
        Settings(Secret(BROUTE_ID), Secret(BROUTE_PWD), None, (0xD3, 0xE1)),
        lambda on_data, on_lost: SerialTransport(port, 115200, on_data, on_lost),
        everything,
        everything,
        clock=SystemClock(),
        rng=random.Random(),
    )
    thread = threading.Thread(target=session.run)
    thread.start()
    assert joined.wait(60), "not joined"
    try:
        return measure(started, lambda: session.get((POWER,), 10), count)
    finally:
        session.stop()
        thread.join()


def momonga(port: str, count: int, started: float) -> dict[str, float]:
    """Ask with momonga."""
    from momonga import Momonga

    client = Momonga(BROUTE_ID, BROUTE_PWD, port)
    client.internal_xmit_interval = 0
    with client:
        return measure(started, client.get_instantaneous_power, count)


def bare(port: str, count: int, started: float) -> dict[str, float]:
    """Write requests and read until an answer has come, without looking at anything."""
    import serial

    with serial.Serial(port, 115200, timeout=5) as line:

        def say(text: str, until: bytes) -> bytes:
            line.write(text.encode() + b"\r\n")
            return bytes(line.read_until(until))

        say(f"SKSETPWD C {BROUTE_PWD}", b"OK\r\n")
        say(f"SKSETRBID {BROUTE_ID}", b"OK\r\n")
        found = say("SKSCAN 2 FFFFFFFF 4 0", b"EVENT 22").decode()
        field = dict(row.strip().split(":", 1) for row in found.splitlines() if row[:1] == " ")
        say(f"SKSREG S2 {field['Channel']}", b"OK\r\n")
        say(f"SKSREG S3 {field['Pan ID']}", b"OK\r\n")
        say(f"SKLL64 {field['Addr']}", b"\r\n")
        address = line.read_until(b"\r\n").decode().strip()
        say(f"SKJOIN {address}", b"D50401028801\r\n")
        payload = bytes.fromhex("1081000105FF010288016201E700")
        request = f"SKSENDTO 1 {address} 0E1A 1 0 000E ".encode() + payload

        def ask() -> None:
            line.write(request)
            got = b""
            while b"7201E704" not in got or not got.endswith(b"\r\n"):
                got += line.read(line.in_waiting or 1)

        return measure(started, ask, count)


CLIENTS = {"kei": kei, "kei-J11": kei, "momonga": momonga, "bare": bare}
DONGLES = {"kei-J11": "J11"}  # the others ask the simulator's usual one


def run(name: str, count: int, folder: Path) -> dict[str, float]:
    """Run one client in a process of its own against a fresh simulator."""
    link = folder / name
    fast = ["--latency", "0", "--scan-time", "0", "--join-time", "0"]
    dongle = ["--dongle", DONGLES[name]] if name in DONGLES else []
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "kei", "simulate", "--link", str(link), *fast, *dongle],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as simulator:
        assert simulator.stdout is not None
        assert simulator.stdout.readline().startswith("ready")
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--client", name, str(link), str(count)],
                stdout=subprocess.PIPE,
                text=True,
                env=environ,
                check=True,
            )
        finally:
            simulator.terminate()
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def be_client(name: str, port: str, count: int) -> None:
    """Measure one client in this process, and print the result as JSON."""
    import structlog

    started = time.monotonic()
    # Whatever a client logs, it must not pay for a terminal.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=True
    )
    print(json.dumps(CLIENTS[name](port, count, started)))


def main() -> None:
    """Measure all clients, or be one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("requests", type=int, nargs="?", default=2000, metavar="REQUESTS")
    parser.add_argument("--client", nargs=2, metavar=("NAME", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    count: int = options.requests
    if options.client:
        be_client(*options.client, count)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {name: run(name, count, Path(folder)) for name in CLIENTS}
    print(f"{count} single-property Gets, simulator without latency")
    print(f"{'':8} {'CPU us':>9} {'median us':>10} {'p99 us':>9} {'first s':>8} {'peak MiB':>9}")
    for name, r in results.items():
        print(
            f"{name:8} {r['cpu_us']:9.0f} {r['median_us']:10.0f} {r['p99_us']:9.0f}"
            f" {r['first_s']:8.2f} {r['peak_mib']:9.1f}"
        )
    ours = results["kei"]
    print(f"CPU per request: momonga / kei = {results['momonga']['cpu_us'] / ours['cpu_us']:.1f}")
    print(
        f"median latency:  kei / bare    = {ours['median_us'] / results['bare']['median_us']:.2f}"
    )


if __name__ == "__main__":
    main()
