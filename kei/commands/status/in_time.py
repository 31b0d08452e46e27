"""The facts about a kei within some seconds, whatever its disk does.

A process that waits for a disk that stalls, or for a file system that is frozen, cannot be ended,
not even by kill -9. So another process looks, and tells what it has found as it finds it; this one
waits for that for a while, and leaves it alone then.
"""

import contextlib
import os
import pickle
import select
import signal
import struct
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kei.commands.status.asking import Asked, ask_kei, read_file, read_stored
from kei.core.clock import Clock
from kei.core.errors import ConfigError, KeiError
from kei.jobs import kinds
from kei.status.facts import Answer, Facts, Stored, facts_of

# An answer of kei and an overview of the database take 10 s each at most, and moments as a rule.
LIMIT_S = 12.0
_LENGTH = struct.Struct("=I")
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class _Faults:
    """The mistakes of jobs.toml."""

    lines: list[str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Our own mistake: the traceback."""

    text: str


_Finding: TypeAlias = Asked | Answer | Stored | _Faults | _Failure


def gather_in_time(
    path: Path, *, environ: Mapping[str, str], clock: Clock, limit_s: float = LIMIT_S
) -> Facts:
    """Return the facts that can be found out within a time; this process must have one thread only.

    Args:
        path: jobs.toml.
        environ: the environment.
        clock: for the time limit.
        limit_s: how long it may take.

    Raises:
        ConfigError: as of `read_file`.
        KeiError: it could not be read in time.
    """
    kinds.tables()  # loads modules, which takes seconds on a small machine: not within the time
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _look(path, environ, clock, writing)
    os.close(writing)
    try:
        asked: Asked | None = None
        late = f"not found out within {limit_s:g} s: its disk stalls, or is frozen"
        answer = Answer(silence=f"whether kei runs was {late}")
        stored: Stored | None = None
        for finding in _findings(reading, clock, limit_s):
            match finding:
                case Asked():
                    asked = finding
                case Answer():
                    answer = finding
                case Stored():
                    stored = finding
                case _Faults():
                    raise ConfigError(finding.lines)
                case _Failure():
                    raise RuntimeError(finding.text)
        if asked is None:
            raise KeiError(f"{path}: what it says was {late}")
        stored = stored or Stored(fault=f"{asked.database}: {late}")
        return facts_of(asked.beside(answer), answer, stored, clock, asked.mistakes)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # it ends as soon as its disk lets it
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


def _look(path: Path, environ: Mapping[str, str], clock: Clock, pipe: int) -> None:
    """Find everything out, and end this process."""

    def tell(finding: _Finding) -> None:
        data = pickle.dumps(finding)
        rest = memoryview(_LENGTH.pack(len(data)) + data)
        while rest:
            rest = rest[os.write(pipe, rest) :]

    try:
        # Whoever waits for the end of the output of `kei status` shall not wait for this process.
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        tell(asked := read_file(path, environ, clock))
        tell(answer := ask_kei(asked.database, clock))
        tell(read_stored(asked, answer, clock))
    except ConfigError as error:
        tell(_Faults(error.faults))
    except Exception:  # noqa: BLE001 - told to the other process, which raises it
        tell(_Failure(traceback.format_exc()))
    finally:
        os._exit(0)


def _findings(pipe: int, clock: Clock, limit_s: float) -> Iterator[_Finding]:
    """Yield what the other process tells, until it ends or the time is over."""
    end = clock.monotonic() + limit_s
    data = bytearray()
    while select.select([pipe], [], [], max(0.0, end - clock.monotonic()))[0]:
        chunk = os.read(pipe, _CHUNK_BYTES)
        if not chunk:
            return
        data += chunk
        while len(data) >= _LENGTH.size:
            length = _LENGTH.size + _LENGTH.unpack_from(data)[0]
            if len(data) < length:
                break
            finding: _Finding = pickle.loads(data[_LENGTH.size : length])  # noqa: S301 - our own
            yield finding
            del data[:length]
