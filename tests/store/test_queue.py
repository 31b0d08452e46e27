"""The queue of each upload target: at least once, in order, nothing skipped."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock
from stored import add_readings, add_summaries

from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store import queue as queues
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.rows import Row

T0 = 1_790_000_000_000


def readings(*times: int) -> list[Reading]:
    return [Reading(T0 + at, "BR", "E7", Decimal(at), "x") for at in times]


def summaries(*times: int) -> list[Summary]:
    one = Decimal("1.0")
    return [Summary(T0 + at, "BR", "E7", Decimal("1.25"), one, one, 2) for at in times]


@pytest.fixture
def queue(database: Database) -> UploadQueue:
    return UploadQueue(database)


def times(rows: list[Row]) -> list[int]:
    return [row.item.time_ms - T0 for row in rows if isinstance(row.item, Reading)]


def test_without_since_only_what_comes_later_is_due(queue: UploadQueue, database: Database) -> None:
    add_readings(database, readings(1, 2))
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(3, 4))
    assert times(queue.pending("server", What.READINGS, 10)) == [3, 4]


def test_since_brings_what_was_recorded_from_then_on(
    queue: UploadQueue, database: Database
) -> None:
    add_readings(database, readings(1, 5, 4, 6))
    queue.register("server", What.READINGS, T0 + 4)
    assert times(queue.pending("server", What.READINGS, 10)) == [5, 4, 6]


def test_since_the_future_is_from_now_on(queue: UploadQueue, database: Database) -> None:
    add_readings(database, readings(1, 2))
    queue.register("server", What.READINGS, T0 + 100)
    add_readings(database, readings(3))
    assert times(queue.pending("server", What.READINGS, 10)) == [3]


def test_registering_again_changes_nothing(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(1, 2))
    queue.register("server", What.READINGS, None)
    assert queue.waiting("server", What.READINGS).rows == 2


def test_pending_keeps_to_its_limit(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(*range(10)))
    assert times(queue.pending("server", What.READINGS, 3)) == [0, 1, 2]


def test_what_is_delivered_is_not_pending_any_more(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(1, 2, 3))
    queue.advance("server", What.READINGS, queue.pending("server", What.READINGS, 2)[-1].id)
    assert times(queue.pending("server", What.READINGS, 10)) == [3]
    assert queue.waiting("server", What.READINGS).rows == 1


def test_a_cursor_never_goes_back(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(1, 2, 3))
    queue.advance("server", What.READINGS, 2)
    queue.advance("server", What.READINGS, 1)
    assert queue.waiting("server", What.READINGS).rows == 1


def test_a_cursor_never_runs_ahead_of_the_rows(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(1))
    queue.advance("server", What.READINGS, 5000)
    add_readings(database, readings(2))
    assert times(queue.pending("server", What.READINGS, 10)) == [2]


def test_targets_do_not_disturb_each_other(queue: UploadQueue, database: Database) -> None:
    queue.register("a", What.READINGS, None)
    queue.register("b", What.READINGS, None)
    add_readings(database, readings(1, 2))
    queue.advance("a", What.READINGS, 2)
    assert (queue.waiting("a", What.READINGS).rows, queue.waiting("b", What.READINGS).rows) == (
        0,
        2,
    )


def test_summaries_have_a_cursor_of_their_own(queue: UploadQueue, database: Database) -> None:
    queue.register("server", What.READINGS, None)
    queue.register("server", What.SUMMARY, None)
    add_readings(database, readings(1))
    add_summaries(database, summaries(0, 10))
    queue.advance("server", What.READINGS, 1)
    rows = queue.pending("server", What.SUMMARY, 10)
    assert [repr(row.item) for row in rows] == [repr(item) for item in summaries(0, 10)]
    assert queue.waiting("server", What.SUMMARY).rows == 2


def test_summaries_since_a_time(queue: UploadQueue, database: Database) -> None:
    add_summaries(database, summaries(0, 10, 20))
    queue.register("server", What.SUMMARY, T0 + 5)
    assert queue.waiting("server", What.SUMMARY).rows == 2


def test_rows_put_aside_are_noted_and_passed(
    queue: UploadQueue, database: Database, clock: FakeClock
) -> None:
    queue.register("server", What.READINGS, None)
    add_readings(database, readings(1, 2, 3))
    rows = queue.pending("server", What.READINGS, 2)
    queue.set_aside("server", What.READINGS, rows, "HTTP 400")
    assert times(queue.pending("server", What.READINGS, 10)) == [3]
    with database.access() as connection:
        noted = connection.execute(
            "SELECT target, kind, row_id, reason, time_ms FROM dead_letters ORDER BY id"
        ).fetchall()
    expected = [("server", "readings", row.id, "HTTP 400", clock.now_ms()) for row in rows]
    assert noted == expected


def test_cursors_outlive_a_restart(
    queue: UploadQueue, database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    add_readings(database, readings(1, 2))
    queue.register("server", What.READINGS, T0)
    queue.advance("server", What.READINGS, 1)
    database.close()
    reopened = Database.open(tmp_path / "kei.db", clock)
    assert times(UploadQueue(reopened).pending("server", What.READINGS, 10)) == [2]
    reopened.close()


def test_a_target_whose_database_was_begun_anew_gets_everything(
    queue: UploadQueue, database: Database
) -> None:
    add_readings(database, readings(1))
    assert times(queue.pending("never registered", What.READINGS, 10)) == [1]


def test_a_batch_is_known_to_be_in_flight_until_its_fate_is_known(database: Database) -> None:
    queue = UploadQueue(database)
    queue.register("server", What.READINGS, 0)
    add_readings(database, readings(1, 2, 3, 4))
    assert queue.in_flight("server", What.READINGS) is None
    queue.sending("server", What.READINGS, 2)
    assert UploadQueue(database).in_flight("server", What.READINGS) == 2
    queue.advance("server", What.READINGS, 2)
    assert queue.in_flight("server", What.READINGS) is None


def test_of_too_many_rows_the_oldest_are_given_up(database: Database) -> None:
    queue = UploadQueue(database)
    queue.register("server", What.READINGS, 0)
    add_readings(database, readings(1, 2, 3, 4))
    count = 4
    assert queue.shorten("server", What.READINGS, most=count) == 0
    assert queue.shorten("server", What.READINGS, most=1) == count - 1
    assert queue.shorten("server", What.READINGS, most=1) == 0
    assert [row.id for row in queue.pending("server", What.READINGS, 10)] == [count]


def test_rows_that_left_the_database_before_they_were_sent_are_counted(
    database: Database,
) -> None:
    queue = UploadQueue(database)
    queue.register("server", What.READINGS, 0)
    add_readings(database, readings(1, 2, 3, 4))
    with database.transaction() as connection:
        connection.execute("DELETE FROM readings WHERE id <= 2")
    assert queue.shorten("server", What.READINGS) == 2
    assert queue.shorten("server", What.READINGS) == 0


def test_a_target_without_a_place_in_the_queue_loses_nothing(database: Database) -> None:
    add_readings(database, readings(1, 2, 3, 4))
    assert UploadQueue(database).shorten("server", What.READINGS, most=1) == 0


def plan(database: Database, what: What) -> list[str]:
    statements: list[str] = []
    with database.access() as connection:
        connection.set_trace_callback(statements.append)
        queues._first_since(connection, what, 1_790_000_000_000)
        connection.set_trace_callback(None)
        (statement,) = statements
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]


@pytest.mark.parametrize("what", list(What))
def test_a_beginning_is_found_without_looking_through_the_table(
    database: Database, what: What
) -> None:
    scanned = [step for step in plan(database, what) if step.startswith(("SCAN r", "SCAN summ"))]
    assert scanned == []


def test_a_beginning_in_the_middle_of_a_span_is_found(database: Database) -> None:
    begin = 1_790_000_000_000 // 600_000 * 600_000
    add_readings(
        database,
        [
            Reading(begin + ms, "BR", "E7", Decimal(1), "x")
            for ms in (0, 500_000, -600_000, 300_000, 700_000)
        ],
    )
    queue = UploadQueue(database)
    for since, first in ((begin, 1), (begin + 1, 2), (begin + 500_001, 5), (begin + 900_000, 6)):
        queue.register(f"from {since}", What.READINGS, since)
        found = queue.pending(f"from {since}", What.READINGS, 10)
        assert [row.id for row in found] == list(range(first, 6))


@pytest.mark.parametrize("what", list(What))
def test_a_target_may_leave_out_what_was_made_good_later(database: Database, what: What) -> None:
    queue = UploadQueue(database, recovered=False)
    queue.register("server", what, None)
    for number, recovered in enumerate((True, False, True)):
        if what is What.READINGS:
            found = [replace(each, recovered=recovered) for each in readings(number)]
            add_readings(database, found)
        else:
            add_summaries(
                database, [replace(each, recovered=recovered) for each in summaries(number)]
            )
    wanted = queue.pending("server", what, 10)
    assert [row.item.recovered for row in wanted] == [False]
    queue.advance("server", what, wanted[-1].id)
    assert queue.waiting("server", what).rows > 0
    assert queue.pending("server", what, 10) == []
    assert queue.waiting("server", what).rows == 0  # nothing waits that will never be sent
