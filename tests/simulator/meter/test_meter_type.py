"""Meters of other kinds: what they count in, what they lack, and what the newer ones can do."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulator_bench import SteadyHousehold

from kei.core.errors import ConfigError
from kei.echonet.frame import CONTROLLER, METER, Esv, Frame, Property, decode, property_map
from kei.echonet.meter_class import METER_ZONE, Scale
from kei.echonet.meter_class import decode as decode_value
from kei.simulator.build import build
from kei.simulator.household.adjustable import InstalledLoad
from kei.simulator.household.household import Household
from kei.simulator.household.profile import Energy
from kei.simulator.meter.meter import Meter
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import CounterSetup
from kei.simulator.options import SimulatorOptions, parse_sim_port

NOW = int(datetime(2024, 1, 15, 12, 34, 50, tzinfo=UTC).timestamp())
NO_DATA = b"\xff\xff\xff\xfe"
WS_PER_WH = 3600


class KnownHousehold(SteadyHousehold):
    """The registers of the published examples, one minute apart."""

    def energy(self, second: int) -> Energy:
        minutes = (second - NOW) // 60 + 1
        return Energy((10_934_951 + 9 * minutes) * WS_PER_WH, 4_230_812 * WS_PER_WH)


def meter_of(port: str = "") -> Meter:
    options = parse_sim_port(f"sim:{port}")
    return Meter(KnownHousehold(0), lambda: NOW, options.meter_type(NOW))


def get(meter: Meter, epc: int) -> tuple[Esv, bytes]:
    request = Frame(1, CONTROLLER, METER, Esv.GET, (Property(epc),))
    answer = meter.respond(request.encode())
    assert answer is not None
    frame = decode(answer)
    return frame.esv, frame.properties[0].edt


def value(meter: Meter, epc: int) -> str:
    esv, edt = get(meter, epc)
    assert esv is Esv.GET_RES
    return edt.hex().upper()


def put(meter: Meter, epc: int, edt: str) -> Esv:
    request = Frame(1, CONTROLLER, METER, Esv.SETC, (Property(epc, bytes.fromhex(edt)),))
    answer = meter.respond(request.encode())
    assert answer is not None
    return decode(answer).esv


def test_the_newer_meter_counts_finer_and_has_more() -> None:
    meter = meter_of("next-gen")
    assert value(meter, 0x9F) == "1D71414160404000624300414040434242"
    assert value(meter, 0x9E) == "0481E5EDEF"
    assert (value(meter, 0x82), value(meter, 0xE1), value(meter, 0xD7)) == ("00005200", "03", "08")
    assert value(meter, 0xC0) == "000000164B4549303030303030303031"
    assert value(meter, 0xD0) == "07E8010F0C220000A6DAA700408E9C"


def test_one_minute_segments_are_as_published() -> None:
    meter = meter_of("next-gen")
    assert value(meter, 0xEE) == "FFFFFFFFFFFF01FFFFFFFEFFFFFFFE"
    assert put(meter, 0xEF, "07E8010F0C2202") is Esv.SET_RES
    assert value(meter, 0xEE) == "07E8010F0C220200A6DAA700408E9C00A6DA9E00408E9C"


@pytest.mark.parametrize("selector", ["07E8010F0C220B", "07E8010F0C2200", "07E8010F0C3C01", "00"])
def test_a_selection_of_minutes_that_cannot_be_is_refused(selector: str) -> None:
    assert put(meter_of("next-gen"), 0xEF, selector) is Esv.SETC_SNA


@pytest.mark.parametrize("epc", [0xC0, 0xD0, 0xEE, 0xEF])
def test_the_usual_meter_has_no_one_minute_values(epc: int) -> None:
    assert get(meter_of(), epc) == (Esv.GET_SNA, b"")


def test_a_meter_that_only_measures_what_is_bought_has_the_published_map() -> None:
    meter = meter_of("lacks=D3+E3+E4+EB+EC+ED")
    assert value(meter, 0x9F) == "1341414100004000624300410000030202"
    assert get(meter, 0xD3) == (Esv.GET_SNA, b"")
    news = meter.half_hour_values(confirmed=False)
    assert news is not None
    assert [item.epc for item in decode(news).properties] == [0xEA]


def test_a_meter_without_half_hour_values_has_no_news() -> None:
    assert meter_of("lacks=EA+EB").half_hour_values(confirmed=False) is None


def test_two_wires_have_no_current_of_the_t_phase() -> None:
    meter = meter_of("two-wire")
    assert value(meter, 0xE8)[4:] == "7FFE"
    assert value(meter_of(), 0xE8)[4:] != "7FFE"


@given(
    st.sampled_from(["1", "0.1", "0.01", "0.001", "0.0001", "10", "10000"]),
    st.integers(1, 1000),
    st.integers(1, 8),
)
def test_unit_coefficient_and_digits_are_what_the_registers_count_in(
    unit: str, coefficient: int, digits: int
) -> None:
    meter = meter_of(f"unit={unit},coefficient={coefficient},digits={digits}")
    kwh, times, places = (
        decode_value(epc, bytes.fromhex(value(meter, epc)), Scale(1, Decimal(1)))[0].value
        for epc in (0xE1, 0xD3, 0xD7)
    )
    assert [str(kwh), str(times), str(places)] == [unit, str(coefficient), str(digits)]
    counts = int(value(meter, 0xE0), 16)
    whole = KnownHousehold(0).energy(NOW).normal // meter.kind.counting.count_ws
    assert counts == whole % 10**digits


def test_nothing_is_known_before_the_installation() -> None:
    home = Household(3)
    meter = Meter(home, lambda: NOW, MeterType(installed_s=NOW - 3600))
    assert put(meter, 0xE5, "00") is Esv.SET_RES
    slots = [value(meter, 0xE2)[4:][at : at + 8] for at in range(0, 48 * 8, 8)]
    known = [number for number, slot in enumerate(slots) if bytes.fromhex(slot) != NO_DATA]
    assert known == [24, 25]  # 12:00 and 12:30; it was put up at 11:34:50
    assert int(value(meter, 0xE0), 16) < 100  # tenths of a kWh in an hour


def test_registers_begin_at_zero_with_the_installation() -> None:
    home = InstalledLoad(Household(3), NOW)
    assert home.energy(NOW) == Energy(0, 0)
    assert home.energy(NOW - 1).normal < 0
    assert home.energy(NOW + 60).normal == sum(home.watt(NOW + second) for second in range(60))


@pytest.mark.parametrize("skew", [-90_000, -30, 0, 45, 3600])
def test_the_clock_of_the_meter_may_be_off(skew: int) -> None:
    clock = FakeClock(NOW * 1000)
    dongle = build(parse_sim_port(f"sim:clock-skew={skew}"), clock)
    moment = datetime.fromtimestamp(NOW + skew, METER_ZONE)
    shown = bytes.fromhex(value(dongle._meter, 0x97))
    assert shown == bytes((moment.hour, moment.minute))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("unit=0.2", "unit: '0.2' is none of 0.0001, 0.001"),
        ("coefficient=0", "coefficient: '0' is not a whole number from 1 to 999999"),
        ("coefficient=-1", "coefficient: '-1' is not"),
        ("digits=9", "digits: '9' is not a whole number from 1 to 8"),
        ("digits=x", "digits: 'x' is not"),
        ("lacks=E", "lacks: 'E' is no property code; write D3+E3+E4"),
        ("lacks=", "lacks: '' is no property code"),
        ("lacks=E3+9F", "lacks: every meter has 9F, which tells what else it has; leave it out"),
        ("lacks=D3,coefficient=10", "lacks: D3 does not go with a coefficient other than 1"),
        ("installed=-1", "installed: '-1' is not a number from 0 to 36500"),
        ("clock-skew=never", "clock-skew: 'never' is not a number from"),
        ("clock-skew=nan", "clock-skew: 'nan' is not a number from"),
        ("next-gen=yes", "'next-gen' takes no value"),
    ],
)
def test_a_wrong_option_is_told(option: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sim_port(f"sim:{option}")
    (fault,) = caught.value.faults
    assert told in fault


def test_what_is_given_changes_only_that() -> None:
    options = SimulatorOptions(coefficient=10)
    assert options.meter_type(NOW).counting == CounterSetup(coefficient=10)
    newer = parse_sim_port("sim:next-gen,digits=7").meter_type(NOW)
    assert newer.counting == CounterSetup(unit=0x03, digits=7)


def test_every_property_of_the_map_can_be_had() -> None:
    for port in ("", "next-gen", "two-wire", "lacks=D3+E3+E4+EB+EC+ED"):
        meter = meter_of(port)
        readable = property_map(bytes.fromhex(value(meter, 0x9F)))
        assert all(get(meter, epc)[0] is Esv.GET_RES for epc in readable)
