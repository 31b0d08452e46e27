"""One kei for each database: a second one would record every reading twice.

The claim is an abstract unix socket whose name comes from the path of the database, so that it
ends with the process however that ends, and no file is left behind. Abstract sockets are one set
for each network namespace (network_namespaces(7)): kei in containers that share a folder do not
see each other.
"""

import errno
import hashlib
import os
import socket
import struct
from pathlib import Path

from kei.core.errors import StoreError

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid of SO_PEERCRED, socket(7)


def abstract_name(purpose: str, database: Path) -> str:
    """Return the name of a socket that belongs to a database, however its path is spelled."""
    return name_of(purpose, os.path.realpath(database))


def name_of(purpose: str, path: str) -> str:
    """Return the name of a socket that belongs to a path, taken as it is."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"\0kei.{purpose}.{digest[:32]}"


def take(name: str) -> socket.socket:
    """Take a name for this process until the socket is closed; OSError(EADDRINUSE) if taken."""
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        taken.bind(name)
        taken.listen(1)  # so that others can find out who this is
    except OSError:
        taken.close()
        raise
    return taken


class InstanceLock:
    """That this process alone writes to a database, from here to `release`.

    Args:
        database: its path; it need not be there yet.

    Raises:
        StoreError: another process has claimed it; the text says which.
    """

    def __init__(self, database: Path) -> None:
        name = abstract_name("claim", database)
        try:
            self._socket = take(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StoreError(f"{database}: cannot be claimed ({error.strerror})") from None
            remedy = "stop it first, or give this one a database and folder of its own"
            raise StoreError(f"{database}: in use by another {holder(name)}; {remedy}") from None

    def release(self) -> None:
        """Let another process claim it."""
        self._socket.close()


def running_pid(database: Path) -> int | None:
    """Return the number of the process that writes to a database; None if none is to be seen."""
    return _pid_of(abstract_name("claim", database))


def holder(name: str) -> str:
    """Return who has a name, as far as that can be found out: `kei (pid 123)`."""
    pid = _pid_of(name)
    return "kei" if pid is None else f"kei (pid {pid})"


def _pid_of(name: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # a full queue is no reason to wait
        try:
            asking.connect(name)
            credentials = asking.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
        except OSError:
            return None
    pid = _CREDENTIALS.unpack(credentials)[0]
    return pid if isinstance(pid, int) else None
