"""What servers that ask for it learn of a kei: with each POST, and once in five minutes."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import (
    LONG_AGO_S,
    ORIGIN,
    TARGET,
    FakeQueue,
    Make,
    Server,
    answer,
    events,
    reading_row,
    refusing,
    rows,
)

from kei.settings.upload import HEALTH_EVERY_S, What
from kei.store.queue import Waiting
from kei.upload.health import Health, HealthReport
from kei.upload.sender import Sender

MINUTE_S = 60.0
TO_FULL_HOUR_S = 2800.0  # from 22:13:20, where the clock of the tests begins


class WaitingQueue(FakeQueue):
    """A queue that says what waits in it, as that of the database does."""

    def waiting(self, target: str, what: What) -> Waiting:
        assert (target, what) == ("server", What.READINGS)
        oldest_ms = next((self._time_ms(row.id) for row in self.rows if row.id > self.cursor), None)
        return Waiting(self.backlog, oldest_ms, len(self.aside))

    @staticmethod
    def _time_ms(number: int) -> int:
        return 1_700_000_000_000 + number * 1000


Told = Callable[..., Sender]


@pytest.fixture
def tells(make: Make, clock: FakeClock) -> Told:
    """Makes a sender for a target that asks for health."""

    def sender(queue: WaitingQueue, **changes: object) -> Sender:
        target = replace(TARGET, health=True, **changes)  # type: ignore[arg-type]  # by the tests
        health = Health("1.2.3", {"session_up": 1, "lqi": None}, clock.now_ms())
        report = HealthReport(lambda: health, queue, target, clock)  # type: ignore[arg-type]  # has `waiting`
        return make(queue, health=True, origin=replace(ORIGIN, health=report), **changes)

    return sender


def queue_of(count: int) -> WaitingQueue:
    return WaitingQueue(rows(count).rows)


def healths(server: Server) -> list[dict[str, object] | None]:
    return [json.loads(post.body).get("health") for post in server.posts]


def test_each_post_says_how_kei_is(server: Server, tells: Told, clock: FakeClock) -> None:
    queue = queue_of(2)
    clock.advance(11)
    tells(queue).flush()
    assert healths(server) == [
        {"version": "1.2.3", "session_up": 1, "backlog_rows": 2, "oldest_s": 10, "dead_letters": 0}
    ]
    assert queue.cursor == 2


def test_nothing_to_send_is_told_within_five_minutes(
    server: Server, tells: Told, clock: FakeClock
) -> None:
    sender, at = tells(queue_of(0)), list[float]()
    for _ in range(16):
        before = len(server.posts)
        sender.flush()
        at += [clock.monotonic()] * (len(server.posts) - before)
        clock.advance(MINUTE_S)
    assert len(at) == 4
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) <= HEALTH_EVERY_S
    assert all("readings" not in json.loads(post.body) for post in server.posts)
    assert all(post.headers["Content-Type"] == "application/json" for post in server.posts)
    assert sender.status().last_success_ms is not None


def test_between_two_cycles_only_health_is_told(
    server: Server, tells: Told, clock: FakeClock
) -> None:
    queue = queue_of(3)
    clock.advance(TO_FULL_HOUR_S)
    sender = tells(queue, cycle_s=3600.0)
    for _ in range(12):
        sender.flush()
        clock.advance(5 * MINUTE_S)
    assert (queue.cursor, len(server.posts)) == (0, 12)
    sender.flush()
    assert queue.cursor == 3


def test_health_is_never_told_late(server: Server, tells: Told, clock: FakeClock) -> None:
    server.always(answer(503))
    sender = tells(queue_of(0))
    sender.flush()
    sender.flush()
    assert len(server.posts) == 1
    assert sender.status().failures == 1
    server.always(answer(204))
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert len(server.posts) == 2
    assert sender.status().last_error is None


def test_health_does_not_hide_that_rows_fail(server: Server, tells: Told, clock: FakeClock) -> None:
    queue = queue_of(1)
    sender = tells(queue, cycle_s=3600.0)
    clock.advance(TO_FULL_HOUR_S)
    server.then(answer(503))
    sender.flush()
    clock.advance(LONG_AGO_S)
    sender.flush()
    assert len(server.posts) == 2
    assert sender.status().last_error == "status 503"


def test_a_bad_row_is_looked_for_without_health(server: Server, tells: Told) -> None:
    server.always(refusing(400, 3))
    queue = queue_of(4)
    tells(queue).flush()
    assert [number for number, _ in queue.aside] == [3]
    whole, *searched = healths(server)
    assert whole is not None
    assert any(each is None for each in searched)


def test_a_database_that_fails_is_a_failure(
    server: Server, tells: Told, capture: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of(1)
    monkeypatch.setattr(queue, "waiting", lambda *_: 1 / 0)
    tells(queue).flush()
    assert (queue.cursor, server.posts) == (0, [])
    (event,) = events(capture, "upload_failing")
    assert event["cause"] == "a fault of kei: ZeroDivisionError"
    assert reading_row(1) in queue.rows
