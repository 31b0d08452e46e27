"""The path of the link to the port: locked for one simulator, or in a folder of its own."""

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
_TRIES = 10  # another process may remove a new folder before it is locked


def lock_link(link: Path) -> socket.socket:
    """Lock a link for this process, until the socket is closed or the process ends.

    Simulators in other containers do not see the lock.

    Raises:
        ConfigError: another simulator that runs has it.
    """
    name = single_instance.name_of("link", os.fspath(link.parent.resolve() / link.name))
    try:
        return single_instance.take(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigError([f"link {link}: cannot be claimed ({error.strerror})"]) from None
        holder = single_instance.holder(name)
        raise ConfigError(
            [f"link {link}: in use by another {holder}; stop it first, or give another path"]
        ) from None


class PrivateFolder:
    """A new folder for one link, locked as long as its process runs.

    Those of processes that were killed (kill -9) are removed by the next one.

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
    """Remove the folders that nobody has locked."""
    for folder in parent.glob(f"{PREFIX}*"):
        locked = _lock(folder)
        if locked is not None:
            _remove(folder)
            os.close(locked)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds the lock; None if another process has it, or another user."""
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
    """Remove a folder that contains nothing but links."""
    with contextlib.suppress(OSError):
        entries = list(folder.iterdir())
        if all(stat.S_ISLNK(entry.lstat().st_mode) for entry in entries):
            for entry in entries:
                entry.unlink()
            folder.rmdir()
