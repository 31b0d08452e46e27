"""Serial ports from outside: how to open them, who has them open, and which there are."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
_BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open.

    Attributes:
        name: of its program.
        pid: its number.
    """

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def holders(port: str) -> tuple[Holder, ...]:
    """Return the other processes that have a port open.

    Without root only those of the same user can be seen.

    Args:
        port: path of the device, or of a link to it.
    """
    device = os.path.realpath(port)
    return tuple(_found(device))


def busy(port: str) -> str:
    """Return the words for who uses a port that is busy."""
    found = holders(port)
    if found:
        return f"in use by {', '.join(map(str, found))}; stop it first"
    if _has_open(_PROCESSES / "self", os.path.realpath(port)):
        return "in use by kei itself; does another table of jobs.toml have the same device?"
    return f"in use by another program; 'sudo fuser -v {port}' tells by which"


def known() -> tuple[str, ...]:
    """Return the ports that have a name which stays the same wherever they are plugged in."""
    try:
        return tuple(sorted(str(path) for path in _BY_ID.iterdir()))
    except OSError:
        return ()


def those_there(port: str) -> str:
    """Return the words for the ports that there are, those first whose names are like a port's."""
    there = known()
    if not there:
        return f"under {_BY_ID} there is none"
    near = difflib.get_close_matches(port, there, n=len(there), cutoff=0.0)
    return f"there is: {', '.join(near)}"


def _found(device: str) -> Iterator[Holder]:
    for process in sorted(_PROCESSES.glob("[0-9]*"), key=lambda path: int(path.name)):
        if process.name != str(os.getpid()) and _has_open(process, device):
            yield Holder(_name(process), int(process.name))


def _has_open(process: Path, device: str) -> bool:
    try:
        open_files = list((process / "fd").iterdir())
    except OSError:  # of another user, or gone meanwhile
        return False
    return any(_leads_to(file, device) for file in open_files)


def _leads_to(link: Path, path: str) -> bool:
    try:
        return str(link.readlink()) == path
    except OSError:  # closed meanwhile, as files of other threads are all the time
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
