"""Incidents that repeat are said once, counted, and summed up."""

import structlog
from fakes import FakeClock
from structlog.testing import LogCapture

from kei.core.incidents import Incidents, Lasting


def faults() -> tuple[Incidents, FakeClock, LogCapture]:
    clock, capture = FakeClock(), LogCapture()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[capture], wrapper_class=structlog.stdlib.BoundLogger
    )
    return Incidents(logger, clock), clock, capture


def test_a_repeating_fault_is_told_once() -> None:
    present, _, capture = faults()
    for _ in range(5):
        present.raised("port_lost", reason="unplugged")
    assert [e["event"] for e in capture.entries] == ["port_lost"]


def test_the_end_of_a_fault_tells_its_count_and_duration() -> None:
    present, clock, capture = faults()
    for _ in range(5):
        present.raised("port_lost", reason="unplugged")
        clock.advance(2)
    present.ended("port_lost")
    last = capture.entries[-1]
    assert (last["event"], last["fault"]) == ("fault_ended", "port_lost")
    assert (last["count"], last["duration_s"]) == (5, 10.0)


def test_a_fault_that_was_not_there_does_not_end() -> None:
    present, _, capture = faults()
    present.ended("port_lost")
    assert capture.entries == []


def test_faults_of_different_keys_are_told_separately() -> None:
    present, _, capture = faults()
    present.raised("no_value", key="E8T", sensor="E8T")
    present.raised("no_value", key="E0", sensor="E0")
    present.ended("no_value", key="E0")
    assert [e["sensor"] for e in capture.entries] == ["E8T", "E0", "E0"]


def test_the_latest_fault_is_the_one_that_happened_last_with_its_present_cause() -> None:
    present, clock, _ = faults()
    assert present.latest() is None
    present.raised("port_lost", reason="unplugged")
    clock.advance(5)
    present.raised("session_lost")
    present.raised("port_lost", reason="no such device")
    clock.advance(2)
    assert present.latest() == Lasting("port_lost", "no such device", since_s=7.0, last_s=2.0)
    assert str(present.latest()) == "port_lost: no such device"
    present.ended("port_lost")
    assert str(present.latest()) == "session_lost"
