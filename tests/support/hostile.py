"""Servers that go on for ever, as bytes on a socket: what no library for servers would do."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

PAUSE_S = 0.05  # of a slow server, from one word to the next
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
Talk = Callable[[socket.socket], object]
closed = threading.Event()  # never set: the pauses of a slow server


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """A server that does this with every connection, until the other side hangs up; its URL."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            talk(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


def flood(start: bytes, piece: bytes) -> Talk:
    """Say the beginning, then the piece for ever, as fast as it is taken."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(start)
        while True:
            connection.sendall(piece * 1000)

    return talk


def trickle(start: bytes, piece: bytes) -> Talk:
    """Say the beginning, then the piece for ever, now and then."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(start)
        while not closed.wait(PAUSE_S):
            connection.sendall(piece)

    return talk


def sip(connection: socket.socket) -> None:
    """Take the request a few bytes at a time."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while connection.recv(4096):
        closed.wait(PAUSE_S)
