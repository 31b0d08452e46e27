"""Clients that dribble, hang, flood or lie cost the others nothing. Real sockets."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from fakes import FakeClock
from programs import PATIENCE_S, free_port, wait_until

from kei.settings.web import Address
from kei.web.connections import CONNECTIONS_MAX, LIFE_S, REQUEST_S, Connections, serve

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Server:
    """A server with a small application, by a clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.address = Address("127.0.0.1", free_port())
        self.body = b"well\n"
        self.asked = 0
        self.disk = threading.Semaphore(0)  # what /slow waits for
        self.connections: Connections | None = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_until(lambda: self.connections is not None, PATIENCE_S, "the server")

    def _run(self) -> None:
        with serve(self._answer, self.address, self.clock, {"/now"}) as self.connections:
            self.connections.run(self.stopping)

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        self.asked += 1
        if environ["PATH_INFO"] == "/slow":
            assert self.disk.acquire(timeout=PATIENCE_S)
        start("200 OK", [("Content-Type", "text/plain")])
        return [self.body]

    def stop(self) -> None:
        self.stopping.set()
        assert self.connections is not None
        with suppress(OSError):  # it has ended already
            self.connections.wake()
        self.thread.join(PATIENCE_S)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address.host, self.address.port), PATIENCE_S)

    def ask(self, request: bytes = ASK) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return received(client)

    def waiting(self) -> int:
        """How many connections have asked and have no answer yet."""
        assert self.connections is not None
        return sum(bool(each.requests) for each in list(self.connections.active_channels.values()))

    def open_ones(self) -> int:
        assert self.connections is not None
        return len(self.connections.active_channels)


def received(client: socket.socket) -> bytes:
    """Everything up to the end of a connection."""
    data = b""
    try:
        while piece := client.recv(65_536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.stop()
    assert not found.thread.is_alive()


def test_a_connection_gets_one_answer_however_much_it_asks(server: Server) -> None:
    answer = server.ask(ASK * 200)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in answer
    assert server.asked == 1


def test_a_dribbled_request_has_its_time_and_no_more(server: Server) -> None:
    with server.connect() as client:
        wait_until(lambda: server.open_ones() == 1, PATIENCE_S, "the connection")
        with suppress(OSError):  # it may be closed before the last byte
            for byte in ASK[:20]:
                client.sendall(bytes([byte]))
                server.clock.advance(REQUEST_S / 15)
        assert received(client) == b""
    assert server.ask().endswith(b"well\n")


def test_who_does_not_read_the_answer_is_let_go(server: Server) -> None:
    server.body = b"x" * 8_000_000
    with server.connect() as client:
        client.sendall(ASK)
        wait_until(lambda: server.asked == 1, PATIENCE_S, "the request")
        server.clock.advance(REQUEST_S + 1)
        assert server.ask().endswith(b"x")
        assert server.open_ones() == 1
        server.clock.advance(LIFE_S)
        wait_until(lambda: server.open_ones() == 0, PATIENCE_S, "the connection to be closed")


def test_a_thousand_connections_keep_nobody_out(server: Server) -> None:
    with ExitStack() as idle:
        clients = [idle.enter_context(server.connect()) for _ in range(1000)]
        assert server.ask().endswith(b"well\n")
        assert server.open_ones() <= CONNECTIONS_MAX + 1
        assert received(clients[0]) == b""  # the oldest had to go
        server.clock.advance(REQUEST_S + 1)
        wait_until(lambda: server.open_ones() == 0, PATIENCE_S, "all to be closed")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n", b"413"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
    ],
)
def test_what_is_too_large_or_no_request_is_refused(
    server: Server, request_: bytes, status: bytes
) -> None:
    assert server.ask(request_).split(b" ")[1] == status
    assert server.asked == 0


def test_what_takes_no_time_does_not_wait_behind_what_does(server: Server) -> None:
    with ExitStack() as slow:
        for _ in range(30):
            slow.enter_context(server.connect()).sendall(ASK.replace(b" / ", b" /slow "))
        wait_until(lambda: server.waiting() == 30, PATIENCE_S, "all to wait")
        last = slow.enter_context(server.connect())
        last.sendall(ASK.replace(b" / ", b" /now "))
        wait_until(lambda: server.waiting() == 31, PATIENCE_S, "the last one to wait, too")
        server.disk.release()
        last.settimeout(PATIENCE_S / 4)
        try:
            assert received(last).endswith(b"well\n")
        finally:
            server.disk.release(30)


def test_threads_are_bounded(server: Server) -> None:
    before = threading.active_count()
    answers = [threading.Thread(target=server.ask) for _ in range(30)]
    for each in answers:
        each.start()
    for each in answers:
        each.join(PATIENCE_S)
    assert server.asked == 30
    assert threading.active_count() <= before
