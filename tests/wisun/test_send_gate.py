"""When the dongle must not send."""

import pytest
import structlog
from fakes import FakeClock
from structlog.testing import capture_logs

from kei.core.incidents import Incidents
from kei.wisun.interfaces import EventNumber
from kei.wisun.send_gate import LIMIT_S, RENEWAL_S, SendGate

log = structlog.stdlib.get_logger("kei.session")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> SendGate:
    return SendGate(clock, Incidents(log, clock))


def test_a_renewal_lasts_from_event_29_to_25(gate: SendGate) -> None:
    seen = []
    for number in (EventNumber.LIFETIME_EXPIRED, EventNumber.JOINED):
        gate.on_event(number)
        seen.append((gate.is_renewing, gate.renewal_left_s()))
    assert seen == [(True, RENEWAL_S), (False, None)]


def test_patience_with_a_renewal_runs_out(gate: SendGate, clock: FakeClock) -> None:
    gate.on_event(EventNumber.LIFETIME_EXPIRED)
    clock.advance(RENEWAL_S - 1)
    assert gate.renewal_left_s() == pytest.approx(1)
    clock.advance(2)
    left_s = gate.renewal_left_s()
    assert left_s is not None
    assert left_s < 0


def test_patience_does_not_begin_anew_with_each_event_29(gate: SendGate, clock: FakeClock) -> None:
    for _ in range(3):
        gate.on_event(EventNumber.LIFETIME_EXPIRED)
        clock.advance(RENEWAL_S / 2)
    left_s = gate.renewal_left_s()
    assert left_s is not None
    assert left_s < 0


def test_the_limit_lasts_from_event_32_to_33(gate: SendGate) -> None:
    seen = []
    for number in (EventNumber.LIMIT_ON, EventNumber.LIMIT_OFF):
        gate.on_event(number)
        seen.append(gate.is_limited)
    assert seen == [True, False]


def test_a_limit_whose_end_was_missed_ends_by_itself(gate: SendGate, clock: FakeClock) -> None:
    gate.on_event(EventNumber.LIMIT_ON)
    clock.advance(LIMIT_S)
    assert not gate.is_limited


def test_a_join_opens_it(gate: SendGate) -> None:
    gate.on_event(EventNumber.LIFETIME_EXPIRED)
    gate.on_event(EventNumber.LIMIT_ON)
    gate.open()
    assert not gate.is_renewing
    assert not gate.is_limited


@pytest.mark.parametrize("number", [EventNumber.SENT, EventNumber.BEACON, 0x02, 0xC0])
def test_other_events_change_nothing(gate: SendGate, number: int) -> None:
    gate.on_event(number)
    assert not gate.is_renewing
    assert not gate.is_limited


def test_a_limit_is_told_when_it_begins_and_ends_however_often_the_dongle_says_so(
    gate: SendGate,
) -> None:
    with capture_logs() as logs:
        for number in (EventNumber.LIMIT_ON, EventNumber.LIMIT_OFF):
            for _ in range(100):
                gate.on_event(number)
    assert [(each["event"], each.get("fault")) for each in logs] == [
        ("transmission_limit", None),
        ("fault_ended", "transmission_limit"),
    ]
