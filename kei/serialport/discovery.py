"""Which serial ports there are, and which processes have them open."""

import os
from dataclasses import dataclass
from pathlib import Path

from kei.core.likeness import most_like

_PROCESSES = Path("/proc")
_BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open.

    Attributes:
        name: of its program.
        pid: its process ID.
    """

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def holders(port: str) -> tuple[Holder, ...]:
    """Return the other processes that have a port open; without root, those of the same user.

    Args:
        port: path of the device, or of a link to it.
    """
    device, own = os.path.realpath(port), str(os.getpid())
    processes = sorted(_PROCESSES.glob("[0-9]*"), key=lambda path: int(path.name))
    return tuple(
        Holder(_name(process), int(process.name))
        for process in processes
        if process.name != own and _has_open(process, device)
    )


def describe_use(port: str) -> str:
    """Return the text of an error message that says who uses a port that is busy."""
    found = holders(port)
    if found:
        return f"in use by {', '.join(map(str, found))}; stop it first"
    if _has_open(_PROCESSES / "self", os.path.realpath(port)):
        return "in use by kei itself; does another table of jobs.toml have the same device?"
    return f"in use by another program; 'sudo fuser -v {port}' tells by which"


def describe_sharing(port: str) -> str:
    """Return the text of an error message that says who takes bytes from a port that is open."""
    found = holders(port)
    if found:
        return f"{', '.join(map(str, found))} reads from it as well; stop it"
    return f"another program reads from it as well; 'sudo fuser -v {port}' tells which, stop it"


def describe_present(port: str) -> str:
    """Return the text of an error message that lists the ports, those like the given one first."""
    try:
        present = sorted(str(path) for path in _BY_ID.iterdir())
    except OSError:
        present = []
    if not present:
        return f"under {_BY_ID} there is none"
    near = most_like(port, present, count=len(present), least=0.0)
    return f"there is: {', '.join(near)}"


def _has_open(process: Path, device: str) -> bool:
    try:
        open_files = list((process / "fd").iterdir())
    except OSError:  # the process is another user's, or has ended
        return False
    return any(_leads_to(file, device) for file in open_files)


def _leads_to(link: Path, path: str) -> bool:
    try:
        return str(link.readlink()) == path
    except OSError:  # another thread has closed the file
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
