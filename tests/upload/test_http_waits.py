"""Stopping a POST in any state, name look-ups that hang, and TLS."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from upload_support import (
    LIMIT_S,
    RunningClock,
    Server,
    answer,
    drip,
    hang,
    silent_listener,
    spawn,
)

import kei.upload.http
from kei.errors import Stopping
from kei.upload.http import Http, PostFailed

TIMEOUT_S = 0.3
STOP_LIMIT_S = 2.0
LONG_S = 60.0  # a time-out that no test lives to see


def stop_soon_after_post(server: Server, http: Http) -> threading.Thread:
    def act() -> None:
        server.wait_for_post()
        http.stop()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "behave", [hang, drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a")], ids=["hanging", "dripping"]
)
def test_stop_ends_a_post_that_waits_for_an_answer(
    server: Server, http: Http, behave: object
) -> None:
    assert callable(behave)
    server.then(behave)
    thread = stop_soon_after_post(server, http)
    began = time.monotonic()
    with pytest.raises(Stopping):
        http.post(server.url, b"", {}, LONG_S)
    assert time.monotonic() - began < STOP_LIMIT_S
    thread.join(LIMIT_S)


def test_stop_while_the_body_is_read_keeps_the_status(
    server: Server, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = kei.upload.http._beginning

    def stop_and_read(response: requests.Response) -> bytes:
        http.stop()
        return read(response)

    monkeypatch.setattr(kei.upload.http, "_beginning", stop_and_read)
    server.then(drip(b"HTTP/1.1 200 OK\r\n\r\n", b"a"))
    assert http.post(server.url, b"", {}, LONG_S).status == 200


def stop_after(seconds: float, http: Http) -> threading.Timer:
    timer = threading.Timer(seconds, http.stop)
    timer.start()
    return timer


def test_stop_ends_a_tls_handshake(http: Http) -> None:
    with silent_listener() as port:
        stop_after(0.2, http)
        began = time.monotonic()
        with pytest.raises(Stopping):
            http.post(f"https://127.0.0.1:{port}/", b"", {}, LONG_S)
        assert time.monotonic() - began < STOP_LIMIT_S


def test_a_tls_handshake_times_out(http: Http) -> None:
    with silent_listener() as port, pytest.raises(PostFailed, match="timed out"):
        http.post(f"https://127.0.0.1:{port}/", b"", {}, TIMEOUT_S)


def test_stop_ends_sending_to_a_server_that_does_not_read(http: Http) -> None:
    with silent_listener() as port:
        stop_after(0.2, http)
        with pytest.raises(Stopping):
            http.post(f"http://127.0.0.1:{port}/", bytes(50_000_000), {}, LONG_S)


def test_stop_ends_a_connection_attempt(http: Http) -> None:
    with socket.socket() as listener:  # a full queue of connections: the next one gets no answer
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(where)
        stop_after(0.2, http)
        began = time.monotonic()
        with pytest.raises(Stopping):
            http.post(f"http://127.0.0.1:{where[1]}/", b"", {}, LONG_S)
        assert time.monotonic() - began < STOP_LIMIT_S
        for filler in fillers:
            filler.close()


@pytest.fixture
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    over = threading.Event()

    def lookup(*args: object, **kwargs: object) -> object:
        over.wait(LIMIT_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_names")
def test_stop_ends_a_name_lookup() -> None:
    http = Http(RunningClock(), spawn)
    stop_after(0.2, http)
    began = time.monotonic()
    with pytest.raises(Stopping):
        http.post("http://kei.invalid/", b"", {}, LONG_S)
    assert time.monotonic() - began < STOP_LIMIT_S


@pytest.mark.usefixtures("hanging_names")
def test_a_name_lookup_that_hangs_is_not_started_twice() -> None:
    started: list[object] = []

    def counting(task: object) -> None:
        assert callable(task)
        started.append(task)
        spawn(task)

    http = Http(RunningClock(), counting)
    for _ in range(3):
        with pytest.raises(PostFailed, match="timed out"):
            http.post("http://kei.invalid/", b"", {}, 0.05)
    assert len(started) == 1
    http.stop()


def test_nothing_is_sent_after_stop(server: Server, http: Http) -> None:
    http.stop()
    with pytest.raises(Stopping):
        http.post(server.url, b"", {}, TIMEOUT_S)
    assert server.posts == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    running = Server(context)
    yield running
    running.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server: Server, http: Http) -> None:
    with pytest.raises(PostFailed, match="certificate refused"):
        http.post(tls_server.url, b"data", {}, LIMIT_S)
    assert tls_server.posts == []


def test_a_trusted_certificate_lets_a_large_body_through(
    tls_server: Server, http: Http, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
    body = bytes(range(256)) * 4096
    tls_server.then(answer(200, b"y" * 50_000))
    assert len(http.post(tls_server.url, body, {}, LIMIT_S).body) == 50_000
    http.post(tls_server.url, body, {}, LIMIT_S)
    assert tls_server.bodies == [body, body]
    assert len({post.port for post in tls_server.posts}) == 1


def test_stop_ends_a_post_over_tls(
    tls_server: Server, http: Http, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_suffix(".crt")))
    tls_server.then(hang)
    thread = stop_soon_after_post(tls_server, http)
    with pytest.raises(Stopping):
        http.post(tls_server.url, b"", {}, LONG_S)
    thread.join(LIMIT_S)
