"""Processes of kei that need not load Python and kei anew: a process that has done so forks them.

Loading takes longer than most tests of a process, and most of the processor's time of the suite.
What is loaded is not measured, as the tests load it, too; what is forked is, if they are.
What is forked is a process like any other: it has its own arguments, environment, folder, standard
streams and signals, and ends by itself. It differs from one that was started in what `ps` and
`kei` call it, in that it has modules loaded that its command would not load, and in that Python
does not take them apart at its end.
"""

import atexit
import contextlib
import gc
import inspect
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

import coverage

_MESSAGE_BYTES = 1 << 17  # arguments and environment of a process
_STATUS_BYTES = 4


class Forked:
    """A process that was forked; what tests use of `subprocess.Popen`, and as that does it.

    Args:
        program: `-m MODULE` or the path of a script, and arguments.
        cwd: its folder.
        env: its whole environment.
        stdin: what it reads; `subprocess.PIPE` and `DEVNULL` as well.
    """

    def __init__(
        self,
        program: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        stdin: int | IO[bytes],
    ) -> None:
        self.args = list(program)
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        (out, self.stdout), (err, self.stderr) = _pipe_from(), _pipe_from()
        match stdin:
            case subprocess.PIPE:
                reading, writing = os.pipe()
                self.stdin = os.fdopen(writing, "w")
            case subprocess.DEVNULL:
                reading = os.open(os.devnull, os.O_RDONLY)
            case int():
                reading = os.dup(stdin)
            case _:
                reading = os.dup(stdin.fileno())
        self._news = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news.connect(_server())
        wanted = {"program": self.args, "cwd": str(cwd or Path.cwd()), "env": dict(env)}
        fds = [reading, out, err]
        socket.send_fds(self._news, [json.dumps(wanted).encode()], fds)
        for fd in fds:
            os.close(fd)
        self.pid = _number(self._news.recv(_STATUS_BYTES))

    def poll(self) -> int | None:
        """Return the exit code if it has ended, less than 0 if a signal has ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = _number(self._news.recv(_STATUS_BYTES))
            self._news.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it whatever it does."""
        self.send_signal(signal.SIGKILL)


def unmeasured() -> dict[str, str]:
    """The environment for a Python whose coverage is not measured: that loads modules, too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def _pipe_from() -> tuple[int, IO[str]]:
    """An end to be written to by another process, and one to be read here."""
    reading, writing = os.pipe()
    return writing, os.fdopen(reading)


def _number(message: bytes) -> int:
    assert len(message) == _STATUS_BYTES, "the process that forks others has ended"
    return int.from_bytes(message, "big", signed=True)


_SERVER = "KEI_TESTS_FORKS"  # of the environment: the abstract address of the process that forks


def offer() -> None:
    """Have one process fork for all that this one starts; it is started when one asks for it."""
    asked = _listen()

    def wait() -> None:
        select.select([asked], [], [])
        _start(asked)

    threading.Thread(target=wait, name="forks", daemon=True).start()


def _server() -> bytes:
    """Return the address of the process that forks others; started if there is none."""
    if _SERVER not in os.environ:
        _start(_listen())
    return b"\0" + os.environ[_SERVER].encode()


def _listen() -> socket.socket:
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked.bind("")  # to an abstract address that Linux chooses
    asked.listen()
    os.environ[_SERVER] = asked.getsockname()[1:].decode()
    return asked


def _start(asked: socket.socket) -> None:
    ours, theirs = socket.socketpair()
    with asked, theirs:
        fds = [asked.fileno(), theirs.fileno()]
        process = subprocess.Popen(
            [sys.executable, __file__, *map(str, fds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=fds,
            env=unmeasured() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)


# ------------------------------------------------------------------ in the other process


def load_kei() -> None:
    """Load all of kei."""
    import kei  # noqa: PLC0415

    for module in pkgutil.walk_packages(kei.__path__, "kei."):
        if module.name != "kei.__main__":  # that is to be run, once
            import_module(module.name)


def make_year(seed: int = 0, *, solar: bool = False) -> None:
    """Make the year of a home, of most simulated meters, as else each of them would."""
    import_module("kei.simulator.household.household").Household(seed, solar=solar).energy(0)


def _load() -> None:
    """Load all of kei, and do what needs to be done once only."""
    load_kei()
    make_year()
    make_year(7, solar=True)  # of the tests of the meter's memory
    import_module("kei.jobs.kinds").tables()
    time.strptime("2026", "%Y")
    inspect.stack()  # coverage asks for it in each process, and what has been looked up is kept
    gc.freeze()


def _serve(asked: socket.socket, owner: socket.socket) -> list[str] | None:
    """Fork processes as long as the owner lives; returns in each with what it is to run."""
    children: dict[int, socket.socket] = {}
    deaths, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([asked, owner, deaths], [], [])
        if deaths in ready:
            deaths.recv(_MESSAGE_BYTES)
            _tell_of_deaths(children)
        if owner in ready:
            return None
        if asked not in ready:
            continue
        news, _ = asked.accept()
        message, fds, _, _ = socket.recv_fds(news, _MESSAGE_BYTES, 3)
        if not message:  # killed before it could ask
            news.close()
            continue
        if (child := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (asked, owner, deaths, wakes, news, *children.values()):
                each.close()
            return _become(fds, **json.loads(message))
        for fd in fds:
            os.close(fd)
        children[child] = news
        with contextlib.suppress(BrokenPipeError):
            news.send(child.to_bytes(_STATUS_BYTES, "big"))


def _tell_of_deaths(children: dict[int, socket.socket]) -> None:
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        with children.pop(child) as news, contextlib.suppress(BrokenPipeError):
            news.send(code.to_bytes(_STATUS_BYTES, "big", signed=True))


def _become(streams: list[int], *, program: list[str], cwd: str, env: dict[str, str]) -> list[str]:
    for standard, fd in enumerate(streams):
        os.dup2(fd, standard)
        os.close(fd)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.path[0] = cwd if program[0] == "-m" else str(Path(program[0]).parent)
    coverage.process_startup()  # does nothing unless the environment asks for it
    return program


def _run(program: list[str]) -> None:
    """Run a program as `python` does it."""
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")


def _leave_early() -> Callable[[int], None]:
    """End the process by `os._exit`, once all else is done that is to be done at its end.

    To take apart all that is loaded takes longer than most commands.

    Returns:
        What is to be told the exit code; unless it is told one, Python ends the process.
    """
    codes: list[int] = []
    leave = (
        os._exit
    )  # coverage replaces it in what is measured, to save what has been saved by then

    def at_last() -> None:
        with contextlib.suppress(OSError, ValueError):  # Python says which stream it cannot empty
            sys.stdout.flush()
            sys.stderr.flush()
            for code in codes:
                leave(code)

    atexit.register(at_last)
    return codes.append


if __name__ == "__main__":
    ended = _leave_early()  # what is registered first is done last
    with (
        socket.socket(fileno=int(sys.argv[1])) as asked,
        socket.socket(fileno=int(sys.argv[2])) as owner,
    ):
        _load()
        wanted = _serve(asked, owner)
    if wanted is not None:
        try:
            _run(wanted)
        except SystemExit as end:
            if isinstance(end.code, int):
                ended(end.code)
            raise
        ended(0)
