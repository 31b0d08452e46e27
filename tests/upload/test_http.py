"""One POST against servers that do not behave; every wait ends."""

import socket
import time
from pathlib import Path

import pytest
from upload_support import (
    LIMIT_S,
    Server,
    answer,
    drip,
    hang,
    raw,
)

from kei.core.masking import Masker
from kei.core.secret import Secret
from kei.upload.http import BODY_MAX_BYTES, Http, PostFailed, excerpt

TIMEOUT_S = 0.3


def test_an_answer_has_status_and_body(server: Server, http: Http) -> None:
    server.then(answer(200, b"OK."))
    got = http.post(server.url, b"data", {"X-Test": "1"}, TIMEOUT_S)
    assert (got.status, got.body, got.retry_after_s) == (200, b"OK.", None)


def test_body_and_headers_arrive(server: Server, http: Http) -> None:
    http.post(f"{server.url}?db=kei", b"data", {"X-Test": "1"}, TIMEOUT_S)
    [post] = server.posts
    assert (post.path, post.body, post.headers["X-Test"]) == ("/upload.php?db=kei", b"data", "1")


def test_the_connection_is_kept_for_the_next_post(server: Server, http: Http) -> None:
    for _ in range(3):
        http.post(server.url, b"data", {}, TIMEOUT_S)
    assert len({post.port for post in server.posts}) == 1


def test_a_body_of_a_megabyte_arrives_whole(server: Server, http: Http) -> None:
    body = bytes(range(256)) * 4096
    http.post(server.url, body, {}, LIMIT_S)
    assert server.bodies == [body]


def test_sent_bytes_count_headers_and_body(server: Server, http: Http) -> None:
    http.post(server.url, b"x" * 1000, {}, TIMEOUT_S)
    assert 1100 < http.sent_bytes < 1300


def test_retry_after_is_read(server: Server, http: Http) -> None:
    server.then(answer(429, Retry_After="120"))
    assert http.post(server.url, b"", {}, TIMEOUT_S).retry_after_s == 120


def test_cookies_are_not_kept(server: Server, http: Http) -> None:
    server.then(answer(200, Set_Cookie="a=b"))
    http.post(server.url, b"", {}, TIMEOUT_S)
    http.post(server.url, b"", {}, TIMEOUT_S)
    assert "Cookie" not in server.posts[1].headers


