"""Nobody reads the log: recording goes on, signals are obeyed, and what was lost is told."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT, SIMULATED, STOP_S, ends, readings, wait_until, write_jobs

SMALL_PIPE_BYTES = 4096
STOPPED_TERMINAL = b"\x13"  # Ctrl-S
EVERY_SECOND = '[[broute.requests]]\nepc = ["E7", "E8"]\ncycle = 1'  # E0 needs a year of the home


@contextmanager
def started(jobs: Path, output: int, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A kei whose stdout and stderr go there."""
    env = {k: v for k, v in os.environ.items() if k not in ("DEBUG", "JOURNAL_STREAM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kei", "--jobs", str(jobs)],
        env=env | environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def goes_on_recording(folder: Path) -> None:
    before = len(readings(folder))
    wait_until(lambda: len(readings(folder)) >= before + 4, 30, "further readings")


def ends_in_time(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    process.send_signal(number)
    assert ends(process, STOP_S) == 0


def test_a_full_pipe_stops_neither_recording_nor_the_end(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL_PIPE_BYTES)
    os.write(writing, b"x" * SMALL_PIPE_BYTES)
    with started(jobs, writing, DEBUG="1") as kei:
        os.close(writing)
        goes_on_recording(tmp_path)
        ends_in_time(kei)
    os.close(reading)


@pytest.mark.parametrize("environ", [{}, {"DEBUG": "1"}], ids=["usual", "DEBUG"])
def test_a_stopped_terminal_stops_neither_recording_nor_the_end(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    ours, terminal = os.openpty()
    with started(jobs, terminal, **environ) as kei:
        wait_until(lambda: readings(tmp_path), 20, "a reading")
        os.write(ours, STOPPED_TERMINAL)
        kei.send_signal(signal.SIGUSR1)
        kei.send_signal(signal.SIGUSR1)  # each is a line of the log
        goes_on_recording(tmp_path)
        ends_in_time(kei)
    os.close(terminal)
    os.close(ours)


def test_a_stop_is_obeyed_in_time_while_kei_cannot_even_start(tmp_path: Path) -> None:
    """Here opening the log file hangs, as on a disk that does: it is a pipe without a reader."""
    os.mkfifo(tmp_path / "log.pipe")
    jobs = write_jobs(tmp_path, SIMULATED, "[log]", 'file = "log.pipe"')
    with started(jobs, subprocess.DEVNULL) as kei:
        wait_until(lambda: is_asleep_in_open(kei.pid), 20, "the open")
        ends_in_time(kei)


def test_a_second_signal_ends_kei_at_once_while_it_cannot_even_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.pipe")
    jobs = write_jobs(tmp_path, SIMULATED, "[log]", 'file = "log.pipe"')
    with started(jobs, subprocess.DEVNULL) as kei:
        wait_until(lambda: is_asleep_in_open(kei.pid), 20, "the open")
        kei.send_signal(signal.SIGINT)
        kei.send_signal(signal.SIGTERM)
        assert ends(kei, 3) == 0


def is_asleep_in_open(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text() in {"wait_for_partner", "fifo_open"}
