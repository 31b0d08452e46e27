"""The meter's own clock: when it is asked for, and what is told when it is off."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from stored import RIGHT, ConstantMonitor
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.echonet.meter_class import METER_ZONE
from kei.meter.meter_clock import MeterClock
from kei.timekeeping.monitor import ClockStatus

MAP = frozenset({0x97, 0x98, 0x9F, 0xE7})
NOW = datetime.fromisoformat("2026-11-23T10:10:30+09:00")
UNSET = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=False))
HOUR_S, DAY_S = 3600, 86_400


def shown(moment: datetime) -> dict[int, bytes]:
    at = moment.astimezone(METER_ZONE)
    date = at.year.to_bytes(2, "big") + bytes((at.month, at.day))
    return {0x98: date, 0x97: bytes((at.hour, at.minute))}


@dataclass
class Trust:
    """A monitor that changes its mind."""

    status: ClockStatus = UNSET.status


@dataclass
class Bench:
    trust: ConstantMonitor | Trust = RIGHT
    clock: FakeClock = field(default_factory=lambda: FakeClock(epoch_ms(NOW)))

    def __post_init__(self) -> None:
        self.meter_clock = MeterClock(self.clock, self.trust)
        self.meter_clock.joined()

    def due(self, at_once: int = 6) -> tuple[tuple[int, ...], ...]:
        return self.meter_clock.due(MAP, at_once)

    def is_ahead(self, seconds: float) -> None:
        at = datetime.fromtimestamp(self.clock.now_ms() / 1000 + seconds, METER_ZONE)
        self.meter_clock.take(shown(at))


def test_it_is_asked_once_after_each_join_and_once_a_day() -> None:
    bench = Bench()
    assert bench.due() == ((0x98, 0x97),)
    bench.is_ahead(0)
    assert bench.due() == ()
    bench.clock.advance(DAY_S - 1)
    assert bench.due() == ()
    bench.clock.advance(1)
    assert bench.due() == ((0x98, 0x97),)
    bench.is_ahead(0)
    bench.meter_clock.joined()
    assert bench.due() == ((0x98, 0x97),)


def test_without_an_answer_it_is_asked_again_after_an_hour() -> None:
    bench = Bench()
    assert bench.due()
    assert bench.due() == ()
    bench.clock.advance(HOUR_S)
    assert bench.due()


@pytest.mark.parametrize("readable", [None, MAP - {0x97}, MAP - {0x98}, frozenset[int]()])
def test_a_meter_that_may_not_have_it_is_not_asked(readable: frozenset[int] | None) -> None:
    bench = Bench()
    assert bench.meter_clock.due(readable, 6) == ()
    assert bench.due()  # it is as soon as the map is known


@pytest.mark.parametrize(
    ("ahead_s", "by"), [(345, "+6 min"), (-345, "-6 min"), (32_400, "+540 min")]
)
def test_a_clock_that_is_off_is_told_once(ahead_s: int, by: str) -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(3):
            bench.is_ahead(ahead_s)
            bench.due()
    assert [(e["event"], e["by"]) for e in logs] == [("meter_clock_differs", by)]
    assert logs[0]["hint"]


@pytest.mark.parametrize("ahead_s", [0, 270, -270])
def test_a_clock_that_is_right_within_five_minutes_is_not_told(ahead_s: int) -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.is_ahead(ahead_s)
    assert logs == []


def test_it_is_told_again_only_after_it_was_right() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for ahead_s in (600, 900, 0, 600):
            bench.is_ahead(ahead_s)
    expected = ["meter_clock_differs", "fault_ended", "meter_clock_differs"]
    assert [e["event"] for e in logs] == expected


def test_it_is_compared_as_soon_as_the_machines_clock_is_synchronised() -> None:
    trust = Trust()
    bench = Bench(trust)
    with capture_logs() as logs:
        bench.is_ahead(600)
        bench.due()
        assert logs == []
        trust.status = RIGHT.status
        bench.due()
    assert [e["event"] for e in logs] == ["meter_clock_differs"]


def test_a_machine_that_is_set_right_has_a_meter_that_is_right() -> None:
    trust = Trust()
    bench = Bench(trust)
    bench.is_ahead(-DAY_S)
    assert bench.meter_clock.status.ahead_s == pytest.approx(-DAY_S, abs=30)
    with capture_logs() as logs:
        bench.clock.wall_ms -= DAY_S * 1000
        trust.status = RIGHT.status
        bench.due()
    assert logs == []
    assert bench.meter_clock.status.ahead_s == pytest.approx(0, abs=30)


def test_a_meter_that_answers_one_property_at_a_time_is_asked_for_both() -> None:
    bench = Bench()
    date, minute = bench.due(at_once=1)
    properties = shown(NOW + timedelta(hours=1))
    with capture_logs() as logs:
        for (epc,) in (date, minute):
            bench.meter_clock.take({epc: properties[epc]})
    assert [e["event"] for e in logs] == ["meter_clock_differs"]


def test_a_date_of_before_midnight_does_not_make_the_clock_wrong() -> None:
    bench = Bench()
    before, after = shown(NOW), shown(NOW.replace(hour=0, minute=0) + timedelta(days=1))
    with capture_logs() as logs:
        bench.meter_clock.take({0x98: before[0x98]})
        bench.meter_clock.take({0x97: after[0x97]})
    assert logs == []
    bench.clock.advance(61)
    bench.meter_clock.take({0x97: before[0x97]})  # of another day, perhaps
    assert bench.meter_clock.status.ahead_s is None


@given(st.dictionaries(st.sampled_from([0x97, 0x98, 0x9F]), st.binary(max_size=8)))
def test_any_data_are_taken_or_told(properties: dict[int, bytes]) -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.meter_clock.take(properties)
    assert {e["event"] for e in logs} <= {"meter_clock_malformed", "meter_clock_differs"}
    assert bench.meter_clock.status.utc_offset == "+00:00"
