#!/usr/bin/env python3
"""How many requests a second the simulator answers, and what each costs it.

A bare client writes single-property Gets on the raw pseudo terminal and only looks for the end of
each answer, so that next to nothing but the simulator, in a process of its own, is measured:

    scripts/bench_simulator.py [REQUESTS] [MODEL]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from pathlib import Path

from _project import ROOT, use_project

use_project()

from kei.simulator.skstack.models import DEFAULT_MODEL, MODELS, DongleModel

BROUTE_ID, BROUTE_PWD = "00112233445566778899AABBCCDDEEFF", "0123456789AB"
METER = "FE80:0000:0000:0000:021D:1290:1234:5678"
GET_POWER = bytes.fromhex("1081000105FF010288016201E700")
POWER = b"72" + b"01" + b"E7" + b"04"  # Get_Res, one property, E7, four bytes
READ_BYTES = 4096
MAX_REQUESTS = 40_000  # more would use up the transmission time of an hour: 8 ms each, 360 s


def read_until(port: int, *ends: bytes) -> bytes:
    """Return what comes, up to a whole line that holds one of these."""
    said = b""
    while not (said.endswith((b"\r", b"\n")) and any(end in said for end in ends)):
        said += os.read(port, READ_BYTES)
    return said


def join(port: int, model: DongleModel) -> None:
    """Join the meter, with answers in hexadecimal digits and without echo."""
    scan_tail = " 0" if model.dual else ""
    commands = (
        f"SKSETPWD C {BROUTE_PWD}",
        f"SKSETRBID {BROUTE_ID}",
        f"SKSCAN 2 FFFFFFFF 6{scan_tail}",
        "SKSREG S2 21",
        "SKSREG S3 8888",
        f"SKJOIN {METER}",
    )
    if model.product_commands:
        os.write(port, b"WOPT 01\r\n")
        read_until(port, b"OK")
    for command in commands:
        os.write(port, f"{command}\r\n".encode())
        ends = {"SKSCAN": b"EVENT 22", "SKJOIN": b"0E1A"}  # the instance list ends a join
        read_until(port, ends.get(command.split()[0], b"OK"))
    os.write(port, b"SKSREG SFE 0\r\n")
    read_until(port, b"OK")


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(link: Path, pid: int, count: int, model: DongleModel) -> None:
    """Ask so often, one request at a time, and print what came of it."""
    port = os.open(link, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    join(port, model)
    side = "0 " if model.dual else ""
    request = f"SKSENDTO 1 {METER} 0E1A 1 {side}{len(GET_POWER):04X} ".encode() + GET_POWER
    latencies = []
    cpu, began = cpu_s(pid), time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        os.write(port, request)
        read_until(port, POWER)
        latencies.append(time.perf_counter() - before)
    elapsed, cpu = time.perf_counter() - began, cpu_s(pid) - cpu
    print(f"requests a second          {count / elapsed:8.0f}")
    print(f"simulator CPU a request    {cpu / count * 1e6:8.0f} us")
    print(f"latency, median            {statistics.median(latencies) * 1e6:8.0f} us")
    print(f"latency, 99 %              {statistics.quantiles(latencies, n=100)[98] * 1e6:8.0f} us")
    os.close(port)


def main() -> None:
    """Start a simulator without latencies and ask it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("requests", nargs="?", type=int, default=20_000, help="(default: 20000)")
    parser.add_argument("model", nargs="?", choices=[*MODELS], default=DEFAULT_MODEL)
    options = parser.parse_args()
    if not 1 < options.requests <= MAX_REQUESTS:
        parser.error(f"requests: {options.requests} is not a number from 2 to {MAX_REQUESTS}")
    fast = ("--latency", "0", "--scan-time", "0", "--join-time", "0", "--dongle", options.model)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "dongle")
        with subprocess.Popen(
            [sys.executable, "-m", "kei", "simulate", "--link", str(link), *fast],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as simulator:
            try:
                assert simulator.stdout is not None
                assert simulator.stdout.readline().startswith(b"ready")
                measure(link, simulator.pid, options.requests, MODELS[options.model])
            finally:
                simulator.terminate()


if __name__ == "__main__":
    main()
