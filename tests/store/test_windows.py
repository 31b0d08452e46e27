"""Where windows begin and end, also on days when the clock is changed."""

from datetime import UTC, datetime, tzinfo
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO
from hypothesis import given
from hypothesis import strategies as st

from kei.core.clock import epoch_ms, local
from kei.store.summaries import window_around

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
YEARS = (epoch_ms(datetime(1980, 1, 1, tzinfo=UTC)), epoch_ms(datetime(2035, 1, 1, tzinfo=UTC)))
ZONES = [
    "Asia/Tokyo",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Havana",  # goes back over midnight
    "America/Goose_Bay",  # changed at 00:01
    "America/Sao_Paulo",  # went forward at midnight
    "Pacific/Apia",  # left a day out
    "Asia/Kathmandu",
]
CYCLES = [60, 600, 900, 3600, 5400, 21_600, 86_400]


def windows(day: datetime, zone: tzinfo, cycle_s: int) -> list[tuple[str, float]]:
    """Local start and length in hours of every window that begins on a day."""
    found = []
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    start = epoch_ms(midnight)
    while local(start, zone).date() == midnight.date():
        begin, end = window_around(start, zone, cycle_s)
        assert begin == start
        found.append((f"{local(begin, zone):%H:%M%z}", (end - begin) / HOUR_MS))
        start = end
    return found


@cache
def clock_changes(name: str) -> list[int]:
    """Instants at most six hours after each change of a zone's clock."""
    zone = ZoneInfo(name)
    offsets = ((at, local(at, zone).utcoffset()) for at in range(*YEARS, 6 * HOUR_MS))
    return [at for (_, before), (at, now) in pairwise(offsets) if before != now]


@given(st.sampled_from(ZONES), st.sampled_from(CYCLES), st.integers(*YEARS))
def test_a_window_holds_its_instant_and_touches_its_neighbours(
    name: str, cycle_s: int, time_ms: int
) -> None:
    zone = ZoneInfo(name)
    start, end = window_around(time_ms, zone, cycle_s)
    assert start <= time_ms < end
    assert window_around(start, zone, cycle_s) == (start, end)
    assert window_around(end - 1, zone, cycle_s) == (start, end)
    assert window_around(end, zone, cycle_s)[0] == end


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("cycle_s", [600, 3600, 21_600, 86_400])
def test_windows_follow_each_other_without_gap_around_every_change(name: str, cycle_s: int) -> None:
    zone = ZoneInfo(name)
    for change in clock_changes(name):
        first = change - 24 * HOUR_MS
        _, end = window_around(first, zone, cycle_s)
        while end < change + 24 * HOUR_MS:
            following = window_around(end, zone, cycle_s)
            assert following[0] == end
            assert following[1] > end
            end = following[1]


@given(st.integers(*YEARS), st.sampled_from(CYCLES))
def test_without_clock_changes_every_window_is_a_cycle_long(time_ms: int, cycle_s: int) -> None:
    start, end = window_around(time_ms, TOKYO, cycle_s)
    midnight = local(start, TOKYO).replace(hour=0, minute=0, second=0, microsecond=0)
    assert end - start == cycle_s * 1000
    assert (start - epoch_ms(midnight)) % (cycle_s * 1000) == 0


def test_the_repeated_hour_has_windows_of_its_own() -> None:
    found = windows(datetime(2026, 10, 25, tzinfo=UTC), BERLIN, 3600)
    assert len(found) == 25
    assert found[2:4] == [("02:00+0200", 1.0), ("02:00+0100", 1.0)]


def test_the_hour_that_is_left_out_has_no_windows() -> None:
    found = windows(datetime(2026, 3, 29, tzinfo=UTC), BERLIN, 600)
    assert len(found) == 23 * 6
    assert [start for start, _ in found[11:13]] == ["01:50+0100", "03:00+0200"]


def test_long_windows_stay_aligned_when_the_clock_goes_back() -> None:
    found = windows(datetime(2026, 10, 25, tzinfo=UTC), BERLIN, 21_600)
    assert found == [("00:00+0200", 7), ("06:00+0100", 6), ("12:00+0100", 6), ("18:00+0100", 6)]


def test_long_windows_stay_aligned_when_the_clock_goes_forward() -> None:
    found = windows(datetime(2026, 3, 29, tzinfo=UTC), BERLIN, 21_600)
    assert found == [("00:00+0100", 5), ("06:00+0200", 6), ("12:00+0200", 6), ("18:00+0200", 6)]


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_a_day_is_one_window_however_long_it_is(day: tuple[int, int, int], hours: int) -> None:
    found = windows(datetime(*day, tzinfo=UTC), BERLIN, 86_400)
    assert [length for _, length in found] == [hours]


def test_a_day_without_midnight_begins_with_its_first_instant() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    one_o_clock = epoch_ms(datetime(2018, 11, 4, 1, tzinfo=zone))
    start, end = window_around(one_o_clock + 5 * HOUR_MS, zone, 86_400)
    assert (start, end - start) == (one_o_clock, 23 * HOUR_MS)


def test_a_midnight_that_comes_twice_begins_one_day() -> None:
    zone = ZoneInfo("America/Havana")
    midnight = epoch_ms(datetime(2026, 11, 1, tzinfo=zone))
    start, end = window_around(midnight + 90 * MINUTE_MS, zone, 86_400)
    assert (start, end - start) == (midnight, 25 * HOUR_MS)
