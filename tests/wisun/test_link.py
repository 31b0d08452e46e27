"""A conversation on a machine that may stand still at any moment."""

import threading

import pytest
from fakes import FakeClock
from programs import PATIENCE_S

from kei.wisun.interfaces import Ok
from kei.wisun.link import AFTER_STANDING_S, Link

STANDS_S = 30.0


class Standing(FakeClock):
    """A clock that goes on by a wait at once, which lasts longer than it should the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.stands_s = STANDS_S
        self.machine_s = 0.0  # how long a wait takes that is not the first

    def wait_s(self, seconds: float) -> float:
        self.waits.append(seconds)
        self.advance(max(0.0, seconds) + self.stands_s)
        self.stands_s = 0.0
        return 0.0 if len(self.waits) == 1 else self.machine_s


@pytest.fixture
def clock() -> Standing:
    return Standing()


def test_what_came_while_the_machine_stood_still_is_heard(clock: Standing) -> None:
    """The reader's thread has stood still as well, and may go on later than the one that waits."""
    link = Link(clock, lambda message: message)
    clock.machine_s = PATIENCE_S
    reader = threading.Timer(0.05, link.on_data, [b"OK\r\n"])
    reader.start()
    assert link.receive(clock.monotonic() + 5) == Ok()
    assert clock.waits == [5, AFTER_STANDING_S]
    reader.join()


def test_nothing_is_waited_for_twice_if_nothing_comes(clock: Standing) -> None:
    link = Link(clock, lambda message: message)
    assert link.receive(clock.monotonic() + 5) is None
    assert link.receive(clock.monotonic()) is None
    assert clock.waits == [5, AFTER_STANDING_S, 0]


def test_a_machine_that_stands_still_at_every_wait_ends_them_all_the_same() -> None:
    class AgainAndAgain(Standing):
        def wait_s(self, seconds: float) -> float:
            self.stands_s = STANDS_S
            super().wait_s(seconds)
            assert len(self.waits) < 10, "for ever"
            return 0.0

    clock = AgainAndAgain()
    assert Link(clock, lambda message: message).receive(clock.monotonic() + 5) is None
    assert clock.waits == [5, AFTER_STANDING_S]


def test_a_deadline_that_is_over_before_the_wait_is_no_standing_still(clock: Standing) -> None:
    link = Link(clock, lambda message: message)
    clock.stands_s = 0.0
    assert link.receive(clock.monotonic() - STANDS_S) is None
    assert len(clock.waits) == 1
