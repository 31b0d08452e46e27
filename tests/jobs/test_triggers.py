"""When jobs run: aligned, once after a jump of the clock, and at the ends of windows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.base import BaseTrigger
from fakes import TOKYO
from hypothesis import given
from hypothesis import strategies as st

from kei.jobs.kinds import AfterWindows, Every
from kei.jobs.triggers import EPOCH, ScheduleTrigger

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=TOKYO)
_moments = st.datetimes(
    datetime(2001, 1, 1),
    datetime(2099, 1, 1),
    timezones=st.just(UTC),
)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(_moments, st.sampled_from([0.5, 1.0, 7.0, 10.0, 60.0, 300.0, 3600.0, 86400.0]))
def test_the_first_run_is_aligned_to_the_cycle_in_epoch_time(now: datetime, cycle_s: float) -> None:
    fire = ScheduleTrigger(Every(cycle_s), UTC).get_next_fire_time(None, now)
    assert fire is not None
    assert now <= fire < now + timedelta(seconds=cycle_s)
    assert (fire - EPOCH) % timedelta(seconds=cycle_s) == timedelta(0)


@given(_moments, st.floats(0, 30))
def test_a_late_run_keeps_its_distance_from_the_cycle(now: datetime, late_s: float) -> None:
    trigger = ScheduleTrigger(Every(60), UTC, late_s)
    first = trigger.get_next_fire_time(None, now)
    assert now <= first < now + timedelta(seconds=60)
    assert (first - EPOCH) % timedelta(seconds=60) == timedelta(seconds=late_s)
    assert trigger.get_next_fire_time(first, first) == first + timedelta(seconds=60)


def test_a_run_is_followed_by_the_next_of_the_cycle() -> None:
    trigger = ScheduleTrigger(Every(10), UTC)
    assert trigger.get_next_fire_time(NOON, NOON) == NOON + timedelta(seconds=10)


def test_a_run_out_of_turn_does_not_shift_the_cycle() -> None:
    trigger = ScheduleTrigger(Every(10), UTC)
    odd = NOON + timedelta(seconds=3)
    assert trigger.get_next_fire_time(odd, odd) == NOON + timedelta(seconds=10)


def test_a_clock_set_forward_by_a_year_does_not_list_the_missed_runs() -> None:
    later = NOON + timedelta(days=365, seconds=4)
    assert ScheduleTrigger(Every(10), UTC).get_next_fire_time(NOON, later) == later + timedelta(
        seconds=6
    )


@pytest.mark.usefixtures("unmeasured")  # a property
@given(_moments, _moments, st.sampled_from([1.0, 10.0, 3600.0]))
def test_a_step_in_either_direction_leaves_one_run_at_most_to_make_up_for(
    before: datetime, after: datetime, cycle_s: float
) -> None:
    trigger = ScheduleTrigger(Every(cycle_s), UTC)
    assert len(run_times(trigger, trigger.get_next_fire_time(None, before), after)) <= 2


@pytest.mark.usefixtures("unmeasured")  # a property
@given(_moments, _moments, st.sampled_from([600, 5400, 86400]), st.sampled_from([0, 3, 11820]))
def test_a_step_in_either_direction_leaves_one_window_at_most_to_make_up_for(
    before: datetime, after: datetime, cycle_s: int, delay_s: int
) -> None:
    trigger = ScheduleTrigger(AfterWindows(cycle_s, delay_s), TOKYO)
    assert len(run_times(trigger, trigger.get_next_fire_time(None, before), after)) <= 2


def run_times(trigger: BaseTrigger, first: datetime | None, now: datetime) -> list[datetime]:
    """What APScheduler makes a list of before it runs the last of them."""
    times: list[datetime] = []
    following = first
    while following is not None and following <= now:
        times.append(following)
        assert len(times) < 10, "a list of missed runs"
        following = trigger.get_next_fire_time(following, now)
    return times


@pytest.mark.parametrize("cycle_s", [1, 10, 60, 90, 600, 1800, 3600, 5400, 7200, 86400])
def test_every_end_of_a_window_is_followed_by_a_run_after_the_delay(cycle_s: int) -> None:
    trigger = ScheduleTrigger(AfterWindows(cycle_s, 3), TOKYO)
    midnight = NOON.replace(hour=0)
    previous = None
    for number in range(86400 // cycle_s - 3, 86400 // cycle_s + 1):
        due = midnight + timedelta(seconds=number * cycle_s + 3)
        assert trigger.get_next_fire_time(previous, due) == due
        previous = due


def test_a_window_that_was_run_for_is_not_run_for_again_in_the_same_moment() -> None:
    trigger = ScheduleTrigger(AfterWindows(600, 3), TOKYO)
    due = NOON + timedelta(seconds=3)
    assert trigger.get_next_fire_time(due, due) == due + timedelta(seconds=600)
    assert trigger.get_next_fire_time(due, due + timedelta(days=365)) == due + timedelta(days=365)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(_moments, st.sampled_from([300, 600, 5400, 86400]), st.integers(0, 90))
def test_the_next_run_is_never_in_the_past_and_at_most_a_cycle_away(
    now: datetime, cycle_s: int, delay_s: int
) -> None:
    fire = ScheduleTrigger(AfterWindows(cycle_s, delay_s), TOKYO).get_next_fire_time(None, now)
    assert fire is not None
    assert timedelta(0) <= fire - now <= timedelta(seconds=cycle_s)


@pytest.mark.parametrize(
    ("begin", "hours"),
    [
        (datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN), ["01", "03", "04", "05"]),
        (datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN), ["01", "02", "02", "03"]),
    ],
)
def test_windows_follow_local_time_over_a_clock_change(begin: datetime, hours: list[str]) -> None:
    trigger = ScheduleTrigger(AfterWindows(3600, 3), BERLIN)
    previous, now, seen = None, begin, []
    for _ in hours:
        previous = trigger.get_next_fire_time(previous, now)
        assert previous is not None
        now = previous
        seen.append(f"{previous.astimezone(BERLIN):%H}")
    assert seen == hours


def test_a_day_has_one_run_also_when_the_clock_changes() -> None:
    trigger = ScheduleTrigger(AfterWindows(86400, 11820), BERLIN)
    now = datetime(2026, 10, 23, 12, tzinfo=BERLIN)
    runs = []
    for _ in range(4):
        now = trigger.get_next_fire_time(now, now)
        runs.append(f"{now.astimezone(BERLIN):%m-%d %H:%M}")
    assert runs == ["10-24 03:17", "10-25 02:17", "10-26 03:17", "10-27 03:17"]
