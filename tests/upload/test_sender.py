"""From the queue to the server when all is well, and how a flush ends."""

import gzip
import json
import threading

from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import (
    KEY,
    LIMIT_S,
    Behaviour,
    Handler,
    Make,
    Post,
    Server,
    answer,
    hang,
    reading_row,
    rows,
    sent,
)

from kei.core.errors import StoreError
from kei.core.secret import Secret
from kei.settings.upload import Compress
from kei.upload.sender import Sender


def test_everything_that_waits_is_sent_in_order(server: Server, make: Make) -> None:
    queue = rows(50)
    make(queue, max_bytes=600).flush()
    assert [value for batch in sent(server) for value in batch] == list(range(1, 51))
    assert len(server.posts) > 5
    assert queue.cursor == 50


def test_an_empty_queue_sends_nothing(server: Server, make: Make) -> None:
    make(rows(0)).flush()
    assert server.posts == []


def test_new_rows_go_with_the_next_flush(server: Server, make: Make) -> None:
    queue = rows(2)
    sender = make(queue)
    sender.flush()
    queue.rows.append(reading_row(3))
    sender.flush()
    assert sent(server) == [[1, 2], [3]]


def test_what_is_recorded_during_a_post_does_not_have_one_of_its_own(
    server: Server, make: Make
) -> None:
    queue = rows(20)

    def record(handler: Handler, post: Post) -> None:
        if len(queue.rows) < 40:
            queue.rows.append(reading_row(len(queue.rows) + 1))
        answer(204)(handler, post)

    server.always(record)
    sender = make(queue, max_bytes=600)
    sender.flush()
    before = len(server.posts)
    assert queue.cursor >= 20
    assert before == len(sent(server)) < 5, "all that waited, in batches"
    sender.flush()
    assert len(server.posts) == before + 1
    assert sent(server)[-1][0] <= queue.cursor == sent(server)[-1][-1]


def test_a_keilog_server_gets_its_form(server: Server, make: Make) -> None:
    server.always(answer(200, b"OK."))
    queue = rows(2)
    make(queue, format="keilog").flush()
    assert server.bodies[0].startswith(f"type=text&key={KEY}&fname=20231115-base.txt".encode())
    assert queue.cursor == 2


def test_a_body_is_packed_on_request(server: Server, make: Make) -> None:
    make(rows(2), compress=Compress.GZIP).flush()
    [post] = server.posts
    assert post.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(post.body))["readings"]) == 2


def test_keilog_is_never_packed(server: Server, make: Make) -> None:
    server.always(answer(200, b"OK."))
    make(rows(2), format="keilog", compress=Compress.GZIP).flush()
    assert "Content-Encoding" not in server.posts[0].headers


def test_headers_of_the_configuration_win(server: Server, make: Make) -> None:
    extra = (("authorization", Secret("Basic abc")), ("X-More", Secret("1")))
    make(rows(1), headers=extra).flush()
    headers = server.posts[0].headers
    assert (headers["authorization"], headers["X-More"]) == ("Basic abc", "1")
    assert "Authorization" not in headers


def test_two_posts_keep_their_distance(server: Server, make: Make, clock: FakeClock) -> None:
    sender = make(rows(10), max_bytes=200, min_interval_s=300)
    for _ in range(5):
        sender.flush()
        clock.advance(60)
    assert len(server.posts) == 1
    sender.flush()
    assert len(server.posts) == 2


def test_a_short_distance_is_waited_for(server: Server, make: Make) -> None:
    queue = rows(3)
    make(queue, max_bytes=150, min_interval_s=0.01).flush()
    assert queue.cursor == 3


def test_a_flush_leaves_time_before_the_next_one(
    server: Server, make: Make, clock: FakeClock
) -> None:
    def slow(handler: Handler, post: Post) -> None:
        clock.advance(25)
        answer(204)(handler, post)

    server.always(slow)
    make(rows(10), max_bytes=150, cycle_s=60, timeout_s=10).flush()
    assert len(server.posts) == 2


def stopping(sender: Sender, then: Behaviour) -> Behaviour:
    """Stop a sender while the server has its POST."""

    def behave(handler: Handler, post: Post) -> None:
        sender.stop()
        then(handler, post)

    return behave


def test_a_post_that_hangs_when_kei_stops_keeps_its_rows(
    server: Server, make: Make, capture: LogCapture
) -> None:
    queue = rows(3)
    sender = make(queue)
    server.then(stopping(sender, hang))
    sender.flush()
    assert (queue.cursor, capture.entries) == (0, [])


def test_a_post_that_is_accepted_when_kei_stops_counts_and_is_the_last(
    server: Server, make: Make
) -> None:
    queue = rows(10)
    sender = make(queue, max_bytes=200)
    server.then(stopping(sender, answer(204)))
    sender.flush()
    assert [queue.cursor] == sent(server)[0][-1:]
    assert len(server.posts) == 1


def test_a_database_that_is_closed_already_is_no_fault_when_kei_stops(
    server: Server, make: Make, capture: LogCapture
) -> None:
    queue = rows(3)
    queue.advance_error = StoreError("kei.db: is closed")
    sender = make(queue)
    server.then(stopping(sender, answer(204)))
    sender.flush()
    assert (queue.cursor, capture.entries) == (0, [])


def test_stop_ends_the_wait_between_two_posts(server: Server, make: Make) -> None:
    sender = make(rows(3), max_bytes=150, min_interval_s=3600)
    thread = threading.Thread(target=sender.flush)
    thread.start()
    server.wait_for_post()
    sender.stop()
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def test_a_stopped_sender_sends_nothing(server: Server, make: Make) -> None:
    sender = make(rows(3))
    sender.stop()
    sender.flush()
    assert server.posts == []