def test_a_netrc_does_not_replace_the_authorization(
    server: Server, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    http.post(server.url, b"", {"Authorization": "Token mine"}, TIMEOUT_S)
    assert server.posts[0].headers["Authorization"] == "Token mine"


def test_a_proxy_of_the_environment_is_used(
    server: Server, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    http.post("http://kei.invalid/in", b"data", {}, TIMEOUT_S)
    assert server.posts[0].path == "http://kei.invalid/in"


def test_a_refused_connection_is_a_failure_with_a_reason(http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PostFailed, match=r"^Connection refused$"):
        http.post(f"http://127.0.0.1:{port}/?token=secret", b"", {}, TIMEOUT_S)


def test_the_next_address_is_tried_when_one_is_dead(
    server: Server, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", where)
        for where in (dead, ("127.0.0.1", server.port))
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert http.post("http://kei.invalid/", b"", {}, TIMEOUT_S).status == 204


def test_an_unknown_name_is_a_failure_with_a_reason(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(PostFailed, match=r"^Name or service not known$"):
        http.post("http://kei.invalid/", b"", {}, TIMEOUT_S)


@pytest.mark.parametrize("url", ["http://", "gopher://x/", "http://a..b/", "http://[::1/"])
def test_an_impossible_address_is_a_failure(http: Http, url: str) -> None:
    with pytest.raises(PostFailed):
        http.post(url, b"", {}, TIMEOUT_S)


def test_an_impossible_header_is_a_failure_that_does_not_show_it(http: Http) -> None:
    with pytest.raises(PostFailed) as caught:
        http.post("http://127.0.0.1:1/", b"", {"X-Key": "sec\nret"}, TIMEOUT_S)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [b"", b"hello\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500],
)
def test_an_answer_that_is_not_http_is_a_failure(server: Server, http: Http, said: bytes) -> None:
    server.then(raw(said))
    with pytest.raises(PostFailed):
        http.post(server.url, b"", {}, TIMEOUT_S)


def test_the_next_post_works_after_a_failure(server: Server, http: Http) -> None:
    server.then(raw(b""))
    with pytest.raises(PostFailed):
        http.post(server.url, b"", {}, TIMEOUT_S)
    assert http.post(server.url, b"", {}, TIMEOUT_S).status == 204


def test_a_server_that_never_answers_times_out(server: Server, http: Http) -> None:
    server.then(hang)
    with pytest.raises(PostFailed, match=r"^timed out$"):
        http.post(server.url, b"", {}, TIMEOUT_S)


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        (b"", b"a"),
        (b"Content-Length: 9999\r\n", b"a"),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n"),
    ],
    ids=["to the end", "counted", "chunked"],
)
def test_a_body_that_drips_for_ever_leaves_the_status_valid(
    server: Server, http: Http, header: bytes, piece: bytes
) -> None:
    server.then(drip(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n", piece))
    began = time.monotonic()
    assert http.post(server.url, b"", {}, TIMEOUT_S).status == 200
    assert time.monotonic() - began < 10 * TIMEOUT_S + 30, "for ever, but for a busy machine"


def test_a_body_that_breaks_off_leaves_the_status_valid(server: Server, http: Http) -> None:
    server.then(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOK."))
    assert http.post(server.url, b"", {}, TIMEOUT_S).status == 200


def test_a_huge_body_is_read_to_a_limit(server: Server, http: Http) -> None:
    server.then(answer(200, b"x" * 3_000_000))
    got = http.post(server.url, b"", {}, LIMIT_S)
    assert len(got.body) == BODY_MAX_BYTES


def test_a_connection_with_an_unread_body_is_not_used_again(server: Server, http: Http) -> None:
    server.then(answer(200, b"x" * 3_000_000))
    http.post(server.url, b"", {}, LIMIT_S)
    assert http.post(server.url, b"", {}, LIMIT_S).status == 204


@pytest.mark.parametrize("status", [100, 102, 103])
def test_what_is_said_before_the_answer_is_skipped(server: Server, http: Http, status: int) -> None:
    before = b"HTTP/1.1 %d Soon\r\nLink: </x>\r\n\r\n" % status
    server.then(raw(2 * before + b"HTTP/1.1 201 Made\r\nContent-Length: 3\r\n\r\nOK."))
    got = http.post(server.url, b"", {}, TIMEOUT_S)
    assert (got.status, got.body) == (201, b"OK.")


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_on_the_same_host_takes_the_post_along(
    server: Server, http: Http, status: int
) -> None:
    server.then(answer(status, Location="/new.php"))
    assert http.post(server.url, b"data", {}, TIMEOUT_S).status == 204
    assert [(post.path, post.body) for post in server.posts][1:] == [("/new.php", b"data")]


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_become_a_get_is_not_followed(
    server: Server, http: Http, status: int
) -> None:
    server.then(answer(status, Location="/login"))
    assert http.post(server.url, b"data", {}, TIMEOUT_S).status == status


@pytest.mark.parametrize(
    "location", ["http://localhost:{port}/", "//localhost:{port}/", "", "ftp:"]
)
def test_a_redirect_to_another_host_is_not_followed(
    server: Server, http: Http, location: str
) -> None:
    server.then(answer(307, Location=location.format(port=server.port)))
    assert http.post(server.url, b"data", {}, TIMEOUT_S).status == 307
    assert len(server.posts) == 1


def test_the_body_of_a_redirect_is_not_read_beyond_the_limit(server: Server, http: Http) -> None:
    server.then(answer(302, b"x" * 3_000_000, Location="/login"))
    assert len(http.post(server.url, b"", {}, LIMIT_S).body) == BODY_MAX_BYTES


def test_redirects_in_a_circle_end(server: Server, http: Http) -> None:
    server.always(answer(307, Location="/upload.php"))
    with pytest.raises(PostFailed, match="redirected too often"):
        http.post(server.url, b"", {}, TIMEOUT_S)


def test_an_excerpt_is_one_printable_line() -> None:
    assert (
        excerpt(b"Error:\r\n\x1b[31m  bad\xff " + b"x" * 500, Masker())[:21]
        == "Error: [31m bad\ufffd xxxx"
    )


def test_an_excerpt_shows_no_secret_in_any_spelling() -> None:
    masker = Masker()
    masker.hide([Secret("aa b/c")])
    said = b"key aa b/c, aa+b%2Fc and aa%20b%2Fc"
    assert excerpt(said, masker) == "key ***, *** and ***"
