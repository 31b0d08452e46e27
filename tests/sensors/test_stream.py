"""What arrives on a port becomes readings; the rest is counted and told at a limited rate."""

from decimal import Decimal

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from kei.core.reading import Reading
from kei.sensors.counters import LOG_EVERY_S, LineCounters
from kei.sensors.filters import SERIES_MAX
from kei.sensors.silence import LINES_MIN, Silence
from kei.sensors.stream import Stream
from kei.settings.serial import LineEnd, PortSettings, SensorSettings, SeriesCheck

PORT = "/dev/ttyACM0"
CHECK = SeriesCheck("A1", "T1", Decimal(-40), Decimal(85), Decimal(10))


class Rig:
    def __init__(self, stale_after_s: float | None = None) -> None:
        self.clock = FakeClock()
        self.counters = LineCounters(PORT, self.clock)
        self.silence = Silence(PORT, stale_after_s, [("A1", "T1")], self.clock)
        settings = SensorSettings(
            PORT, PortSettings(9600), "ascii", LineEnd.LF, stale_after_s, (CHECK,)
        )
        self.stream = Stream(settings, self.clock, self.counters, self.silence)
        self.stream.splitter.begin(within_a_line=False)

    def feed(self, *lines: str) -> list[Reading]:
        return self.stream.feed("".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_line_becomes_a_reading_of_the_moment_of_its_end(rig: Rig) -> None:
    assert rig.stream.feed(b"A1,T1,21.50") == []
    rig.clock.advance(2)
    assert rig.stream.feed(b",7\n") == [
        Reading(rig.clock.now_ms(), "A1", "T1", Decimal("21.50"), "7")
    ]


def test_where_there_is_no_data_id_it_runs_from_0_to_100(rig: Rig) -> None:
    readings = rig.feed(*["A1,H1,5"] * 103)
    assert [reading.data_id for reading in readings] == [*map(str, range(101)), "0", "1"]


def test_lines_are_counted_by_what_became_of_them(rig: Rig) -> None:
    rig.feed("A1,T1,20,1", "A1,T1,20,1", "A1,T1,99,2", "A1,T1,50,3", "A1,T1,nan", "boot", "A1,H1,5")
    accepted, rejected = rig.counters.counts()
    assert accepted == 2
    assert rejected == {"repeat": 1, "out_of_range": 1, "jump": 1, "value": 1, "fields": 1}


def test_blanks_and_tabs_round_fields_are_no_part_of_them(rig: Rig) -> None:
    (reading, other) = rig.feed("A1,T1,  7.25,3", "A1 ,T1,7.25\t, 3 ", " A1,\tH1 ,  -0.5  ")
    assert (reading.sensor, reading.value, reading.data_id) == ("T1", Decimal("7.25"), "3")
    assert (other.unit, other.sensor, other.value) == ("A1", "H1", Decimal("-0.5"))
    assert rig.counters.counts()[1] == {"repeat": 1}


def test_a_repeat_of_an_outlier_does_not_make_it_credible(rig: Rig) -> None:
    assert len(rig.feed("A1,T1,20,1", "A1,T1,50,2", "A1,T1,50,2", "A1,T1,50,2")) == 1


def test_each_reason_is_told_once_in_a_while_with_its_count(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.feed("boot 1", "boot 2", "A1,T1,x\x00")
        rig.clock.advance(LOG_EVERY_S - 1)
        rig.feed("boot 3")
        rig.clock.advance(1)
        rig.feed("boot 4")
    assert [(log["reason"], log["text"], log["count"]) for log in logs] == [
        ("fields", "boot 1", 1),
        ("characters", r"A1,T1,x\x00", 1),
        ("fields", "boot 4", 3),
    ]
    assert {log["event"] for log in logs} == {"line_rejected"}
    assert all(log["port"] == PORT and log["hint"] for log in logs)


def test_repeats_are_counted_but_not_told(rig: Rig) -> None:
    with capture_logs() as logs:
        rig.feed(*["A1,T1,20,1"] * 5)
    assert logs == []


def test_a_sensor_that_falls_silent_is_told_once_and_when_it_is_back() -> None:
    rig = Rig(stale_after_s=60)
    rig.feed(*["A1,T1,20", "A1,H1,50"] * LINES_MIN)
    with capture_logs() as logs:
        for _ in range(30):
            rig.clock.advance(5)
            rig.feed("A1,H1,50")
            rig.silence.check()
        assert rig.silence.silent() == (("A1", "T1"),)
        rig.feed("A1,T1,20")
    assert rig.silence.silent() == ()
    assert [log["event"] for log in logs] == ["sensor_silent", "fault_ended"]
    assert logs[0]["unit"] == "A1"
    assert logs[0]["sensor"] == "T1"


def test_a_sensor_with_a_check_is_waited_for_from_the_start() -> None:
    rig = Rig(stale_after_s=60)
    assert rig.silence.check() == 60
    rig.clock.advance(60)
    assert rig.silence.check() is None
    assert rig.silence.silent() == (("A1", "T1"),)


def test_a_sensor_whose_values_are_all_outliers_is_not_silent() -> None:
    rig = Rig(stale_after_s=60)
    for _ in range(20):
        rig.clock.advance(10)
        rig.feed("A1,T1,999")
        rig.silence.check()
    assert rig.silence.silent() == ()


def test_a_series_that_noise_has_made_up_is_not_waited_for() -> None:
    rig = Rig(stale_after_s=60)
    for _ in range(2 * SERIES_MAX):
        rig.feed("A1,T1,20")
    rig.feed(*["A1,xT1,20"] * (LINES_MIN - 1))
    rig.clock.advance(59)
    rig.feed("A1,T1,20")
    rig.clock.advance(30)
    rig.silence.check()
    assert rig.silence.silent() == ()


def test_ever_new_series_are_left_out_beyond_a_thousand_and_that_is_told_once(rig: Rig) -> None:
    with capture_logs() as logs:
        readings = rig.feed(*(f"A1,S{number},1" for number in range(SERIES_MAX + 500)))
        rig.clock.advance(LOG_EVERY_S + 1)
        readings += rig.feed("A1,S,1")
    assert len(readings) == SERIES_MAX - 1  # besides that of the check
    assert rig.counters.counts()[1] == {"too_many_series": 502}
    (told,) = logs
    assert told["reason"] == "too_many_series"
    assert "1000 series" in told["hint"]
    assert len(rig.feed("A1,S0,2", f"A1,S{SERIES_MAX - 2},2", "A1,T1,20")) == 3


def test_series_that_noise_makes_up_take_bounded_memory() -> None:
    rig = Rig(stale_after_s=60)
    with capture_logs():
        rig.feed(*(f"A1,S{n // LINES_MIN},1" for n in range(3 * LINES_MIN * SERIES_MAX)))
        rig.clock.advance(61)
        rig.silence.check()
    assert len(rig.silence.silent()) == SERIES_MAX


def test_a_reading_has_both_clocks_of_its_moment(rig: Rig) -> None:
    (reading,) = rig.feed("A1,T1,20.5,1")
    assert (reading.time_ms, reading.monotonic_ms) == (rig.clock.now_ms(), 1_000_000)
