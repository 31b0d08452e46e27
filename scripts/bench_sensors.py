#!/usr/bin/env python3
"""What sensors on serial ports cost: lines a second sustained, and a burst, without loss.

A real kei reads boards on pseudo terminals: each sends lines at a rate for some time, then one of
them sends many at once. What kei recorded is compared with what was sent, line by line, in the
text and in the database. The peer in the same run is a program that reads the same lines from one
port and appends them to a file, with no check and no database:

    scripts/bench_sensors.py [--seconds 600] [--ports 4] [--rate 200]
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from _project import ROOT, use_project

use_project()

from boards import Board, board, wait_for_port, write_serial_jobs
from programs import readings, running, wait_until

BURST = 10_000
PIECE_S = 0.02  # a board's lines of so long are written together, as a USB chip does it
PEER = (
    "import sys, serial\n"
    "port = serial.Serial(sys.argv[1], 9600)\n"
    "print('open', flush=True)\n"
    "with open(sys.argv[2], 'ab', buffering=0) as file:\n"
    "    while True:\n"
    "        file.write(port.readline())\n"
)
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure and report; return 1 if a line was lost or doubled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--ports", type=int, default=4)
    parser.add_argument("--rate", type=int, default=200, help="lines a second and port")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kei-bench-") as name:
        folder = Path(name)
        good = sustained(folder / "kei", options.ports, options.rate, options.seconds)
        peer(folder / "peer", options.rate, min(options.seconds, 30))
        good &= burst(folder / "burst")
    return 0 if good else 1


def sustained(folder: Path, ports: int, rate: int, seconds: float) -> bool:
    """Report what kei takes for lines at a steady rate; return whether it has all of them."""
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        boards = [stack.enter_context(board(folder / f"tty{n}")) for n in range(ports)]
        jobs = write_serial_jobs(folder, *(each.link for each in boards))
        kei = stack.enter_context(running("--jobs", str(jobs), cwd=folder))
        for each in boards:
            wait_for_port(kei, each)
        cpu, begun = _cpu_s(kei.process.pid), time.monotonic()
        senders = [
            threading.Thread(target=_send, args=(each, f"B{n}", rate, seconds))
            for n, each in enumerate(boards)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        count = round(rate * seconds)
        wait_until(lambda: _lines(folder) >= ports * count, 20, "every line in the text")
        took_s = time.monotonic() - begun
        cpu = _cpu_s(kei.process.pid) - cpu
        peak = _peak_mib(kei.process.pid)
        assert kei.stop() == 0
    share = 100 * cpu / took_s
    print(f"{ports} ports x {rate} lines/s for {took_s:.0f} s: {share:.1f} % of a core, {peak} MiB")
    print(f"CPU a line               kei   {1e6 * cpu / (ports * count):6.1f} us")
    wanted = {f"B{n}": [str(i) for i in range(count)] for n in range(ports)}
    return _is_there(folder, wanted)


def peer(folder: Path, rate: int, seconds: float) -> None:
    """Report what the simplest program takes for one port at that rate."""
    folder.mkdir()
    with board(folder / "tty") as port:
        command = [sys.executable, "-c", PEER, str(port.link), str(folder / "out")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            cpu = _cpu_s(process.pid)
            _send(port, "B0", rate, seconds)
            cpu = _cpu_s(process.pid) - cpu
            process.kill()
    print(f"CPU a line              peer   {1e6 * cpu / (rate * seconds):6.1f} us")


def burst(folder: Path) -> bool:
    """Report how long many lines at once take; return whether kei has all of them."""
    folder.mkdir()
    with board(folder / "tty") as port:
        jobs = write_serial_jobs(folder, port.link)
        with running("--jobs", str(jobs), cwd=folder) as kei:
            wait_for_port(kei, port)
            begun = time.monotonic()
            port.lines(*(f"B0,S1,{n}" for n in range(BURST)))
            wait_until(lambda: _lines(folder) >= BURST, 20, "every line in the text")
            print(f"{BURST} lines at once   in {time.monotonic() - begun:.2f} s")
            assert kei.stop() == 0
    return _is_there(folder, {"B0": [str(n) for n in range(BURST)]})


def _send(port: Board, unit: str, rate: int, seconds: float) -> None:
    begun, sent, count = time.monotonic(), 0, round(rate * seconds)
    while sent < count:
        due = min(count, int((time.monotonic() - begun) * rate))
        port.lines(*(f"{unit},S1,{n}" for n in range(sent, due)))
        sent = due
        time.sleep(PIECE_S)  # noqa: TID251 - the pace of a board


def _is_there(folder: Path, wanted: dict[str, list[str]]) -> bool:
    """Tell whether text and database have every line once, in order."""
    command = [sys.executable, "-m", "kei", "export", "--jobs", str(folder / "jobs.toml")]
    command += ["--from", "2000-01-01", "--to", "2100-01-01"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    exported = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    rows = [line.split(",") for line in exported.splitlines()[1:]]
    lines = readings(folder)
    good = True
    for unit, values in wanted.items():
        text = [fields[3] for fields in lines if fields[1] == unit]
        database = [fields[-2] for fields in rows if fields[1] == unit]
        good &= text == values and database == values
    total = sum(map(len, wanted.values()))
    found = "all there, once, in order" if good else f"NOT: {len(lines)} in text, {len(rows)} rows"
    print(f"{total} lines sent: {found}")
    return good and len(lines) == len(rows) == total


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("[0-9]*-*.txt"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _peak_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    sys.exit(main())
