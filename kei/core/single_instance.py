"""Single-instance locks: a second kei on one database would record every reading twice.

A lock is an abstract unix socket whose name is made of the path that it protects. It ends with the
process, however that ends, and leaves no file behind. Abstract sockets are separate for each
network namespace (network_namespaces(7)): instances in different containers do not see each other.
"""

import errno
import hashlib
import os
import socket
import struct
from pathlib import Path

from kei.core.errors import StoreError

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid of SO_PEERCRED, socket(7)


def socket_name(purpose: str, path: str) -> str:
    """Return the name of the abstract socket of a purpose and a path, which is not resolved."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"\0kei.{purpose}.{digest[:32]}"


def database_socket_name(purpose: str, database: Path) -> str:
    """Return the name for a database: the same for every spelling of its path."""
    return socket_name(purpose, os.path.realpath(database))


def bind(name: str) -> socket.socket:
    """Own a name until the returned socket is closed; OSError(EADDRINUSE) if it has an owner."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(name)
        bound.listen(1)  # so that others can ask for the owner's process ID
    except OSError:
        bound.close()
        raise
    return bound


class InstanceLock:
    """The exclusive right of this process to write to a database, until `release`.

    Args:
        database: its path; it need not exist yet.

    Raises:
        StoreError: another process holds the lock; the text says which.
    """

    def __init__(self, database: Path) -> None:
        name = database_socket_name("claim", database)
        try:
            self._socket = bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StoreError(f"{database}: cannot be claimed ({error.strerror})") from None
            remedy = "stop it first, or give this one a database and folder of its own"
            raise StoreError(f"{database}: in use by another {owner(name)}; {remedy}") from None

    def release(self) -> None:
        """Let another process have the lock."""
        self._socket.close()


def running_pid(database: Path) -> int | None:
    """Return the ID of the process that holds the lock of a database; None if none is visible."""
    return _owner_pid(database_socket_name("claim", database))


def owner(name: str) -> str:
    """Return the owner of a socket name for a message: `kei (pid 123)`, or `kei` if unknown."""
    pid = _owner_pid(name)
    return "kei" if pid is None else f"kei (pid {pid})"


def _owner_pid(name: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a full accept queue is no reason to wait
        try:
            client.connect(name)
            credentials = client.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
        except OSError:
            return None
    pid = _CREDENTIALS.unpack(credentials)[0]
    return pid if isinstance(pid, int) else None
