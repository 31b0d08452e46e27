"""The monitor: which changes of the clock it tells of, and to whom."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from programs import PATIENCE_S, wait_until
from structlog.testing import capture_logs

from kei.core.clock import SystemClock, offset_ms
from kei.timekeeping.linux import TIMESYNC_MARKER, LinuxClock, Timex
from kei.timekeeping.monitor import (
    CHECK_S,
    SOURCES_AGAIN_S,
    SOURCES_LIMIT_S,
    STEP_MS,
    ClockMonitor,
)

NOW_MS = 1_830_000_000_000  # 2027
YEAR_MS = 365 * 86_400_000


class Kernel:
    """The C library's `adjtimex`, of a kernel that knows as much as a test wants."""

    def __init__(self, *, synchronised: bool) -> None:
        self.synchronised = synchronised
        self.refuses = False

    def __call__(self, timex: Timex) -> int:
        timex.status = 0 if self.synchronised else 0x40
        timex.maxerror = 1000 if self.synchronised else 16_000_000
        return -1 if self.refuses else 0 if self.synchronised else 5


class Ear:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[int | str] = []

    def stepped(self, by_ms: int) -> None:
        self.heard.append(by_ms)

    def synchronised(self) -> None:
        self.heard.append("synchronised")


class Bench:
    """A monitor and all that it looks at."""

    def __init__(self, root: Path, *, synchronised: bool = False) -> None:
        self.root = root
        self.clock = FakeClock(NOW_MS)
        self.kernel = Kernel(synchronised=synchronised)
        self.ear = Ear()
        self.marked = 0
        self.monitor = self.another()

    def another(self, newest_ms: int | None = None) -> ClockMonitor:
        self.monitor = ClockMonitor(
            self.clock, LinuxClock(self.kernel, self.root), newest_ms=newest_ms
        )
        self.monitor.add_listener(self.ear)
        return self.monitor

    def mark(self) -> None:
        """Do what timesyncd does after it has set the clock."""
        marker = self.root / TIMESYNC_MARKER
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        self.marked += 1
        os.utime(marker, ns=(self.marked, self.marked))

    def pass_and_look(self, seconds: float = CHECK_S, *, step_ms: int = 0) -> list[int | str]:
        """What is heard at the next look."""
        self.clock.advance(seconds)
        self.clock.wall_ms += step_ms
        self.ear.heard.clear()
        self.monitor.check()
        return list(self.ear.heard)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("step_ms", [2001, 3_600_000, YEAR_MS, 10 * YEAR_MS])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_told_once(bench: Bench, step_ms: int, sign: int) -> None:
    with capture_logs() as logs:
        assert bench.pass_and_look(step_ms=sign * step_ms) == [sign * step_ms]
        assert bench.pass_and_look() == []
    by_s = sign * round(step_ms / 1000)
    assert logs == [{"event": "clock_stepped", "by_s": by_s, "log_level": "warning"}]


def test_a_clock_that_just_goes_on_is_no_news(bench: Bench) -> None:
    assert [bench.pass_and_look(seconds) for seconds in (0.5, 0.5, 3600, 86400)] == [[]] * 4


def test_what_is_set_in_small_pieces_adds_up(bench: Bench) -> None:
    heard = [bench.pass_and_look(60, step_ms=700) for _ in range(6)]
    assert heard == [[], [], [2100], [], [], [2100]]


def test_a_small_correction_and_its_contrary_are_no_step(bench: Bench) -> None:
    heard = [bench.pass_and_look(step_ms=step) for step in (1900, -1900, -1900, 1900)]
    assert heard == [[]] * 4


@pytest.mark.usefixtures("unmeasured")  # a property
@given(st.lists(st.integers(-5 * STEP_MS, 5 * STEP_MS), max_size=20))
def test_the_steps_that_are_told_sum_up_to_the_whole_change(pieces: list[int]) -> None:
    bench = Bench(Path("/nowhere"))
    told = [by for piece in pieces for by in bench.pass_and_look(step_ms=piece)]
    assert abs(sum(pieces) - sum(by for by in told if isinstance(by, int))) <= STEP_MS


def test_a_thread_that_was_held_up_between_the_clocks_sees_no_step(tmp_path: Path) -> None:
    class HeldUp(FakeClock):
        held_up = False

        def now_ms(self) -> int:
            if self.held_up:
                self.held_up = False
                self.advance(30)
            return super().now_ms()

    bench = Bench(tmp_path)
    clock = bench.clock = HeldUp(NOW_MS)
    bench.another()
    clock.held_up = True
    assert bench.pass_and_look() == []


def test_synchronisation_is_told_once(bench: Bench) -> None:
    assert not bench.monitor.status.synchronised
    bench.kernel.synchronised = True
    with capture_logs() as logs:
        assert bench.pass_and_look() == ["synchronised"]
        assert bench.pass_and_look() == []
    assert [entry["event"] for entry in logs] == ["clock_synchronised"]
    assert bench.monitor.status.synchronised


def test_a_clock_that_was_synchronised_before_the_start_is_told_at_the_first_look(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, synchronised=True)
    assert bench.monitor.status.synchronised
    assert bench.pass_and_look() == ["synchronised"]


def test_the_step_that_synchronises_is_told_before_the_synchronisation(bench: Bench) -> None:
    bench.kernel.synchronised = True
    assert bench.pass_and_look(step_ms=YEAR_MS) == [YEAR_MS, "synchronised"]


