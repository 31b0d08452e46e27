"""Real processes of kei, watched from outside: started, waited for, and always ended."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from forked import Forked, unmeasured

ROOT = Path(__file__).resolve().parents[2]
BROUTE_ID = "00112233445566778899AABBCCDDEEFF"
BROUTE_PWD = "0123456789AB"
SIMULATED = "sim:latency=0,scan-time=0,join-time=0"  # a port
KEI, NOTHING = ("-m", "kei"), subprocess.DEVNULL
FIRST_LOOK_S, LOOK_AGAIN_S = 0.005, 0.08
STOP_S = 10.0  # a kei that is told to end has ended by then
PATIENCE_S = 60.0
"""The least that anything gets that has to happen: a machine may be slow, and busy with others.

It costs nothing as long as all is well. Where a time is what a test is about, it is `IdleTime`.
"""


def wait_until(condition: Callable[[], object], deadline_s: float, what: str) -> None:
    """Wait for a condition to become true, or fail with what was waited for.

    Args:
        condition: looked at again and again; what it looks at should not be able to pass unseen.
        deadline_s: `PATIENCE_S` if that is more.
        what: the condition in words.
    """
    deadline_s = max(deadline_s, PATIENCE_S)
    end = time.monotonic() + deadline_s
    pause_s = FIRST_LOOK_S
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(pause_s)  # noqa: TID251 - the one place where tests wait
        pause_s = min(1.5 * pause_s, LOOK_AGAIN_S)  # what takes long may be seen late


class IdleTime:
    """For how long a process has had nothing to do but wait, from now on.

    Neither its own work counts, nor that it had to wait for a processor: proc(5), `schedstat`.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._busy_ns = self._threads()
        self._begun = time.monotonic()
        self._busy_before_ns = sum(self._busy_ns.values())

    def seconds(self) -> float:
        """Return it; a process that has ended waits as well."""
        self._busy_ns |= self._threads()
        busy_ns = sum(self._busy_ns.values()) - self._busy_before_ns
        return time.monotonic() - self._begun - busy_ns / 1e9

    def _threads(self) -> dict[str, int]:
        """Return how long each thread has been running or ready to, ns."""
        found = {}
        with suppress(OSError):  # it has ended
            for task in self._tasks.iterdir():
                running_ns, ready_ns, _ = (task / "schedstat").read_text().split()
                found[task.name] = int(running_ns) + int(ready_ns)
        return found


def ends(process: Forked | subprocess.Popen[bytes] | subprocess.Popen[str], limit_s: float) -> int:
    """Return the exit code of a process that ends by itself, and does not wait for longer."""
    idle = IdleTime(process.pid)
    while True:
        try:
            return process.wait(LOOK_AGAIN_S)
        except subprocess.TimeoutExpired:
            assert idle.seconds() < limit_s, f"has not ended though idle for {limit_s:g} s"


