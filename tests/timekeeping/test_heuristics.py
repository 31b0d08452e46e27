"""When a clock is likely to be wrong."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei import RELEASED
from kei.core.clock import epoch_ms
from kei.timekeeping.heuristics import Evidence, likely_wrong
from kei.timekeeping.linux import Hardware

RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))
NOW_MS = RELEASED_MS + timedelta(days=100) // timedelta(milliseconds=1)
RASPBERRY = Hardware(battery_clock=False, time_service=True)
DESKTOP = Hardware(battery_clock=True, time_service=True)
CONTAINER = Hardware(battery_clock=False, time_service=False)
FINE = Evidence(synchronised=False, hardware=DESKTOP, now_ms=NOW_MS, newest_ms=NOW_MS - 1000)


@pytest.mark.parametrize(
    ("hardware", "wrong"), [(RASPBERRY, True), (DESKTOP, False), (CONTAINER, False)]
)
def test_without_a_battery_a_clock_that_will_be_set_is_not_believed(
    hardware: Hardware, *, wrong: bool
) -> None:
    assert likely_wrong(replace(FINE, hardware=hardware)) is wrong


@pytest.mark.parametrize("hardware", [RASPBERRY, DESKTOP, CONTAINER])
def test_a_time_that_has_passed_is_not_believed(hardware: Hardware) -> None:
    evidence = replace(FINE, hardware=hardware)
    assert likely_wrong(replace(evidence, newest_ms=NOW_MS + 1))
    assert likely_wrong(replace(evidence, now_ms=RELEASED_MS - 1, newest_ms=None))


def test_the_first_start_of_all_has_nothing_to_compare_with() -> None:
    assert not likely_wrong(replace(FINE, newest_ms=None))
    assert not likely_wrong(replace(FINE, now_ms=RELEASED_MS, newest_ms=None))


@given(
    st.builds(
        Evidence,
        synchronised=st.just(value=True),
        hardware=st.builds(Hardware),
        now_ms=st.integers(),
        newest_ms=st.none() | st.integers(),
    )
)
def test_a_synchronised_clock_is_always_believed(evidence: Evidence) -> None:
    assert not likely_wrong(evidence)
