"""Failures that pass: the same batch again, after a while, until it is through."""

import socket
from itertools import pairwise
from random import Random

import pytest
from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import (
    KEY,
    LONG_AGO_S,
    FakeQueue,
    Handler,
    Make,
    Post,
    Server,
    answer,
    events,
    hang,
    raw,
    reading_row,
    refusing,
    rows,
    sent,
    values,
)

from kei.core.errors import StoreError
from kei.upload.http import Http


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 302])
def test_a_temporary_status_keeps_the_rows(server: Server, make: Make, status: int) -> None:
    server.always(answer(status))
    queue = rows(3)
    make(queue).flush()
    assert (queue.cursor, queue.aside, len(server.posts)) == (0, [], 1)


def test_the_same_batch_is_repeated_with_the_same_key(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.then(answer(500), hang, raw(b""))
    queue = rows(3)
    sender = make(queue)
    for number in range(4, 8):
        sender.flush()
        queue.rows.append(reading_row(number))
        clock.advance(LONG_AGO_S)
    sender.flush()
    assert sent(server) == [[1, 2, 3]] * 4 + [[4, 5, 6], [7]]
    keys = [post.headers["Idempotency-Key"] for post in server.posts]
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]


def test_a_flush_during_backoff_returns_at_once(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.always(answer(500))
    sender = make(rows(1))
    for _ in range(5):
        sender.flush()
    assert len(server.posts) == 1
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert len(server.posts) == 2


def test_retry_after_is_kept(server: Server, make: Make, clock: FakeClock) -> None:
    server.then(answer(429, Retry_After="3000"))
    sender = make(rows(1))
    sender.flush()
    clock.advance(2999)
    sender.flush()
    assert len(server.posts) == 1
    clock.advance(2)
    sender.flush()
    assert len(server.posts) == 2


def test_attempts_become_rare_but_never_end(server: Server, make: Make, clock: FakeClock) -> None:
    server.always(answer(503))
    sender = make(rows(1))
    attempts_at: list[float] = []
    for _ in range(4 * 3600):
        sender.flush()
        if len(server.posts) > len(attempts_at):
            attempts_at.append(clock.monotonic())
        clock.advance(1)
    pauses = [later - earlier for earlier, later in pairwise(attempts_at)]
    assert max(pauses[:3]) <= 21
    assert 60 < max(pauses) <= 601


def test_an_error_of_a_keilog_server_is_temporary(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.then(answer(200, b"Error: disk full"))
    server.always(answer(200, b"OK."))
    queue = rows(3)
    sender = make(queue, format="keilog")
    sender.flush()
    assert queue.cursor == 0
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert queue.cursor == 3
    assert server.bodies[0] == server.bodies[1]


def test_a_server_that_is_gone_loses_nothing(server: Server, make: Make, clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    queue = rows(3)
    sender = make(queue, target_url=f"http://127.0.0.1:{port}/")
    sender.flush()
    assert queue.cursor == 0
    assert sender.status().last_error == "Connection refused"


def test_a_database_that_fails_repeats_the_batch_later(
    server: Server, make: Make, clock: FakeClock
) -> None:
    queue = rows(3)
    sender = make(queue)
    queue.advance_error = StoreError("disk full")
    sender.flush()
    sender.flush()
    queue.advance_error = None
    queue.rows.append(reading_row(4))
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert sent(server) == [[1, 2, 3], [1, 2, 3], [4]]


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_fails_at_random_gets_every_row_in_order(
    server: Server, make: Make, clock: FakeClock, seed: int
) -> None:
    chance = Random(seed)
    taken_batches: dict[str, list[int]] = {}

    def moody(handler: Handler, post: Post) -> None:
        mood = chance.choice(["good", "good", "answer lost", "busy", "full", "gone"])
        if mood in {"good", "answer lost"}:
            taken_batches.setdefault(post.headers["Idempotency-Key"], values(post))
        behave = {"good": answer(204), "busy": answer(503), "full": answer(429)}
        behave.get(mood, raw(b""))(handler, post)

    server.always(moody)
    queue = rows(0)
    sender = make(queue, max_bytes=400)
    while queue.cursor < 60:
        if len(queue.rows) < 60:
            queue.rows += [reading_row(len(queue.rows) + number) for number in range(1, 4)]
        sender.flush()
        clock.advance(LONG_AGO_S)
    assert [value for batch in taken_batches.values() for value in batch] == list(range(1, 61))


def test_rows_that_are_tried_again_and_fail_for_the_moment_do_not_hold_up_what_is_new(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.always(refusing(500, 99))
    again, new = FakeQueue([reading_row(99)]), rows(2)
    sender = make(again, new)
    for number in (3, 4):
        sender.flush()
        clock.advance(LONG_AGO_S)
        new.rows.append(reading_row(number))
    sender.flush()
    assert sent(server) == [[99], [1, 2, 3], [99], [4], [99]]
    assert (again.cursor, new.cursor) == (0, 4)


def test_a_fault_of_kei_itself_is_a_failure_like_any_other(
    server: Server, make: Make, clock: FakeClock, http: Http, capture: LogCapture
) -> None:
    queue = rows(3)
    sender = make(queue)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "post", _overflow)
        for _ in range(5):
            sender.flush()
    status = sender.status()
    assert (status.last_error, status.failures) == ("a fault of kei: OverflowError", 1)
    (event,) = events(capture, "upload_failing")
    assert event["log_level"] == "error"
    assert "_overflow" in str(event["trace"])
    assert KEY not in str(event)
    clock.advance(LONG_AGO_S)
    queue.rows.append(reading_row(4))
    sender.flush()
    assert sent(server) == [[1, 2, 3], [4]]
    (end,) = events(capture, "fault_ended")
    assert "trace" not in end


def _overflow(*args: object, **kwargs: object) -> object:
    raise OverflowError(KEY)


def test_a_target_is_told_where_it_redirects_to(server: Server, make: Make) -> None:
    location = f"http://127.0.0.1:{server.port + 1}/x?token=query-secret"
    server.always(answer(308, Location=location))
    queue = rows(1)
    sender = make(queue)
    sender.flush()
    assert queue.cursor == 0
    assert sender.status().last_error == (
        f"status 308: redirected to http://127.0.0.1:{server.port + 1}, which is not followed; "
        "is target_url right?"
    )