class Program:
    """A running `kei`; its output is collected line by line."""

    def __init__(
        self,
        *args: str,
        cwd: Path | None = None,
        stdin: int | IO[bytes] = NOTHING,
        program: Sequence[str] = KEI,
        measured: bool = True,
        **environ: str,
    ) -> None:
        everything = os.environ if measured else unmeasured()
        env = {k: v for k, v in everything.items() if k not in ("DEBUG", "JOURNAL_STREAM")}
        env |= {"PYTHONPATH": str(ROOT)} | environ
        command = [*program, *args]
        self.process: Forked | subprocess.Popen[str]
        if measured and program[0] != "-c":
            self.process = Forked(command, cwd=cwd, env=env, stdin=stdin)
        else:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=cwd,
                env=env,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, into), daemon=True)
            for stream, into in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _collect(self, stream: Iterator[str], into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))
            self._news.put(None)

    def events(self, name: str) -> list[dict[str, object]]:
        """The JSON log lines of this event so far."""
        return [e for e in map(_parsed, list(self.lines)) if e.get("event") == name]

    def wait_for_event(
        self, name: str, deadline_s: float = 20.0, count: int = 1, *, idle_s: float | None = None
    ) -> None:
        self.wait_for(
            lambda: len(self.events(name)) >= count, deadline_s, f"{count} x {name}", idle_s=idle_s
        )

    def wait_for(
        self,
        condition: Callable[[], object],
        deadline_s: float,
        what: str,
        *,
        idle_s: float | None = None,
    ) -> None:
        """Wait until a condition holds; looks again after each line of output.

        Args:
            condition, deadline_s, what: as of `wait_until`.
            idle_s: how long the program may wait meanwhile, if that is what the test is about.
        """
        deadline_s = max(deadline_s, PATIENCE_S)
        end = time.monotonic() + deadline_s
        idle = None if idle_s is None else IdleTime(self.process.pid)
        while not condition():
            assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}\n{self.output()}"
            if idle is not None and idle_s is not None:
                waited_s = idle.seconds()
                assert waited_s < idle_s, f"idle for {waited_s:.1f} s: {what}\n{self.output()}"
            try:
                self._news.get(timeout=0.05)
            except queue.Empty:
                assert self.process.poll() is None, f"ended before: {what}\n{self.output()}"

    def output(self) -> str:
        """Everything that the program has said, for the text of a failure."""
        return "\n".join([*self.lines[-60:], *self.errors[-60:]])

    def type(self, line: str) -> None:
        """Write a line to its standard input, which has to be a pipe."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, limit_s: float = PATIENCE_S) -> int:
        """The exit code, once all output has been collected; see `ends`."""
        code = ends(self.process, limit_s)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return code

    def stop(self, number: int = signal.SIGTERM, limit_s: float = STOP_S) -> int:
        self.send(number)
        return self.wait(limit_s)

    def kill(self) -> None:
        """End it whatever it does, for the end of a test."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def _parsed(line: str) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def running(
    *args: str,
    cwd: Path | None = None,
    stdin: int | IO[bytes] = NOTHING,
    program: Sequence[str] = KEI,
    measured: bool = True,
    **environ: str,
) -> Iterator[Program]:
    """A program that is certainly gone when the block ends; another than kei if need be."""
    started = Program(*args, cwd=cwd, stdin=stdin, program=program, measured=measured, **environ)
    try:
        yield started
    finally:
        started.kill()


def command(
    *arguments: object, cwd: Path | None = None, limit_s: float = PATIENCE_S, **environ: str
) -> tuple[int, list[str], list[str]]:
    """Exit code, lines of stdout and lines of stderr of a kei that ends by itself."""
    program = Program(
        *map(str, arguments), cwd=cwd, program=KEI, measured=True, stdin=NOTHING, **environ
    )
    try:
        return program.wait(limit_s), program.lines, program.errors
    finally:
        program.kill()


@contextmanager
def simulator(link: Path, *options: str, stdin: int | IO[bytes] = NOTHING) -> Iterator[Program]:
    """A simulator without latencies on a pseudo terminal of its own process."""
    fast = ("--latency", "0", "--scan-time", "0", "--join-time", "0")
    with running("simulate", "--link", str(link), *fast, *options, stdin=stdin) as program:
        program.wait_for(lambda: f"ready {link}" in program.lines, 10, "the simulator's ready")
        yield program


def free_port() -> int:
    """A TCP port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def write_jobs(folder: Path, port: str, *more: str, requests: str = "") -> Path:
    """A jobs.toml for this port, with files in `folder`; returns its path.

    The meter's memory fills nothing unless `more` has a table [history]: 99 days of values would
    come in between.
    """
    path = folder / "jobs.toml"
    if not any("[history]" in text for text in more):
        more = ("[history]\ndays = 0", *more)
    text = "\n".join(
        [
            "[broute]",
            f'port = "{port}"',
            f'broute_id = "{BROUTE_ID}"',
            f'broute_pwd = "{BROUTE_PWD}"',
            requests,
            *more,
        ]
    )
    path.write_text(text + "\n")
    return path


def readings(folder: Path) -> list[list[str]]:
    """The fields of every reading that has been written to the text files so far."""
    files = sorted(folder.glob("[0-9]*-*.txt"))
    return [line.split(",") for file in files for line in file.read_text().splitlines()]


def summaries(folder: Path) -> list[list[str]]:
    """The fields of every line of the `sum` files so far."""
    files = sorted(folder.glob("sum*-*.txt"))
    return [line.split(",") for file in files for line in file.read_text().splitlines()]


def as_text_line(line: str, form: str = "%Y/%m/%d %H:%M:%S") -> str:
    """An exported CSV line with the time as the daily files have it."""
    moment, _, rest = line.partition(",")
    return f"{datetime.fromisoformat(moment):{form}},{rest}"
