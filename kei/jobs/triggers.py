"""When jobs run: APScheduler triggers that stay aligned and never build lists of missed runs."""

from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from kei.core.clock import epoch_ms
from kei.jobs.kinds import AfterWindows, Every, Schedule
from kei.store.summaries import window_around

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def trigger_of(schedule: Schedule, zone: tzinfo) -> BaseTrigger:
    """Return the trigger of a schedule, in a local time zone."""
    match schedule:
        case Every(cycle_s):
            return EveryTrigger(cycle_s)
        case AfterWindows(cycle_s, delay_s):
            return AfterWindowsTrigger(cycle_s, zone, delay_s)


class EveryTrigger(IntervalTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """An interval that is aligned to the cycle in epoch time: 10 s fires at :00, :10, :20.

    Unlike its base it counts from the present instead of from the previous run. So a run that
    was asked for out of turn does not shift the later ones, and a clock that was set forward by
    a year does not make the scheduler list every run that it missed.
    """

    def __init__(self, cycle_s: float) -> None:
        super().__init__(seconds=cycle_s, start_date=EPOCH, timezone=UTC)
        self._cycle = timedelta(seconds=cycle_s)

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first aligned instant not before `now` and after the previous run."""
        since = now.astimezone(UTC) - EPOCH
        fire = EPOCH + -(-since // self._cycle) * self._cycle
        if previous_fire_time is not None and fire <= previous_fire_time <= now:
            fire += self._cycle
        return fire


class AfterWindowsTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires so long after each window of the local day has begun, and the one before has ended.

    Like `EveryTrigger`, and unlike APScheduler's cron, it counts from the present.

    Args:
        cycle_s: length of a window in seconds, a divisor of a day.
        zone: local time, to whose midnight the windows are aligned.
        delay_s: seconds after the start of the window.
    """

    def __init__(self, cycle_s: int, zone: tzinfo, delay_s: int) -> None:
        self._cycle_s = cycle_s
        self._zone = zone
        self._delay_ms = delay_s * 1000

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first instant not before `now` and after the previous run, in UTC."""
        fire_ms = self._at_or_after(-(-(now - EPOCH) // MILLISECOND))
        if previous_fire_time is not None:
            previous_ms = epoch_ms(previous_fire_time)
            if fire_ms <= previous_ms <= epoch_ms(now):
                fire_ms = self._at_or_after(previous_ms + 1)
        return EPOCH + fire_ms * MILLISECOND

    def _at_or_after(self, time_ms: int) -> int:
        before_ms = time_ms - self._delay_ms - 1
        _, end_ms = window_around(before_ms, self._zone, self._cycle_s)
        return end_ms + self._delay_ms
