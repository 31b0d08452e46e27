"""Schedules as triggers of APScheduler that stay aligned and never list missed runs."""

from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.base import BaseTrigger

from kei.jobs.kinds import AfterWindows, Every, Schedule
from kei.store.summaries import window_around

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class ScheduleTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires when a schedule says.

    Unlike APScheduler's own triggers it counts from the present instead of from the previous run.
    So a run out of turn does not shift the later ones, and a clock that was set forward by a year
    does not make the scheduler list every run that it missed.

    Args:
        schedule: when.
        zone: local time, to whose midnight windows are aligned.
        late_s: how much later than the schedule says, less than its cycle.

    Attributes:
        late: the same.
    """

    def __init__(self, schedule: Schedule, zone: tzinfo, late_s: float = 0.0) -> None:
        self._schedule = schedule
        self._zone = zone
        self.late = timedelta(seconds=late_s)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the first instant not before `now` and after the previous run, in UTC."""
        now = now.astimezone(UTC)
        fire = self._next(now)
        if previous_fire_time is not None:
            previous = previous_fire_time.astimezone(UTC)
            if fire <= previous <= now:
                fire = self._next(previous + timedelta.resolution)
        return fire

    def _next(self, moment: datetime) -> datetime:
        return self._at_or_after(moment - self.late) + self.late

    def _at_or_after(self, moment: datetime) -> datetime:
        match self._schedule:
            case Every(cycle_s):
                cycle = timedelta(seconds=cycle_s)
                return EPOCH + -(-(moment - EPOCH) // cycle) * cycle
            case AfterWindows(cycle_s, delay_s):
                delay_ms = delay_s * 1000
                time_ms = -(-(moment - EPOCH) // MILLISECOND)
                _, end_ms = window_around(time_ms - delay_ms - 1, self._zone, cycle_s)
                return EPOCH + (end_ms + delay_ms) * MILLISECOND