def test_the_marker_will_do_where_the_kernel_may_not_be_asked(bench: Bench) -> None:
    bench.kernel.refuses = True
    assert bench.pass_and_look() == []
    bench.mark()
    assert bench.pass_and_look() == ["synchronised"]
    assert bench.monitor.status.synchronised


def test_a_marker_from_before_a_step_says_nothing_of_the_time_after_it(bench: Bench) -> None:
    bench.kernel.refuses = True
    bench.mark()
    bench.monitor.check()
    assert bench.pass_and_look(step_ms=YEAR_MS) == [YEAR_MS]
    assert not bench.monitor.status.synchronised
    bench.mark()
    assert bench.pass_and_look() == ["synchronised"]


def test_a_step_of_the_time_service_itself_leaves_the_clock_trusted(bench: Bench) -> None:
    bench.kernel.refuses = True
    bench.mark()
    bench.monitor.check()
    bench.mark()
    assert bench.pass_and_look(step_ms=YEAR_MS) == [YEAR_MS]
    assert bench.monitor.status.synchronised


def test_a_step_takes_the_trust_away_before_it_is_looked_at(tmp_path: Path) -> None:
    bench = Bench(tmp_path, synchronised=True)
    bench.monitor.check()
    bench.clock.wall_ms += YEAR_MS
    assert not bench.monitor.status.synchronised


def test_a_network_that_is_away_for_long_does_not_take_the_trust_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path, synchronised=True)
    bench.monitor.check()
    bench.kernel.synchronised = False
    assert bench.pass_and_look(86_400) == []
    assert bench.monitor.status.synchronised


def test_a_clock_that_is_set_by_hand_is_no_longer_trusted_until_it_is_synchronised_again(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, synchronised=True)
    bench.mark()
    bench.monitor.check()
    bench.kernel.synchronised = False
    assert bench.pass_and_look(step_ms=YEAR_MS) == [YEAR_MS]
    assert bench.pass_and_look() == []
    assert not bench.monitor.status.synchronised
    bench.kernel.synchronised = True
    assert bench.pass_and_look(step_ms=-YEAR_MS) == [-YEAR_MS, "synchronised"]


def test_a_listener_that_fails_keeps_nobody_else_from_hearing(bench: Bench) -> None:
    class Failing:
        def stepped(self, by_ms: int) -> None:
            raise RuntimeError(f"boo {by_ms}")

        def synchronised(self) -> None:
            raise RuntimeError("boo")

    monitor = ClockMonitor(bench.clock, LinuxClock(bench.kernel, bench.root), newest_ms=None)
    monitor.add_listener(Failing())
    monitor.add_listener(bench.ear)
    bench.monitor = monitor
    bench.kernel.synchronised = True
    with capture_logs() as logs:
        assert bench.pass_and_look(step_ms=YEAR_MS) == [YEAR_MS, "synchronised"]
    failed = [entry for entry in logs if entry["event"] == "clock_listener_failed"]
    assert [entry["listener"] for entry in failed] == ["Failing", "Failing"]


def test_the_offset_is_wall_clock_minus_monotonic_time(bench: Bench) -> None:
    assert offset_ms(bench.clock) == NOW_MS - 1_000_000
    bench.pass_and_look(step_ms=5000)
    assert offset_ms(bench.clock) == NOW_MS - 1_000_000 + 5000


def test_a_clock_behind_the_newest_record_is_likely_wrong_until_it_is_set(bench: Bench) -> None:
    monitor = bench.another(newest_ms=NOW_MS + 60_000)
    assert monitor.status.likely_wrong
    bench.pass_and_look(step_ms=120_000)
    assert not monitor.status.likely_wrong


def test_a_time_service_that_starts_after_kei_is_noticed(bench: Bench) -> None:
    assert not bench.monitor.status.likely_wrong
    (bench.root / "run/chrony").mkdir(parents=True)
    bench.pass_and_look(SOURCES_AGAIN_S / 2)
    assert not bench.monitor.status.likely_wrong
    bench.pass_and_look(SOURCES_AGAIN_S / 2)
    assert bench.monitor.status.likely_wrong


def test_after_a_while_a_new_time_service_is_no_reason_to_doubt(bench: Bench) -> None:
    (bench.root / "run/chrony").mkdir(parents=True)
    bench.pass_and_look(SOURCES_LIMIT_S)
    assert not bench.monitor.status.likely_wrong


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Bench, threading.Thread]]:
    bench = Bench(tmp_path)
    bench.clock.wait_s = lambda seconds: seconds / 50  # type: ignore[method-assign]
    thread = threading.Thread(target=bench.monitor.run, daemon=True)
    thread.start()
    yield bench, thread
    bench.monitor.stop()
    thread.join(PATIENCE_S)


def test_its_thread_looks_again_and_again_and_ends_when_it_is_stopped(
    running: tuple[Bench, threading.Thread],
) -> None:
    bench, thread = running
    for step_ms in (YEAR_MS, -YEAR_MS):
        bench.clock.wall_ms += step_ms
        wait_until(lambda by=step_ms: bench.ear.heard[-1:] == [by], 5, "the step")  # type: ignore[misc]
    bench.monitor.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_machines_own_clock_does_not_step_by_being_looked_at() -> None:
    monitor = ClockMonitor(SystemClock(), LinuxClock(None, Path("/nowhere")), newest_ms=None)
    ear = Ear()
    monitor.add_listener(ear)
    for _ in range(1000):
        monitor.check()
    assert ear.heard == []
