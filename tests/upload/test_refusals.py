"""Refusals: neither a bad row nor a bad address blocks what follows."""

import pytest
from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import (
    LONG_AGO_S,
    Handler,
    Make,
    Post,
    Server,
    answer,
    events,
    reading_row,
    refusing,
    rows,
    sent,
    taken,
    values,
)


def test_a_batch_that_is_too_large_is_halved(server: Server, make: Make) -> None:
    def small_only(handler: Handler, post: Post) -> None:
        answer(413 if len(post.body) > 1000 else 204)(handler, post)

    server.always(small_only)
    queue = rows(50)
    make(queue).flush()
    good = [values(post) for post in server.posts if len(post.body) <= 1000]
    assert [value for batch in good for value in batch] == list(range(1, 51))
    assert (queue.cursor, queue.aside) == (50, [])


def test_the_size_that_a_server_takes_is_remembered(server: Server, make: Make) -> None:
    server.then(answer(413))
    make(rows(50)).flush()
    assert [len(batch) for batch in sent(server)][:3] == [50, 24, 24]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_poisoned_row_is_set_aside_alone(server: Server, make: Make, status: int) -> None:
    server.always(refusing(status, 7))
    queue = rows(20)
    make(queue).flush()
    assert queue.aside == [(7, f"status {status}: bad data")]
    assert taken(server, 7) == [*range(1, 7), *range(8, 21)]
    assert queue.cursor == 20


@pytest.mark.parametrize("status", [403, 404])
def test_a_row_that_a_firewall_refuses_is_set_aside_alone(
    server: Server, make: Make, status: int
) -> None:
    server.always(refusing(status, 7))
    queue = rows(20)
    make(queue).flush()
    assert queue.aside == [(7, f"status {status}: bad data")]
    assert taken(server, 7) == [*range(1, 7), *range(8, 21)]


def test_several_poisoned_rows_are_all_found(server: Server, make: Make) -> None:
    server.always(refusing(400, 1, 2, 30, 50))
    queue = rows(50)
    make(queue).flush()
    assert [number for number, _ in queue.aside] == [1, 2, 30, 50]
    assert queue.cursor == 50


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_everything_blocks_nothing_and_gets_a_post_for_each_batch(
    server: Server, make: Make, capture: LogCapture, status: int
) -> None:
    server.always(answer(status))
    queue = rows(20)
    sender = make(queue)
    sender.flush()
    assert [number for number, _ in queue.aside] == list(range(1, 21))
    assert sender.status().refused
    assert len(events(capture, "upload_refused")) == 1
    before = len(server.posts)
    queue.rows += [reading_row(number) for number in range(21, 31)]
    sender.flush()
    assert len(server.posts) == before + 1
    assert queue.aside[-1] == (30, f"status {status}")
    server.always(answer(204))
    queue.rows.append(reading_row(31))
    sender.flush()
    assert sent(server)[-1] == [31]
    assert not sender.status().refused
    assert [entry["fault"] for entry in events(capture, "fault_ended")] == ["upload_refused"]


def test_after_a_time_of_refusals_a_single_bad_row_is_looked_for_again(
    server: Server, make: Make
) -> None:
    server.always(answer(404))
    queue = rows(4)
    sender = make(queue)
    sender.flush()
    server.always(refusing(404, 7))
    queue.rows += [reading_row(5)]
    sender.flush()
    queue.rows += [reading_row(number) for number in range(6, 11)]
    sender.flush()
    assert [number for number, _ in queue.aside] == [1, 2, 3, 4, 7]
    assert queue.cursor == 10


def test_a_single_row_with_a_doubtful_refusal_waits_for_another_one(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.always(refusing(403, 1))
    queue = rows(1)
    sender = make(queue)
    sender.flush()
    assert (queue.cursor, queue.aside) == (0, [])
    queue.rows.append(reading_row(2))
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert [number for number, _ in queue.aside] == [1]
    assert queue.cursor == 2


def test_the_search_for_a_poisoned_row_survives_a_failure(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.then(refusing(400, 7), answer(503))
    server.always(refusing(400, 7))
    queue = rows(8)
    sender = make(queue)
    sender.flush()
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert [number for number, _ in queue.aside] == [7]
    assert sent(server)[1] == sent(server)[2] == [1, 2, 3, 4]
