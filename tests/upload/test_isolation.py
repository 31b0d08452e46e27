"""A row on which the server always fails is found; a server that is down costs no row."""

import json
from dataclasses import replace
from random import Random
from typing import NoReturn

import pytest
import structlog
from fakes import TOKYO, FakeClock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture
from upload_support import (
    LONG_AGO_S,
    ORIGIN,
    TARGET,
    Behaviour,
    FakeQueue,
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

from kei.upload.http import Answer, Http, PostFailed
from kei.upload.sender import Sender


def flush_until_empty(sender: Sender, queue: FakeQueue, clock: FakeClock, most: int = 60) -> None:
    for _ in range(most):
        if not queue.backlog:
            return
        sender.flush()
        clock.advance(LONG_AGO_S)
    raise AssertionError(f"{queue.backlog} rows wait, set aside: {queue.aside}")


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("number", [1, 7, 20])
def test_a_row_on_which_the_server_fails_is_set_aside_alone(
    server: Server, make: Make, clock: FakeClock, status: int, number: int
) -> None:
    server.always(refusing(status, number))
    queue = rows(21)
    flush_until_empty(make(queue), queue, clock)
    assert queue.aside == [(number, f"status {status}: bad data")]
    assert taken(server, number) == [each for each in range(1, 22) if each != number]
    assert len(server.posts) < 20


def test_a_row_of_a_small_batch_is_found_within_minutes(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.always(refusing(500, 1))
    queue = rows(2)
    sender = make(queue)
    begun = clock.monotonic()
    while not queue.aside:
        sender.flush()
        clock.advance(1)
    assert clock.monotonic() - begun < 5 + 10 + 20 + 40
    assert queue.cursor == 2


def test_a_run_of_such_rows_is_found_one_by_one(
    server: Server, make: Make, clock: FakeClock
) -> None:
    bad = range(5, 12)
    server.always(refusing(500, *bad))
    queue = rows(30)
    flush_until_empty(make(queue), queue, clock)
    assert [number for number, _ in queue.aside] == list(bad)
    assert sorted(set(taken(server, *bad))) == [*range(1, 5), *range(12, 31)]


def test_the_rows_behind_may_be_refused(server: Server, make: Make, clock: FakeClock) -> None:
    def behave(handler: Handler, post: Post) -> None:
        bad = {1: 500, 2: 400, 3: 404}
        status = max((bad.get(value, 204) for value in values(post)), default=204)
        answer(status, b"bad data")(handler, post)

    server.always(behave)
    queue = rows(9)
    flush_until_empty(make(queue), queue, clock)
    assert [number for number, _ in queue.aside] == [1, 2, 3]


def test_such_a_row_waits_for_another_one(server: Server, make: Make, clock: FakeClock) -> None:
    server.always(refusing(500, 1))
    queue = rows(1)
    sender = make(queue)
    for _ in range(20):
        sender.flush()
        clock.advance(LONG_AGO_S)
    assert (queue.cursor, queue.aside, len(server.posts)) == (0, [], 20)
    queue.rows.append(reading_row(2))
    flush_until_empty(sender, queue, clock)
    assert queue.aside == [(1, "status 500: bad data")]


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_a_server_that_is_down_for_long_costs_no_row(
    server: Server, make: Make, clock: FakeClock, status: int, count: int
) -> None:
    server.always(answer(status))
    queue = rows(count)
    sender = make(queue)
    for number in range(count + 1, count + 31):
        sender.flush()
        clock.advance(LONG_AGO_S)
        queue.rows.append(reading_row(number))
    assert (queue.cursor, queue.aside) == (0, [])
    assert len(server.posts) < 80
    before = len(server.posts)
    server.always(answer(204))
    flush_until_empty(sender, queue, clock)
    assert [row for batch in sent(server)[before:] for row in batch] == list(range(1, count + 31))


@pytest.mark.parametrize("answers", [b"OK.", b"Error: cannot write"])
def test_an_error_of_a_keilog_server_may_be_about_a_row(
    server: Server, make: Make, clock: FakeClock, answers: bytes
) -> None:
    def behave(handler: Handler, post: Post) -> None:
        said = answers if b"E7%2C7%2Cx" in post.body else b"OK."
        answer(200, said)(handler, post)

    server.always(behave)
    queue = rows(20)
    flush_until_empty(make(queue, format="keilog"), queue, clock)
    found = [(7, f"status 200: {answers.decode()}")] if answers != b"OK." else []
    assert queue.aside == found


@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_fails_now_and_then_costs_no_row(
    server: Server, make: Make, clock: FakeClock, seed: int
) -> None:
    chance = Random(seed)

    def moody(handler: Handler, post: Post) -> None:
        answer(500 if chance.random() < 0.2 else 204)(handler, post)

    server.always(moody)
    queue = rows(60)
    flush_until_empty(make(queue, max_bytes=400), queue, clock)
    assert queue.aside == []


def test_a_row_that_fails_again_after_a_retry_goes_back_to_the_dead_letters(
    server: Server, make: Make, clock: FakeClock
) -> None:
    server.always(refusing(500, 99))
    again, new = FakeQueue([reading_row(98), reading_row(99)]), rows(2)
    sender = make(again, new)
    for number in range(3, 20):
        sender.flush()
        clock.advance(LONG_AGO_S)
        new.rows.append(reading_row(number))
    assert again.aside == [(99, "status 500: bad data")]
    assert (new.aside, new.cursor > 10) == ([], True)


def refuse(status: int) -> Behaviour:
    return answer(status, b"no such thing")


def test_a_server_that_finds_fault_with_everything_is_told_and_not_searched_for_ever(
    server: Server, make: Make, capture: LogCapture
) -> None:
    server.always(refuse(400))
    queue = rows(500)
    sender = make(queue)
    sender.flush()
    assert len(queue.aside) == 500
    assert len(server.posts) < 120
    assert sender.status().refused
    (event,) = events(capture, "upload_refused")
    assert event["reason"] == "status 400: no such thing"
    server.always(answer(204))
    queue.rows += [reading_row(501)]
    sender.flush()
    assert not sender.status().refused
    assert [each["fault"] for each in events(capture, "fault_ended")] == ["upload_refused"]


def test_a_few_bad_rows_in_a_row_are_no_server_that_refuses_everything(
    server: Server, make: Make
) -> None:
    server.always(refusing(400, *range(3, 12)))
    queue = rows(20)
    sender = make(queue)
    sender.flush()
    assert [number for number, _ in queue.aside] == list(range(3, 12))
    assert taken(server, *range(3, 12)) == [1, 2, *range(12, 21)]
    assert not sender.status().refused


class FakeHttp(Http):
    """A server without a network: fails on some rows, refuses others, and has moods."""

    def __init__(self, clock: FakeClock, bad: dict[int, int], moods: list[int | None]) -> None:
        super().__init__(clock)
        self._bad = bad
        self._moods = moods
        self.taken: list[int] = []

    def post(self, _url: str, body: bytes, _headers: object, _timeout_s: float) -> Answer:
        values = [item["value"] for item in json.loads(body)["readings"]]
        mood = self._moods.pop() if self._moods else None
        if mood == 0:
            raise PostFailed("timed out")
        status = mood or max((self._bad.get(value, 204) for value in values), default=204)
        if status == 204:
            self.taken += values
        return Answer(status, b"", None)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(
    count=st.integers(1, 40),
    bad=st.dictionaries(st.integers(1, 40), st.sampled_from([400, 500]), max_size=9),
    moods=st.lists(st.sampled_from([None, 0, 503, 204]), max_size=30),
    max_bytes=st.sampled_from([100, 400, 65_536]),
)
@example(
    count=12, bad={13: 500, 14: 400, 15: 400, 17: 400, 18: 400}, moods=[], max_bytes=100
)  # rows that a flush sees behind the bad one, of which only 16 is good
@settings(deadline=None)
def test_whatever_rows_are_bad_all_others_arrive(
    count: int, bad: dict[int, int], moods: list[int | None], max_bytes: int
) -> None:
    clock, queue = FakeClock(zone=TOKYO), rows(count)
    http = FakeHttp(clock, bad, moods)
    target = replace(TARGET, max_bytes=max_bytes)
    log = structlog.wrap_logger(None, processors=[_drop], wrapper_class=BoundLogger)
    sender = Sender(target, [queue], ORIGIN, http, clock=clock, random=Random(1), log=log)
    for number in range(200):
        sender.flush()
        clock.advance(LONG_AGO_S)
        queue.rows.append(reading_row(count + 1 + number))
        if queue.cursor > count:
            break
    wrong = [number for number, _ in queue.aside if number not in bad]
    assert (wrong, queue.cursor > count) == ([], True)
    good = [number for number in range(1, count + 1) if number not in bad]
    assert set(good) <= set(http.taken)
    first_times = list(dict.fromkeys(http.taken))
    assert first_times == sorted(first_times) or 500 in bad.values()


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent
