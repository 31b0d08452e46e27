"""The same with the real queue: what is delivered, and what a restart changes."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from fakes import TOKYO, FakeClock
from stored import add_readings, add_summaries
from structlog.stdlib import BoundLogger
from structlog.testing import capture_logs
from upload_support import (
    LIMIT_S,
    ORIGIN,
    TARGET,
    RunningClock,
    Server,
    answer,
    refusing,
    summary_row,
)

from kei.core.reading import Reading, Summary
from kei.settings.upload import UploadTarget, What
from kei.store import dead_letters
from kei.store.database import Database
from kei.store.dead_letters import DeadLetters, Filter
from kei.store.queue import UploadQueue, register_before_recovery
from kei.upload.http import Http
from kei.upload.sender import Sender

EVERY = Filter(None, ())
Start = Callable[..., tuple[Database, Sender]]


@pytest.fixture
def start(server: Server, tmp_path: Path, log: BoundLogger) -> Iterator[Start]:
    """Begin a run of the program on the same database file."""
    senders: list[Sender] = []
    databases: list[Database] = []
    clock = FakeClock(zone=TOKYO)

    def begin(
        name: str = "server", what: What = What.READINGS, since_ms: int | None = 0
    ) -> tuple[Database, Sender]:
        target = replace(TARGET, name=name, target_url=server.url, what=what, timeout_s=LIMIT_S)
        database = Database.open(tmp_path / "kei.db", clock)
        queue = UploadQueue(database)
        queue.register(name, what, since_ms)
        sender = Sender(
            target,
            [DeadLetters(database), queue],
            ORIGIN,
            Http(RunningClock()),
            clock=clock,
            random=Random(1),
            log=log,
        )
        senders.append(sender)
        databases.append(database)
        return database, sender

    yield begin
    for sender in senders:
        sender.stop()
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
    database, sender = start()
    add_readings(database, readings(1, 3))
    sender.flush()
    sender.stop()
    database.close()
    database, sender = start()
    add_readings(database, readings(4, 5))
    sender.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [4, 5]]


def test_what_was_not_delivered_is_sent_after_a_restart_with_the_same_key(
    server: Server, start: Start
) -> None:
    server.then(answer(503))
    database, sender = start()
    add_readings(database, readings(1, 3))
    sender.flush()
    sender.stop()
    database.close()
    _, sender = start()
    sender.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [1, 2, 3]]
    assert len({post.headers["Idempotency-Key"] for post in server.posts}) == 1


def test_a_poisoned_row_is_a_dead_letter(server: Server, start: Start) -> None:
    server.then(answer(400), answer(204), answer(400))
    database, sender = start()
    add_readings(database, readings(1, 3))
    sender.flush()
    with database.access() as connection:
        letters = connection.execute("SELECT target, row_id, reason FROM dead_letters").fetchall()
    assert letters == [("server", 2, "status 400")]
    assert len(UploadQueue(database).pending("server", What.READINGS, 1000)) == 0


def test_summaries_have_a_queue_of_their_own(server: Server, start: Start) -> None:
    database, sender = start(what=What.SUMMARY)
    add_readings(database, readings(1, 3))
    summary = summary_row(1).item
    assert isinstance(summary, Summary)
    add_summaries(database, [summary])
    sender.flush()
    [body] = server.bodies
    assert len(json.loads(body)["summaries"]) == 1


def test_a_dead_target_does_not_hold_up_another(server: Server, start: Start) -> None:
    database, dead = start("dead")
    _, alive = start("alive")
    add_readings(database, readings(1, 3))
    server.then(answer(503))
    dead.flush()
    alive.flush()
    queue = UploadQueue(database)
    backlogs = [len(queue.pending(name, What.READINGS, 1000)) for name in ("dead", "alive")]
    assert backlogs == [3, 0]


def test_a_batch_that_a_kill_left_in_flight_is_repeated_without_newer_rows(
    server: Server, start: Start
) -> None:
    database, sender = start()
    add_readings(database, readings(1, 3))
    with pytest.MonkeyPatch.context() as patch:  # killed between the answer and the cursor

        def die(*args: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(UploadQueue, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            sender.flush()
    add_readings(database, readings(4, 5))
    sender.stop()
    database.close()
    _, sender = start()
    sender.flush()
    assert [values(body) for body in server.bodies] == [[1, 2, 3], [1, 2, 3], [4, 5]]
    first, again, other = (post.headers["Idempotency-Key"] for post in server.posts)
    assert first == again != other


def test_refused_rows_are_sent_once_more_on_request(
    server: Server, start: Start, tmp_path: Path
) -> None:
    server.always(refusing(400, 2, 4))
    database, sender = start()
    add_readings(database, readings(1, 5))
    sender.flush()
    path = tmp_path / "kei.db"
    found = list(dead_letters.find(path, EVERY))
    assert [(letter.row_id, letter.item, letter.is_due) for letter in found] == [
        (2, readings(2, 2)[0], False),
        (4, readings(4, 4)[0], False),
    ]
    assert dead_letters.retry(path, Filter("server", (found[0].id,))) == 1
    server.always(answer(204))
    add_readings(database, readings(6, 6))
    sender.flush()
    assert [values(body) for body in server.bodies][-2:] == [[2], [6]]
    assert [letter.row_id for letter in dead_letters.find(path, EVERY)] == [4]
    assert dead_letters.drop(path, EVERY) == 1
    assert list(dead_letters.find(path, EVERY)) == []


@pytest.mark.parametrize("status", [400, 404])
def test_rows_that_are_refused_once_more_hold_nothing_up(
    server: Server, start: Start, tmp_path: Path, status: int
) -> None:
    server.always(refusing(400, 2))
    database, sender = start()
    add_readings(database, readings(1, 3))
    sender.flush()
    dead_letters.retry(tmp_path / "kei.db", EVERY)
    server.always(refusing(status, 2))
    add_readings(database, readings(4, 4))
    sender.flush()
    assert values(server.bodies[-1]) == [4]
    (letter,) = dead_letters.find(tmp_path / "kei.db", EVERY)
    assert (letter.row_id, letter.is_due) == (2, False)
    assert letter.reason.startswith(f"status {status}")


def test_a_refused_row_that_has_left_the_database_is_forgotten_when_it_is_to_be_sent(
    server: Server, start: Start, tmp_path: Path
) -> None:
    server.always(refusing(400, 2))
    database, sender = start()
    add_readings(database, readings(1, 3))
    sender.flush()
    with database.transaction() as connection:
        connection.execute("DELETE FROM readings WHERE id <= 2")
    (letter,) = dead_letters.find(tmp_path / "kei.db", EVERY)
    assert letter.item is None
    dead_letters.retry(tmp_path / "kei.db", EVERY)
    sender.flush()
    assert list(dead_letters.find(tmp_path / "kei.db", EVERY)) == []


@pytest.mark.parametrize("targets", [(), (TARGET,)])
def test_a_lost_database_is_sent_again_only_where_there_is_a_server(
    tmp_path: Path, targets: tuple[UploadTarget, ...]
) -> None:
    with (
        closing(Database.open(tmp_path / "kei.db", FakeClock(zone=TOKYO))) as database,
        capture_logs() as logs,
    ):
        register_before_recovery(targets, database, TOKYO)
    (told,) = logs
    assert told["event"] == "database_lost"
    assert ("sends that again" in told["hint"]) == bool(targets)
