"""A pseudo terminal in place of a serial port, and the symbolic link to it.

The link is at a path that is locked for one simulator, or in a folder of its own.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import tempfile
import termios
import tty
from pathlib import Path

from kei.core import abstract_sockets
from kei.core.errors import ConfigError

_PTS = "/dev/pts/"
_READ_BYTES = 4096
PREFIX = "kei-sim-"
_TRIES = 10  # another process may remove a new folder before it is locked


def check_link(link: Path) -> None:
    """Check that a link may be made there.

    Raises:
        ConfigError: there is no such folder, or something but a stale link is in the way.
    """
    if not link.parent.is_dir():
        raise ConfigError([f"link {link}: there is no folder {link.parent}"])
    if link.is_symlink():
        if link.exists() and not str(link.readlink()).startswith(_PTS):
            raise ConfigError([f"link {link}: leads to {link.readlink()}; it is left alone"])
    elif link.exists():
        raise ConfigError([f"link {link}: a file is in the way; it is left alone"])


class Terminal:
    """A pseudo terminal, with a symbolic link to the end that clients open.

    Raises:
        ConfigError: the link cannot be made.
        OSError: the machine has no pseudo terminal left.
    """

    def __init__(self, link: Path) -> None:
        check_link(link)
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self._client_end = os.ttyname(slave)
            os.set_blocking(self._master, False)
            self._put_link(link)
        except BaseException:
            os.close(self._master)
            raise
        finally:
            # From here on only clients have it open, so that `client_present` can tell.
            os.close(slave)
        self._link = link
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)

    def fileno(self) -> int:
        """Return what a selector waits on."""
        return self._master

    def client_present(self) -> bool:
        """Return whether a client has it open, or has left bytes to be read."""
        found = self._poll.poll(0)
        return not found or bool(found[0][1] & select.POLLIN)

    def read(self) -> bytes | None:
        """Return what the client wrote (b"" if nothing yet), or None when it has gone."""
        try:
            return os.read(self._master, _READ_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno == errno.EIO:  # on Linux: nobody has the other end open
                return None
            raise

    def write(self, data: bytes) -> int:
        """Write without waiting; return how many bytes were taken."""
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def discard(self) -> None:
        """Drop what the last client did not read, as closing a serial port does."""
        with contextlib.suppress(OSError):  # another client has opened it exclusively
            end = os.open(self._client_end, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(end, termios.TCIFLUSH)
            except termios.error:
                return  # the terminal is being closed
            finally:
                os.close(end)

    def close(self) -> None:
        """Close it for all clients, and remove the link if it still leads here."""
        with contextlib.suppress(OSError):  # no link any more
            if os.fspath(self._link.readlink()) == self._client_end:
                self._link.unlink()
        os.close(self._master)

    def _put_link(self, link: Path) -> None:
        """Make or replace the link atomically."""
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._client_end)
            fresh.replace(link)
        except OSError as error:
            raise ConfigError([f"link {link}: {error.strerror}"]) from error


def lock_link(link: Path) -> socket.socket:
    """Lock a link for this process, until the socket is closed or the process ends.

    Simulators in other containers do not see the lock.

    Raises:
        ConfigError: another simulator that runs has it.
    """
    name = abstract_sockets.socket_name("link", os.fspath(link.parent.resolve() / link.name))
    try:
        return abstract_sockets.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigError([f"link {link}: cannot be claimed ({error.strerror})"]) from None
        holder = abstract_sockets.owner(name)
        other = f"kei (pid {holder.pid})" if holder else "kei"
        raise ConfigError(
            [f"link {link}: in use by another {other}; stop it first, or give another path"]
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
