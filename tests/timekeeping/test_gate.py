"""The time gate: what may be done by the clock, and which time is right."""

from dataclasses import dataclass

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from kei.core.clock import offset_ms
from kei.timekeeping.gate import STEADY_S, TimeGate, Trust
from kei.timekeeping.monitor import ClockStatus

NOW_MS = 1_830_000_000_000
YEAR_MS = 365 * 86_400_000


@dataclass
class Monitor:
    synchronised: bool = False
    likely_wrong: bool = False

    @property
    def status(self) -> ClockStatus:
        return ClockStatus(self.synchronised, self.likely_wrong)


class Bench:
    def __init__(self, *, synchronised: bool = False, likely_wrong: bool = False) -> None:
        self.clock = FakeClock(NOW_MS)
        self.monitor = Monitor(synchronised, likely_wrong)
        self.gate = TimeGate(self.clock, self.monitor, 120.0)

    @property
    def setting(self) -> int:
        return offset_ms(self.clock)

    def step(self, by_ms: int, *, synchronised: bool = False, likely_wrong: bool = False) -> None:
        self.clock.wall_ms += by_ms
        self.monitor.synchronised, self.monitor.likely_wrong = synchronised, likely_wrong
        self.gate.stepped()
        if synchronised:
            self.gate.synchronised()


WRONG, UNSURE, SURE = {"likely_wrong": True}, dict[str, bool](), {"synchronised": True}


@pytest.mark.parametrize(
    ("before", "after", "is_moved"),
    [
        (WRONG, WRONG, True),
        (WRONG, UNSURE, True),
        (WRONG, SURE, True),
        (UNSURE, UNSURE, False),
        (UNSURE, WRONG, False),
        (UNSURE, SURE, True),
        (SURE, WRONG, False),
        (SURE, SURE, False),
    ],
)
def test_a_time_is_given_up_only_for_a_better_one(
    before: dict[str, bool], after: dict[str, bool], *, is_moved: bool
) -> None:
    bench = Bench(**before)
    made_by = bench.setting
    bench.step(YEAR_MS, **after)
    assert bench.gate.view().best_offset_ms(made_by) == made_by + (YEAR_MS if is_moved else 0)


def test_what_was_kept_at_a_step_is_kept_for_good() -> None:
    bench = Bench()
    made_by = bench.setting
    bench.step(YEAR_MS)
    bench.step(YEAR_MS, synchronised=True)
    assert bench.gate.view().best_offset_ms(made_by) == made_by
    assert bench.gate.view().best_offset_ms(made_by + YEAR_MS) == made_by + 2 * YEAR_MS


def test_of_a_setting_that_nobody_knows_only_a_time_service_knows_better() -> None:
    for status, is_moved in ((UNSURE, False), (SURE, True)):
        bench = Bench(**status)
        unknown = bench.setting - YEAR_MS
        assert (bench.gate.view().best_offset_ms(unknown) == bench.setting) is is_moved
        assert bench.gate.view().best_offset_ms(unknown, Trust.WRONG) == bench.setting


def test_it_is_closed_while_a_wrong_clock_is_waited_for_and_not_for_ever() -> None:
    bench = Bench(likely_wrong=True)
    assert bench.gate.is_closed
    assert not bench.gate.is_steady
    closed = []
    with capture_logs() as logs:
        for seconds in (119, 1, 1):
            bench.clock.advance(seconds)
            bench.gate.look()
            closed.append(bench.gate.is_closed)
    assert closed == [True, False, False]
    assert [entry["event"] for entry in logs] == ["clock_not_set"]


@pytest.mark.parametrize("status", [UNSURE, SURE])
def test_it_opens_when_the_clock_is_set(status: dict[str, bool]) -> None:
    bench = Bench(likely_wrong=True)
    bench.step(YEAR_MS, **status)
    assert not bench.gate.is_closed


def test_a_step_closes_it_until_the_monitor_has_noticed() -> None:
    bench = Bench(synchronised=True)
    bench.clock.advance(7200)
    assert bench.gate.trusted_s == 7200
    bench.clock.wall_ms += 2 * YEAR_MS
    assert bench.gate.is_closed
    assert not bench.gate.is_steady
    assert bench.gate.trusted_s == 0
    bench.gate.synchronised()
    assert not bench.gate.is_closed


def test_who_sets_a_clock_that_a_time_service_kept_is_believed_after_a_minute() -> None:
    bench = Bench(synchronised=True)
    bench.step(10 * YEAR_MS)
    ahead = bench.setting
    closed = []
    for seconds in (0, STEADY_S - 1, 1):
        bench.clock.advance(seconds)
        bench.gate.look()
        closed.append(bench.gate.is_closed)
    assert closed == [True, True, False]
    bench.step(-10 * YEAR_MS)
    assert bench.gate.view().best_offset_ms(ahead) == ahead


@pytest.mark.parametrize("after", [UNSURE, SURE])
def test_a_clock_that_is_set_back_within_the_minute_has_timed_nothing(
    after: dict[str, bool],
) -> None:
    bench = Bench(synchronised=True)
    bench.step(10 * YEAR_MS)
    ahead = bench.setting
    bench.clock.advance(STEADY_S / 2)
    bench.gate.look()
    bench.step(-10 * YEAR_MS, **after)
    assert not bench.gate.is_closed
    assert bench.gate.view().best_offset_ms(ahead) == bench.setting


def test_after_a_step_without_a_time_service_no_window_is_over_for_a_minute() -> None:
    bench = Bench()
    bench.step(YEAR_MS)
    steady = []
    for seconds in (0, STEADY_S - 1, 1):
        bench.clock.advance(seconds)
        steady.append(bench.gate.is_steady)
    assert steady == [False, False, True]


def test_trust_begins_anew_with_each_step_and_with_the_end_of_doubt() -> None:
    bench = Bench(likely_wrong=True)
    bench.clock.advance(10_000)
    bench.gate.look()
    assert bench.gate.trusted_s == 0
    bench.monitor.synchronised, bench.monitor.likely_wrong = True, False
    bench.gate.synchronised()
    bench.clock.advance(30)
    assert bench.gate.trusted_s == 30
    bench.step(-YEAR_MS, synchronised=True)
    bench.clock.advance(5)
    assert bench.gate.trusted_s == 5
