"""When a clock is likely to be wrong."""

from datetime import UTC, datetime, time, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei import RELEASED
from kei.core.clock import epoch_ms
from kei.timekeeping.linux import ClockSources
from kei.timekeeping.monitor import likely_wrong

RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))
NOW_MS = RELEASED_MS + timedelta(days=100) // timedelta(milliseconds=1)
RASPBERRY = ClockSources(battery_clock=False, time_service=True)
DESKTOP = ClockSources(battery_clock=True, time_service=True)
CONTAINER = ClockSources(battery_clock=False, time_service=False)
wrong_if = partial(
    likely_wrong, synchronised=False, sources=DESKTOP, now_ms=NOW_MS, newest_ms=NOW_MS - 1000
)


@pytest.mark.parametrize(
    ("sources", "wrong"), [(RASPBERRY, True), (DESKTOP, False), (CONTAINER, False)]
)
def test_without_a_battery_a_clock_that_will_be_set_is_not_believed(
    sources: ClockSources, *, wrong: bool
) -> None:
    assert wrong_if(sources=sources) is wrong


@pytest.mark.parametrize("sources", [RASPBERRY, DESKTOP, CONTAINER])
def test_a_time_that_has_passed_is_not_believed(sources: ClockSources) -> None:
    assert wrong_if(sources=sources, newest_ms=NOW_MS + 1)
    assert wrong_if(sources=sources, now_ms=RELEASED_MS - 1, newest_ms=None)


def test_the_first_start_of_all_has_nothing_to_compare_with() -> None:
    assert not wrong_if(newest_ms=None)
    assert not wrong_if(now_ms=RELEASED_MS, newest_ms=None)


@given(st.builds(ClockSources), st.integers(), st.none() | st.integers())
def test_a_synchronised_clock_is_always_believed(
    sources: ClockSources, now_ms: int, newest_ms: int | None
) -> None:
    assert not likely_wrong(synchronised=True, sources=sources, now_ms=now_ms, newest_ms=newest_ms)
