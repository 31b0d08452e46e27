"""Servers that go on for ever: each POST ends by its deadline, and none costs much meanwhile."""

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from hostile import CONTINUE, OK, PAUSE_S, Talk, closed, flood, sip, talking, trickle
from upload_support import Server, answer, drip

from kei.settings.upload import POST_TIMEOUTS
from kei.upload.http import BODY_MAX_BYTES, Http, PostFailed

TIMEOUT_S = 0.2
DEADLINE_S = POST_TIMEOUTS * TIMEOUT_S
GRACE_S = 30.0  # for a machine that stands still: without a bound it would be for ever
CPU_MAX_S = 1.0  # the flood of a second takes a second of a core without a bound
MEMORY_MAX_KIB = 30_000

NO_ANSWER = {
    "continue": flood(b"", CONTINUE),
    "continue, slowly": trickle(b"", CONTINUE),
    "early hints": flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "status line": flood(b"HTTP/1.1 200 ", b"x"),
    "status line, slowly": trickle(b"HTTP/1.1 200 ", b"x"),
    "header line": flood(OK + b"A: ", b"x"),
    "headers": flood(OK, b"A: b\r\n"),
    "headers, slowly": trickle(OK, b"A: b\r\n"),
    "a byte a header, slowly": trickle(OK + b"A: ", b"x"),
    "nothing": lambda _: closed.wait(2 * DEADLINE_S),
}
BODIES = {
    "body": (b"", b"x"),
    "chunks": (b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n"),
    "chunk extension": (b"Transfer-Encoding: chunked\r\n", b"1;x"),
    "trailers": (b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"A: b\r\n"),
}


@contextlib.contextmanager
def at_low_cost() -> Iterator[None]:
    begun, cpu_begun = time.monotonic(), time.thread_time()
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - begun < DEADLINE_S + GRACE_S
    assert time.thread_time() - cpu_begun < CPU_MAX_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib < MEMORY_MAX_KIB


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_what_never_becomes_an_answer_is_a_failure_in_time(http: Http, kind: str) -> None:
    with (
        talking(NO_ANSWER[kind]) as url,
        at_low_cost(),
        pytest.raises(PostFailed, match=r"timed out|does not end|LineTooLong|HTTPException"),
    ):
        http.post(url, b"data", {}, TIMEOUT_S)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("say", [flood, trickle])
def test_a_body_that_does_not_end_leaves_the_status_valid(
    http: Http, kind: str, say: Callable[[bytes, bytes], Talk]
) -> None:
    header, piece = BODIES[kind]
    with talking(say(OK + header + b"\r\n", piece)) as url, at_low_cost():
        answer = http.post(url, b"data", {}, TIMEOUT_S)
    assert answer.status == 200
    assert len(answer.body) <= BODY_MAX_BYTES


def test_a_server_that_takes_the_request_in_sips_is_a_failure_in_time(http: Http) -> None:
    with talking(sip) as url, at_low_cost(), pytest.raises(PostFailed, match="timed out"):
        http.post(url, bytes(16_000_000), {}, TIMEOUT_S)


def test_slow_redirects_have_the_deadline_of_one_post(server: Server, http: Http) -> None:
    server.always(drip(b"HTTP/1.1 307 Moved\r\nLocation: /again\r\n\r\n", b"x"))
    with at_low_cost(), pytest.raises(PostFailed, match="timed out"):
        http.post(server.url, b"data", {}, TIMEOUT_S)


def test_many_dead_addresses_have_the_deadline_of_one_post(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        where = full.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where)] * 20
        with contextlib.ExitStack() as stack:
            for _ in range(3):  # more than its queue has room for
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(where)
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            with at_low_cost(), pytest.raises(PostFailed, match="timed out"):
                http.post("http://kei.invalid/", b"", {}, TIMEOUT_S)


def test_a_tunnel_of_a_proxy_has_the_deadline_of_one_post(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with talking(NO_ANSWER["headers, slowly"]) as url, at_low_cost():
        monkeypatch.setenv("https_proxy", url)
        with pytest.raises(PostFailed, match="timed out"):
            http.post("https://kei.invalid/", b"", {}, TIMEOUT_S)


def test_for_how_long_a_post_has_been_under_way_can_be_asked(http: Http) -> None:
    seen: list[float | None] = []

    def talk(connection: socket.socket) -> None:
        closed.wait(PAUSE_S)
        seen.append(http.posting_s)

    with talking(talk) as url, pytest.raises(PostFailed):
        http.post(url, b"", {}, TIMEOUT_S)
    (posting_s,) = seen
    assert posting_s is not None
    assert posting_s >= PAUSE_S
    assert http.posting_s is None


ELSEWHERE = [
    "http://127.0.0.1:{other}/",
    "//127.0.0.1:{other}/",
    "https://127.0.0.1:{port}/",
    "http://127.0.0.1/",
    "http://localhost:{port}/",
    "http://127.0.0.1:{port}@localhost:{other}/",
    "http://localhost:{other}\\@127.0.0.1:{port}/",
    "//localhost:{other}\\@127.0.0.1:{port}/",
    "\\\\localhost:{other}/",
    "http:\\\\localhost:{other}/",
    "\thttp://localhost:{other}/",
    "http://127.1:{other}/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:x/",
    "http://[::1]:{other}/",
    "http://[/",
    "ftp:",
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_the_key_goes_to_no_other_scheme_host_or_port(http: Http, location: str) -> None:
    first, other = Server(), Server()
    try:
        where = location.format(port=first.port, other=other.port)
        first.then(answer(307, Location=where))
        with contextlib.suppress(PostFailed):
            got = http.post(first.url, b"key", {"Authorization": "Bearer key"}, TIMEOUT_S)
            assert got.status in {307, 204}
        assert other.posts == []
    finally:
        first.close()
        other.close()
