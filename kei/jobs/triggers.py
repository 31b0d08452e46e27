"""When jobs run: APScheduler triggers that stay aligned and never build lists of missed runs."""

import math
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AlignedInterval(IntervalTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
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


def window_ends(cycle_s: int, zone: tzinfo, delay_s: int) -> CronTrigger:
    """Return a cron trigger that fires shortly after each window of the day has ended.

    Where cron cannot say the cycle itself (5400 s), it fires at every common part of it; the
    job finds nothing to do at the instants in between.

    Args:
        cycle_s: length of a window in seconds, a divisor of a day.
        zone: local time, to whose midnight the windows are aligned.
        delay_s: seconds after the end, 0..59, for readings that are still on their way.
    """
    if cycle_s % 60:
        step = math.gcd(cycle_s, 60)
        return CronTrigger(second=f"{delay_s % step}/{step}", timezone=zone)
    if cycle_s % 3600:
        step = math.gcd(cycle_s, 3600) // 60
        return CronTrigger(minute=f"*/{step}", second=delay_s, timezone=zone)
    step = math.gcd(cycle_s, 86400) // 3600
    hours = ",".join(str(hour) for hour in range(0, 24, step))
    return CronTrigger(hour=hours, minute=0, second=delay_s, timezone=zone)
