"""The status server and its client, over real sockets: nothing that a client does disturbs it."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fakes import FakeClock
from programs import PATIENCE_S, wait_until

from kei.app.status_server import ANSWER_MAX_BYTES, QUEUE_LENGTH, StatusServer, address, ask
from kei.core.clock import SystemClock
from kei.core.errors import RetryLater

DOCUMENT = b'{"pid": 1}'
ACCEPTS = "00010000"  # flag of a socket that listens, proc_net(5)
LARGE = b"x" * ANSWER_MAX_BYTES  # more than a socket holds that nobody reads from


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kei.db"


@contextmanager
def serving(
    database: Path, answer: Callable[[], bytes] = lambda: DOCUMENT, clock: FakeClock | None = None
) -> Iterator[StatusServer]:
    server = StatusServer(database, answer, clock or SystemClock())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: is_up(database), 5, "the server")
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def is_up(database: Path) -> bool:
    """Whether somebody listens under the name; disturbs nobody, so that no answer is made."""
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    name = address(database).replace("\0", "@")
    return any(fields[-1] == name and fields[3] == ACCEPTS for fields in sockets)


@contextmanager
def listening(database: Path, backlog: int = 1) -> Iterator[socket.socket]:
    """Another program under the server's name."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address(database))
        listener.listen(backlog)
        yield listener


def connected(database: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(address(database))  # waits for its turn, if too many others do
    client.settimeout(PATIENCE_S)
    return client


def test_the_answer_is_handed_to_whoever_connects(database: Path) -> None:
    with serving(database):
        assert ask(database, SystemClock()) == DOCUMENT


def test_nobody_answers_when_no_server_runs(database: Path) -> None:
    assert ask(database, SystemClock()) is None


def test_nothing_is_left_behind_when_the_server_has_stopped(database: Path) -> None:
    with serving(database):
        pass
    assert ask(database, SystemClock()) is None
    assert list(database.parent.iterdir()) == []


def test_two_databases_have_two_servers(tmp_path: Path) -> None:
    first, second = tmp_path / "a.db", tmp_path / "b.db"
    with serving(first, lambda: b"a"), serving(second, lambda: b"b"):
        assert (ask(first, SystemClock()), ask(second, SystemClock())) == (b"a", b"b")


def test_a_database_is_the_same_by_whatever_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    spellings = [tmp_path / "kei.db", tmp_path / "link" / "kei.db", Path("kei.db")]
    assert len({address(spelling) for spelling in spellings}) == 1


def test_a_path_may_be_longer_than_the_name_of_a_socket(tmp_path: Path) -> None:
    database = tmp_path.joinpath(*["folder" * 20] * 5) / "kei.db"
    with serving(database):
        assert ask(database, SystemClock()) == DOCUMENT


def test_clients_that_say_nothing_and_take_nothing_do_not_stop_others(database: Path) -> None:
    with serving(database):
        silent = [connected(database) for _ in range(5)]
        assert ask(database, SystemClock()) == DOCUMENT
        for client in silent:
            client.close()


def test_a_client_that_does_not_take_a_large_answer_is_left_after_a_while(database: Path) -> None:
    with serving(database, lambda: LARGE), connected(database):
        assert ask(database, SystemClock()) == LARGE


@pytest.mark.parametrize("garbage", [b"\0", b"GET / HTTP/1.1\r\n\r\n", os.urandom(50_000)])
def test_garbage_is_not_read_and_its_sender_gets_the_answer(database: Path, garbage: bytes) -> None:
    with serving(database):
        with connected(database) as client:
            with suppress(BrokenPipeError):  # it has been answered already
                client.sendall(garbage)
            assert client.recv(1000) == DOCUMENT
        assert ask(database, SystemClock()) == DOCUMENT


def test_clients_that_leave_at_once_do_not_disturb(database: Path) -> None:
    with serving(database, lambda: LARGE):
        for _ in range(50):
            connected(database).close()
        assert ask(database, SystemClock()) == LARGE


def test_many_clients_at_once_all_get_their_answer(database: Path) -> None:
    answers: list[bytes | None] = []
    clients = [
        threading.Thread(target=lambda: answers.append(ask(database, SystemClock())))
        for _ in range(5 * QUEUE_LENGTH)
    ]
    with serving(database):
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE_S)
    assert answers == [DOCUMENT] * len(clients)


def test_a_flood_of_questions_is_given_the_same_answer(database: Path) -> None:
    made: list[bytes] = []

    def answer() -> bytes:
        made.append(b"%d" % len(made))
        return made[-1]

    clock = FakeClock()
    with serving(database, answer, clock):
        for _ in range(100):
            assert ask(database, SystemClock()) == b"0"
        clock.advance(0.3)
        assert ask(database, SystemClock()) == b"1"


def test_an_answer_that_cannot_be_made_is_told_once_and_the_server_goes_on(
    database: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [b"late", None, None]
    clock = FakeClock()

    def answer() -> bytes:
        document = answers.pop()
        if document is None:
            raise KeyError("our mistake")
        return document

    with serving(database, answer, clock):
        for expected in (b"", b"", b"late"):
            assert ask(database, SystemClock()) == expected
            clock.advance(1)
    assert sum("status_failed" in line for line in capfd.readouterr().out.splitlines()) == 2


def test_an_answer_that_is_too_long_is_not_given(database: Path) -> None:
    with serving(database, lambda: LARGE + b"x"):
        assert ask(database, SystemClock()) == b""


def test_a_name_that_is_taken_is_waited_for(database: Path) -> None:
    server = StatusServer(database, lambda: DOCUMENT, SystemClock())
    thread = threading.Thread(target=server.run)
    with listening(database):
        thread.start()
    wait_until(lambda: ask(database, SystemClock()) == DOCUMENT, 5, "the server")
    server.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_server_that_was_stopped_before_it_ran_does_not_run(database: Path) -> None:
    server = StatusServer(database, lambda: DOCUMENT, SystemClock())
    server.stop()
    server.run()
    assert ask(database, SystemClock()) is None


def test_a_server_that_accepts_and_says_nothing_is_waited_for_only_so_long(
    database: Path,
) -> None:
    with listening(database), pytest.raises(RetryLater, match=r"within 0\.2 s"):
        ask(database, SystemClock(), 0.2)


def test_a_server_that_accepts_nobody_is_waited_for_only_so_long(database: Path) -> None:
    with (
        listening(database, backlog=0),
        connected(database),
        pytest.raises(RetryLater, match="too many"),
    ):
        ask(database, SystemClock(), 0.2)


def test_an_answer_without_end_is_not_read_to_its_end(database: Path) -> None:
    def pour(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(LARGE)
            except OSError:
                return

    with listening(database) as listener:
        pouring = threading.Thread(target=pour, args=(listener,))
        pouring.start()
        with pytest.raises(RetryLater, match="no end"):
            ask(database, SystemClock())
        pouring.join(PATIENCE_S)
