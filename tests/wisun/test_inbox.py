"""However much a dongle says, what nobody reads takes bounded memory, and replies are found."""

import tracemalloc

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from kei.wisun.inbox import CALM_AFTER_S, INBOX_MAX, Inbox
from kei.wisun.interfaces import Fail, Message, Ok
from kei.wisun.link import Link

EVENT = b"EVENT 21 FE80:0000:0000:0000:021D:1290:1234:5678 0 00\r\n"
BABBLED_S = 5  # of 9,500 lines a second


class Babbling:
    """A dongle that says much before and after it obeys."""

    def __init__(self) -> None:
        self.link = Link(FakeClock(), seen)
        self.link.attach(self)

    def babble(self, seconds: int) -> None:
        for _ in range(seconds):
            self.link.on_data(EVENT * 9_500)

    def write(self, data: bytes) -> None:
        assert data
        self.babble(1)
        self.link.on_data(b"OK\r\n")

    def holders(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.link.detach()


def seen(message: Message) -> Message:
    return message


@pytest.mark.usefixtures("unmeasured")  # the same again and again
def test_a_dongle_that_babbles_between_two_requests_takes_bounded_memory() -> None:
    dongle = Babbling()
    tracemalloc.start()
    try:
        with capture_logs() as logs:
            dongle.babble(BABBLED_S)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2_000_000
    assert [each["event"] for each in logs] == ["dongle_messages_dropped"]


def test_a_reply_behind_a_flood_of_events_is_found_and_the_flood_is_not_kept() -> None:
    with capture_logs():
        lines = Babbling().link.converse(b"SKINFO\r\n", "SKINFO", 5, lambda said: said == Ok())
    assert lines[-1] == Ok()
    assert len(lines) == INBOX_MAX


def test_the_newest_messages_are_kept_and_dropping_is_told_once_until_it_is_over() -> None:
    clock = FakeClock()
    inbox = Inbox(clock)
    with capture_logs() as logs:
        for number in range(INBOX_MAX + 10):
            inbox.put(Fail(str(number)))
        assert inbox.get(0) == Fail("10")
        for _ in range(3):
            inbox.clear()
            clock.advance(CALM_AFTER_S / 2)
            for number in range(INBOX_MAX + 10):
                inbox.put(Fail(str(number)))
        clock.advance(CALM_AFTER_S + 1)
        inbox.clear()
    assert inbox.get(0) is None
    assert [each["event"] for each in logs] == ["dongle_messages_dropped", "fault_ended"]
    assert logs[1]["count"] == 40


def test_a_wake_ends_one_wait() -> None:
    inbox = Inbox(FakeClock())
    inbox.wake()
    assert inbox.get(10) is None
    inbox.put(Ok())
    assert inbox.get(10) == Ok()
