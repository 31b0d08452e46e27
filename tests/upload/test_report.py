"""What the log and the status tell, and what they never show."""

from dataclasses import replace

from fakes import FakeClock
from structlog.testing import LogCapture
from upload_support import (
    KEY,
    LONG_AGO_S,
    Make,
    Server,
    answer,
    events,
    raw,
    reading_row,
    refusing,
    rows,
)

from kei.upload.report import ASIDE_EVERY_S
from kei.upload.target import Target


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
    sender = make(queue, headers={"X-Key": "header-secret"})
    for _ in range(3):
        sender.flush()
        queue.rows.append(reading_row(len(queue.rows) + 1))
        clock.advance(LONG_AGO_S)
    seen = f"{capture.entries} {queue.aside} {sender.status()} {sender!r}"
    assert not [secret for secret in secrets.split() if secret in seen]


def test_a_target_shows_no_secret(target: Target) -> None:
    shown = repr(replace(target, headers={"X-Key": "header-secret"}))
    assert not [one for one in (KEY, "query-secret", "header-secret") if one in shown]


def test_the_status_counts(server: Server, make: Make, clock: FakeClock) -> None:
    server.always(refusing(400, 2))
    queue = rows(3)
    sender = make(queue)
    sender.flush()
    server.always(answer(503, b"busy"))
    queue.rows.append(reading_row(4))
    sender.flush()
    status = sender.status()
    assert (status.target, status.backlog, status.set_aside) == ("server", 1, 1)
    assert (status.last_error, status.failures) == ("status 503: busy", 1)
    assert status.last_success_ms == clock.now_ms()
    assert status.bytes_sent > sum(len(body) for body in server.bodies)
