"""When jobs run: aligned, once after a jump of the clock, and at the ends of windows."""

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger
from fakes import TOKYO
from hypothesis import given
from hypothesis import strategies as st

from kei.jobs.triggers import EPOCH, AlignedInterval, window_ends

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=TOKYO)
_moments = st.datetimes(
    datetime(2001, 1, 1),
    datetime(2099, 1, 1),
    timezones=st.just(UTC),
)


@given(_moments, st.sampled_from([0.5, 1.0, 7.0, 10.0, 60.0, 300.0, 3600.0, 86400.0]))
def test_the_first_run_is_aligned_to_the_cycle_in_epoch_time(now: datetime, cycle_s: float) -> None:
    fire = AlignedInterval(cycle_s).get_next_fire_time(None, now)
    assert fire is not None
    assert now <= fire < now + timedelta(seconds=cycle_s)
    assert (fire - EPOCH) % timedelta(seconds=cycle_s) == timedelta(0)


def test_a_run_is_followed_by_the_next_of_the_cycle() -> None:
    trigger = AlignedInterval(10)
    assert trigger.get_next_fire_time(NOON, NOON) == NOON + timedelta(seconds=10)


def test_a_run_out_of_turn_does_not_shift_the_cycle() -> None:
    trigger = AlignedInterval(10)
    odd = NOON + timedelta(seconds=3)
    assert trigger.get_next_fire_time(odd, odd) == NOON + timedelta(seconds=10)


def test_a_clock_set_forward_by_a_year_does_not_list_the_missed_runs() -> None:
    later = NOON + timedelta(days=365, seconds=4)
    assert AlignedInterval(10).get_next_fire_time(NOON, later) == later + timedelta(seconds=6)


@pytest.mark.parametrize("cycle_s", [1, 10, 60, 90, 600, 1800, 3600, 5400, 7200, 86400])
def test_every_end_of_a_window_is_followed_by_a_run_within_the_delay(cycle_s: int) -> None:
    trigger = window_ends(cycle_s, TOKYO, 3)
    assert isinstance(trigger, CronTrigger)
    midnight = NOON.replace(hour=0)
    for number in (1, 2, 3, 86400 // cycle_s):
        end = midnight + timedelta(seconds=number * cycle_s)
        fire = trigger.get_next_fire_time(None, end)
        assert end <= fire <= end + timedelta(seconds=3)
