"""The same with the real queue: what is delivered, and what a restart changes."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from fakes import TOKYO, FakeClock
from stored import add_readings, add_summaries
from structlog.stdlib import BoundLogger
from upload_support import LIMIT_S, RunningClock, Server, answer, summary_row

from kei.reading import Reading, Summary
from kei.store.database import Database
from kei.store.queue import Kind, UploadQueue
from kei.upload.flusher import Flusher
from kei.upload.formats import format_of
from kei.upload.http import Http
from kei.upload.target import FormatName, Target

Start = Callable[..., tuple[Database, Flusher]]


@pytest.fixture
def start(server: Server, tmp_path: Path, log: BoundLogger) -> Iterator[Start]:
    """Begin a run of the program on the same database file."""
    flushers: list[Flusher] = []
    databases: list[Database] = []
    clock = FakeClock(zone=TOKYO)

    def begin(
        name: str = "server", kind: Kind = Kind.READINGS, since_ms: int | None = 0
    ) -> tuple[Database, Flusher]:
        target = Target(name, server.url, None, FormatName.JSON, kind, "base", timeout_s=LIMIT_S)
        database = Database.open(tmp_path / "kei.db", clock)
        queue = UploadQueue(database)
        queue.register(name, kind, since_ms)
        flusher = Flusher(
            target,
            queue,
            format_of(target, "host", TOKYO),
            Http(RunningClock()),
            clock=clock,
            random=Random(1),
            log=log,
        )
        flushers.append(flusher)
        databases.append(database)
        return database, flusher

    yield begin
    for flusher in flushers:
        flusher.stop()
    for database in databases:
        database.close()


def readings(first: int, last: int) -> list[Reading]:
    return [
        Reading(1_700_000_000_000 + number * 1000, "BR", "E7", Decimal(number), "x")
        for number in range(first, last + 1)
    ]


def values(body: bytes) -> list[int]:
    return [item["value"] for item in json.loads(body)["readings"]]


def test_what_was_delivered_is_not_sent_again_after_a_restart(server: Server, start: Start) -> None:
    database, flusher = start()
    add_readings(database, readings(1, 3))
    flusher.flush()
    flusher.stop()
    database.close()
    database, flusher = start()
    add_readings(database, readings(4, 5))
    flusher.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [4, 5]]


def test_what_was_not_delivered_is_sent_after_a_restart_with_the_same_key(
    server: Server, start: Start
) -> None:
    server.then(answer(503))
    database, flusher = start()
    add_readings(database, readings(1, 3))
    flusher.flush()
    flusher.stop()
    database.close()
    _, flusher = start()
    flusher.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [1, 2, 3]]
    assert len({post.headers["Idempotency-Key"] for post in server.posts}) == 1


def test_a_poisoned_row_is_a_dead_letter(server: Server, start: Start) -> None:
    server.then(answer(400), answer(204), answer(400))
    database, flusher = start()
    add_readings(database, readings(1, 3))
    flusher.flush()
    with database.access() as connection:
        letters = connection.execute("SELECT target, row_id, reason FROM dead_letters").fetchall()
    assert letters == [("server", 2, "status 400")]
    assert flusher.status().backlog == 0


def test_summaries_have_a_queue_of_their_own(server: Server, start: Start) -> None:
    database, flusher = start(kind=Kind.SUMMARIES)
    add_readings(database, readings(1, 3))
    summary = summary_row(1).item
    assert isinstance(summary, Summary)
    add_summaries(database, [summary])
    flusher.flush()
    [body] = server.bodies
    assert len(json.loads(body)["summaries"]) == 1


def test_a_dead_target_does_not_hold_up_another(server: Server, start: Start) -> None:
    database, dead = start("dead")
    _, alive = start("alive")
    add_readings(database, readings(1, 3))
    server.then(answer(503))
    dead.flush()
    alive.flush()
    assert (dead.status().backlog, alive.status().backlog) == (3, 0)


def test_a_batch_that_a_kill_left_in_flight_is_repeated_without_newer_rows(
    server: Server, start: Start
) -> None:
    database, flusher = start()
    add_readings(database, readings(1, 3))
    with pytest.MonkeyPatch.context() as patch:  # killed between the answer and the cursor

        def die(*args: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(UploadQueue, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            flusher.flush()
    add_readings(database, readings(4, 5))
    flusher.stop()
    database.close()
    _, flusher = start()
    flusher.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [1, 2, 3], [4, 5]]
    first, again, other = (post.headers["Idempotency-Key"] for post in server.posts)
    assert first == again != other
