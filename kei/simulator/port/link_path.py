"""Where the link to the port stands: a path that one simulator has, or a folder of its own."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import tempfile
from pathlib import Path

from kei.core import single_instance
from kei.core.errors import ConfigError

PREFIX = "kei-sim-"
_TRIES = 10  # another process may take a new folder for one left behind, before it is locked


def claim_link(link: Path) -> socket.socket:
    """Have a link for this process alone, until the socket is closed or the process ends.

    Simulators in containers that share a folder do not see each other's claims.

    Raises:
        ConfigError: another simulator that runs has it.
    """
    name = single_instance.socket_name("link", os.fspath(link.parent.resolve() / link.name))
    try:
        return single_instance.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigError([f"link {link}: cannot be claimed ({error.strerror})"]) from None
        owner = single_instance.owner(name)
        raise ConfigError(
            [f"link {link}: in use by another {owner}; stop it first, or give another path"]
        ) from None


class PrivateFolder:
    """A new folder for one link; it is locked, so that it shows whether its owner still lives.

    Those of owners that died without a word (kill -9) are removed on this occasion.

    Attributes:
        path: where it is.

    Raises:
        OSError: no folder can be made.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            locked = _lock(self.path)
            if locked is not None:
                self._locked = locked
                return
            _remove(self.path)
        raise OSError(errno.ENOLCK, "a folder cannot be locked", tempfile.gettempdir())

    def close(self) -> None:
        """Remove it."""
        _remove(self.path)
        os.close(self._locked)


def _sweep(parent: Path) -> None:
    """Remove the folders whose owners are dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        locked = _lock(folder)
        if locked is not None:
            _remove(folder)
            os.close(locked)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds the lock; None if others have it, or it is not our folder."""
    try:
        found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, there = os.fstat(found), folder.lstat()
        if os.path.samestat(held, there) and held.st_uid == os.geteuid():
            return found
    os.close(found)
    return None


def _remove(folder: Path) -> None:
    """Remove a folder with its links; one that holds anything else stays as it is."""
    with contextlib.suppress(OSError):
        entries = list(folder.iterdir())
        if all(stat.S_ISLNK(entry.lstat().st_mode) for entry in entries):
            for entry in entries:
                entry.unlink()
            folder.rmdir()
