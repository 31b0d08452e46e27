"""A pseudo terminal in place of a serial port, and the symbolic link to it."""

import contextlib
import errno
import os
import select
import termios
import tty
from pathlib import Path

from kei.core.errors import ConfigError

_PTS = "/dev/pts/"
_READ_BYTES = 4096


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
