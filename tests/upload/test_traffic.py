"""What the log and the status tell of a target, and what they never show."""

from dataclasses import replace
from datetime import datetime

import pytest
from fakes import TOKYO, FakeClock
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture
from upload_support import (
    KEY,
    LONG_AGO_S,
    TARGET,
    Make,
    Server,
    answer,
    events,
    raw,
    reading_row,
    refusing,
    rows,
)

from kei.core.clock import epoch_ms
from kei.core.secret import Secret
from kei.upload.http import Http
from kei.upload.traffic import ASIDE_EVERY_S, Sent, Traffic

EVENING_MS = epoch_ms(datetime(2026, 11, 23, 23, 0, tzinfo=TOKYO))
DAY_S = 86_400


@pytest.fixture
def evening() -> FakeClock:
    return FakeClock(EVENING_MS, TOKYO)


def test_bytes_are_counted_by_the_local_day(
    log: BoundLogger, capture: LogCapture, evening: FakeClock
) -> None:
    traffic = Traffic(log, evening)
    traffic.add(100)
    traffic.add(200)
    assert traffic.sent() == Sent(300, None)
    evening.advance(2 * 3600)
    assert traffic.sent() == Sent(0, 300)
    traffic.add(50)
    assert traffic.sent() == Sent(50, 300)
    (told,) = events(capture, "upload_traffic")
    assert (told["day"], told["sent_bytes"], told["posts"]) == ("2026-11-23", 300, 2)


def test_a_day_that_was_slept_through_is_not_yesterday(
    log: BoundLogger, evening: FakeClock
) -> None:
    traffic = Traffic(log, evening)
    traffic.add(100)
    evening.advance(2 * DAY_S)
    assert traffic.sent() == Sent(0, None)


def test_a_clock_that_is_set_back_ends_no_day(
    log: BoundLogger, capture: LogCapture, evening: FakeClock
) -> None:
    traffic = Traffic(log, evening)
    evening.advance(2 * 3600)
    traffic.add(100)
    evening.wall_ms -= 30 * DAY_S * 1000
    traffic.add(100)
    assert traffic.sent().today_bytes == 200
    assert len(events(capture, "upload_traffic")) == 1


def test_what_a_sender_sends_is_counted(server: Server, make: Make, http: Http) -> None:
    server.then(answer(503))
    sender = make(rows(3))
    sender.flush()
    first = sender.status().sent.today_bytes
    assert first > len(server.bodies[0])
    assert http.sent_bytes == first


def test_a_fault_is_told_once_and_summed_up_at_its_end(
    server: Server, make: Make, clock: FakeClock, capture: LogCapture
) -> None:
    server.then(*[answer(503, b"busy")] * 3)
    sender = make(rows(1))
    for _ in range(4):
        sender.flush()
        clock.advance(LONG_AGO_S)
    [failing] = events(capture, "upload_failing")
    [recovered] = events(capture, "fault_ended")
    assert (failing["target"], failing["reason"]) == ("server", "status 503: busy")
    assert failing["log_level"] == "warning"
    assert (recovered["target"], recovered["cause"]) == ("server", "status 503")
    assert recovered["count"] == 3
    assert recovered["duration_s"] == 3 * LONG_AGO_S


def test_another_fault_of_the_same_outage_is_told_too(
    server: Server, make: Make, clock: FakeClock, capture: LogCapture
) -> None:
    server.then(answer(503, b"1"), answer(503, b"2"), answer(302), answer(503))
    sender = make(rows(1))
    for _ in range(4):
        sender.flush()
        clock.advance(LONG_AGO_S)
    reasons = [entry["reason"] for entry in events(capture, "upload_failing")]
    assert reasons == ["status 503: 1", "status 302"]


def test_rows_that_are_set_aside_are_told_in_sums(
    server: Server, make: Make, clock: FakeClock, capture: LogCapture
) -> None:
    server.always(answer(400, b"bad data"))
    queue = rows(8)
    sender = make(queue)
    sender.flush()
    queue.rows += [reading_row(number) for number in range(9, 12)]
    sender.flush()
    clock.advance(ASIDE_EVERY_S)
    sender.flush()
    told = events(capture, "upload_set_aside")
    assert [(entry["rows"], entry["total"]) for entry in told] == [(8, 8), (3, 11)]
    assert told[0]["reason"] == "status 400: bad data"


def test_what_was_not_told_yet_is_told_at_the_end(
    server: Server, make: Make, capture: LogCapture
) -> None:
    server.always(answer(400))
    queue = rows(1)
    sender = make(queue)
    sender.flush()
    queue.rows.append(reading_row(2))
    sender.flush()
    sender.stop()
    assert [entry["total"] for entry in events(capture, "upload_set_aside")] == [1, 2]


def test_neither_key_nor_query_nor_header_is_told(
    server: Server, make: Make, clock: FakeClock, capture: LogCapture
) -> None:
    secrets = f"{KEY} query-secret header-secret"
    server.then(answer(503, secrets.encode()), answer(400, secrets.encode()))
    server.always(raw(b""))
    queue = rows(1)
    sender = make(queue, headers=(("X-Key", Secret("header-secret")),))
    for _ in range(3):
        sender.flush()
        queue.rows.append(reading_row(len(queue.rows) + 1))
        clock.advance(LONG_AGO_S)
    seen = f"{capture.entries} {queue.aside} {sender.status()} {sender!r}"
    assert not [secret for secret in secrets.split() if secret in seen]


def test_a_target_shows_no_secret() -> None:
    url = f"{TARGET.target_url}?token=query-secret"
    headers = (("X-Key", Secret("header-secret")),)
    shown = repr(replace(TARGET, target_url=url, headers=headers))
    assert not [one for one in (KEY, "query-secret", "header-secret") if one in shown]


def test_the_status_counts(server: Server, make: Make, clock: FakeClock, http: Http) -> None:
    server.always(refusing(400, 2))
    queue = rows(3)
    sender = make(queue)
    sender.flush()
    server.always(answer(503, b"busy"))
    queue.rows.append(reading_row(4))
    sender.flush()
    status = sender.status()
    assert (status.target, queue.backlog, len(queue.aside)) == ("server", 1, 1)
    assert (status.last_error, status.failures) == ("status 503: busy", 1)
    assert status.last_success_ms == clock.now_ms()
    assert http.sent_bytes > sum(len(body) for body in server.bodies)
