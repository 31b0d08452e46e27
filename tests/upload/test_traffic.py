"""Bytes by the local day, each day told once."""

from datetime import datetime

import pytest
from fakes import TOKYO, FakeClock
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture
from upload_support import Make, Server, answer, events, rows

from kei.core.clock import epoch_ms
from kei.upload.traffic import Sent, Traffic

EVENING_MS = epoch_ms(datetime(2026, 11, 23, 23, 0, tzinfo=TOKYO))
DAY_S = 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(EVENING_MS, TOKYO)


def test_bytes_are_counted_by_the_local_day(
    log: BoundLogger, capture: LogCapture, clock: FakeClock
) -> None:
    traffic = Traffic(log, clock)
    traffic.add(100)
    traffic.add(200)
    assert traffic.sent() == Sent(300, None)
    clock.advance(2 * 3600)
    assert traffic.sent() == Sent(0, 300)
    traffic.add(50)
    assert traffic.sent() == Sent(50, 300)
    (told,) = events(capture, "upload_traffic")
    assert (told["day"], told["sent_bytes"], told["posts"]) == ("2026-11-23", 300, 2)


def test_a_day_that_was_slept_through_is_not_yesterday(log: BoundLogger, clock: FakeClock) -> None:
    traffic = Traffic(log, clock)
    traffic.add(100)
    clock.advance(2 * DAY_S)
    assert traffic.sent() == Sent(0, None)


def test_a_clock_that_is_set_back_ends_no_day(
    log: BoundLogger, capture: LogCapture, clock: FakeClock
) -> None:
    traffic = Traffic(log, clock)
    clock.advance(2 * 3600)
    traffic.add(100)
    clock.wall_ms -= 30 * DAY_S * 1000
    traffic.add(100)
    assert traffic.sent().today_bytes == 200
    assert len(events(capture, "upload_traffic")) == 1


def test_what_a_flusher_sends_is_counted(server: Server, make: Make) -> None:
    server.then(answer(503))
    sender = make(rows(3))
    sender.flush()
    first = sender.status().sent.today_bytes
    assert first > len(server.bodies[0])
    assert sender.status().bytes_sent == first
