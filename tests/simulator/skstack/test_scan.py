import re

import pytest
from simulator_bench import BP35A1, BROUTE_ID, BROUTE_PWD, DONGLE, METER, Bench

from kei.simulator.air.timing import Timing

REALISTIC = Timing.of(None, None, None)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("4", 4.6), ("5", 8.9), ("6", 17.5), ("7", 34.7), ("8", 69.1), ("A", 275.5)],
)
def test_a_scan_takes_as_long_as_the_formula_says(duration: str, seconds: float) -> None:
    bench = Bench(timing=REALISTIC)
    bench.type(f"SKSCAN 2 FFFFFFFF {duration} 0")
    assert bench.time_to("EVENT 22", 300) == pytest.approx(seconds, abs=0.1)


def test_the_time_of_a_scan_goes_with_its_channels() -> None:
    bench = Bench(timing=REALISTIC)
    bench.type("SKSCAN 2 00000003 6 0")
    assert bench.time_to("EVENT 22", 10) == pytest.approx(2 * 0.624, abs=0.01)


def test_a_scan_finds_the_meter_before_its_end() -> None:
    bench = Bench(timing=REALISTIC)
    bench.type("SKSCAN 2 FFFFFFFF 6 0")
    hit = bench.time_to("EPANDESC", 20)
    assert 1.7 < hit < 16.7
    assert bench.time_to("EVENT 22", 20) == pytest.approx(17.5 - hit, abs=0.1)


def test_a_scan_without_the_meters_channel_finds_nothing() -> None:
    assert "EPANDESC" not in Bench().type("SKSCAN 2 FFFFFFFE 6 0")
    assert "EPANDESC" in Bench().type("SKSCAN 2 00000001 6 0")


def test_a_scan_on_the_home_side_finds_nothing() -> None:
    assert "EPANDESC" not in Bench().type("SKSCAN 2 FFFFFFFF 6 1")


def test_a_scan_for_anybody_needs_no_pairing_id_and_shows_none() -> None:
    said = Bench().type("SKSREG SA 00000000", "SKSCAN 3 FFFFFFFF 6 0")
    assert "EPANDESC" in said
    assert "PairID" not in said


def test_an_energy_scan_lists_the_channels() -> None:
    said = Bench().type("SKSCAN 0 00000007 4 0")
    assert re.search(rf"EVENT 1F {DONGLE} 0\nEEDSCAN\n0 21 0\d 22 0\d 23 0\d\n$", said)
    said = Bench(BP35A1).type("SKSCAN 0 00000001 4")
    assert re.search(rf"EVENT 1F {DONGLE}\nEEDSCAN\n21 0\d\n\n$", said)


def test_a_scan_leaves_other_commands_free_but_not_the_radio() -> None:
    bench = Bench(timing=Timing.of(0.0, 10.0, 0.0))
    bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}", "SKSCAN 2 FFFFFFFF 6 0")
    assert bench.type("SKVER").endswith("OK\n")
    assert bench.type("SKSCAN 2 FFFFFFFF 7 0").endswith("OK\n")
    assert bench.type(f"SKJOIN {METER}").endswith("FAIL ER10\n")
    assert bench.wait(60).count("EVENT 22") == 1


def test_a_reset_ends_a_scan_for_good() -> None:
    bench = Bench(timing=Timing.of(0.0, 10.0, 0.0))
    bench.type("SKSCAN 2 FFFFFFFF 6 0", "SKRESET")
    assert bench.wait(60) == ""
    assert "EVENT 22" in bench.type("SKSCAN 2 FFFFFFFF 6 0") + bench.wait(10)
