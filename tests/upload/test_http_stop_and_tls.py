"""Stopping, TLS, and a server that does not read."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from upload_support import LIMIT_S, Handler, Post, Server, answer, silent_listener

from kei.core.errors import Stopping
from kei.upload.http import Http, PostFailed

TIMEOUT_S = 0.3


def test_nothing_is_sent_after_stop(server: Server, http: Http) -> None:
    http.stop()
    with pytest.raises(Stopping):
        http.post(server.url, b"", {}, TIMEOUT_S)
    assert server.posts == []


def test_an_answer_that_comes_after_stop_counts(server: Server, http: Http) -> None:
    def stop_and_answer(handler: Handler, post: Post) -> None:
        http.stop()
        answer(200, b"OK.")(handler, post)

    server.then(stop_and_answer)
    assert http.post(server.url, b"", {}, LIMIT_S).body == b"OK."


def test_no_answer_after_stop_is_no_failure_of_the_server(server: Server, http: Http) -> None:
    def stop_and_hang_up(handler: Handler, post: Post) -> None:
        http.stop()
        handler.close_connection = True

    server.then(stop_and_hang_up)
    with pytest.raises(Stopping):
        http.post(server.url, b"", {}, LIMIT_S)


def test_stop_does_not_wait_for_a_running_post(server: Server, http: Http) -> None:
    stopped = threading.Event()

    def wait_for_stop(handler: Handler, post: Post) -> None:
        assert stopped.wait(LIMIT_S)
        answer(204)(handler, post)

    server.then(wait_for_stop)
    thread = threading.Thread(target=http.post, args=(server.url, b"", {}, LIMIT_S))
    thread.start()
    server.wait_for_post()
    http.stop()
    stopped.set()
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def test_a_tls_handshake_times_out(http: Http) -> None:
    with silent_listener() as port, pytest.raises(PostFailed, match="timed out"):
        http.post(f"https://127.0.0.1:{port}/", b"", {}, TIMEOUT_S)


def test_sending_to_a_server_that_does_not_read_times_out(http: Http) -> None:
    with silent_listener() as port, pytest.raises(PostFailed, match="timed out"):
        http.post(f"http://127.0.0.1:{port}/", bytes(50_000_000), {}, TIMEOUT_S)


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
