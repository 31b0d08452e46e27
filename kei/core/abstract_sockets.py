"""Abstract unix sockets: names that end with their process, and leave no file behind.

They have no permissions: every process of the machine may take a name that is free, so a name
proves nothing. Who has it is known from the kernel alone (`peer`). They are separate for each
network namespace (network_namespaces(7)): processes of different containers do not see each other.
"""

import hashlib
import os
import socket
import struct
from dataclasses import dataclass

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid of SO_PEERCRED, socket(7)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a connection.

    Attributes:
        pid: its process ID; 0 for one of another PID namespace.
        uid: the user that it runs as.
    """

    pid: int
    uid: int


def socket_name(purpose: str, path: str) -> str:
    """Return the name of the abstract socket of a purpose and a path, which is not resolved."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"\0kei.{purpose}.{digest[:32]}"


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


def peer(connection: socket.socket) -> Peer:
    """Return the process that a connection leads to: of a server, the one that listens."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return Peer(pid, uid)


def owner(name: str) -> Peer | None:
    """Return the process that listens under a name; None if none is visible."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a full accept queue is no reason to wait
        try:
            client.connect(name)
            return peer(client)
        except OSError:
            return None
