from datetime import UTC, datetime

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_bench import SteadyHousehold

from kei.echonet.frame import CONTROLLER, METER, NODE_PROFILE, Esv, Frame, Property, decode
from kei.simulator.household.household import INSTALLED_S, Household
from kei.simulator.household.profile import Energy
from kei.simulator.meter.meter import Meter
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import CounterSetup

NO_DATA = b"\xff\xff\xff\xfe"
HALF_HOUR_S, DAY_S = 1800, 86_400


def second_of(moment: str) -> int:
    """Return a time of the meter's clock as it counts them."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


NOW = second_of("2024-01-15T12:50:10")


class KnownHousehold(SteadyHousehold):
    """504 W, and the registers of the published examples."""

    def energy(self, second: int) -> Energy:
        steps = (second - second_of("2024-01-15T12:30:00")) // HALF_HOUR_S
        bought = 109_349 + 6 * steps + (steps <= -2)
        return Energy(bought * 360_000, (42_308 + min(0, steps + 1)) * 360_000)

    def current_tenths(self, second: int) -> tuple[int, int]:  # noqa: ARG002 - as the base class
        return 50, 20


@pytest.fixture
def meter() -> Meter:
    return Meter(KnownHousehold(0), lambda: NOW)


def ask(meter: Meter, request: str) -> str | None:
    answer = meter.respond(bytes.fromhex(request))
    return None if answer is None else answer.hex().upper()


def get(meter: Meter, *epcs: int, deoj: int = METER, esv: Esv = Esv.GET) -> Frame:
    request = Frame(1, CONTROLLER, deoj, esv, tuple(Property(epc) for epc in epcs))
    answer = meter.respond(request.encode())
    assert answer is not None
    return decode(answer)


def value(meter: Meter, epc: int) -> bytes:
    answer = get(meter, epc)
    assert answer.esv is Esv.GET_RES
    return answer.properties[0].edt


def put(meter: Meter, epc: int, edt: bytes) -> Frame:
    answer = meter.respond(Frame(9, CONTROLLER, METER, Esv.SETC, (Property(epc, edt),)).encode())
    assert answer is not None
    return decode(answer)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("1081000105FF010288016201E700", "1081000102880105FF017201E704000001F8"),
        ("1081000305FF010288016202E700E800", "1081000302880105FF017202E704000001F8E80400320014"),
        (
            "1081000405FF010288016203D300D700E100",
            "1081000402880105FF017203D30400000001D70106E10101",
        ),
        ("1081000105FF0102880162018300", "1081000102880105FF0152018300"),
        ("1081000905FF010288016101E50101", "1081000902880105FF017101E500"),
        ("1081000905FF010288016101E50164", "1081000902880105FF015101E50164"),
        (
            "1081001105FF010288016202E000E300",
            "1081001102880105FF017202E0040001AB25E3040000A544",
        ),
        (
            "1081001305FF0102880162039D009E009F00",
            "1081001302880105FF0172039D04038081889E040381E5ED9F111941414160404000624300414040430202",
        ),
        ("1081000105FF0102880162018200", "1081000102880105FF017201820400004600"),
        ("1081000105FF0102880162019700", "1081000102880105FF01720197020C32"),
        ("1081000105FF0102880162019800", "1081000102880105FF017201980407E8010F"),
        (
            "1081000705FF010288016201EA00",
            "1081000702880105FF017201EA0B07E8010F0C1E000001AB25",
        ),
        ("108100050EF0010EF0016301D500", "108100050EF0010EF0017301D50401028801"),
    ],
)  # fmt: skip
def test_published_frames(meter: Meter, request_: str, answer: str) -> None:
    assert ask(meter, request_) == answer


def test_the_notifications_are_as_published(meter: Meter) -> None:
    assert meter.instance_list().hex().upper() == "108100010EF0010EF0017301D50401028801"
    values = "02EA0B07E8010F0C1E000001AB25EB0B07E8010F0C1E000000A544"
    notices = [meter.half_hour_values(confirmed=confirmed) for confirmed in (False, True)]
    assert notices == [
        bytes.fromhex(f"1081000202880105FF0173{values}"),
        bytes.fromhex(f"1081000302880105FF0174{values}"),
    ]


def test_segments_are_as_published(meter: Meter) -> None:
    selector = bytes.fromhex("07E8010F0C1E03")
    assert put(meter, 0xED, selector).esv is Esv.SET_RES
    assert value(meter, 0xED) == selector
    assert value(meter, 0xEC).hex().upper() == (
        "07E8010F0C1E030001AB250000A5440001AB1F0000A5440001AB1A0000A543"
    )


def test_a_meter_that_does_not_measure_what_is_sold_tells_no_register_of_it() -> None:
    kind = MeterType(next_gen=True, lacks=frozenset({0xE3, 0xE4, 0xEB}))
    meter = Meter(Household(1, solar=True), lambda: 1_705_323_600.0, kind)
    put(meter, 0xED, bytes.fromhex("07E8010F0C1E03"))
    put(meter, 0xEF, bytes.fromhex("07E8010F0C1E03"))
    for epc in (0xEC, 0xEE):
        pairs = value(meter, epc)[7:]
        sold = [pairs[at : at + 4] for at in range(4, len(pairs), 8)]
        bought = [pairs[at : at + 4] for at in range(0, len(pairs), 8)]
        assert set(sold) == {NO_DATA}
        assert NO_DATA not in bought
    assert value(meter, 0xD0)[-4:] == NO_DATA
    assert value(meter, 0xD0)[-8:-4] != NO_DATA


@pytest.mark.parametrize("deoj", [METER, NODE_PROFILE])
def test_a_notification_to_the_meter_is_confirmed(deoj: int) -> None:
    meter = Meter(Household(1), lambda: 0.0)
    sent = Frame(0x1234, CONTROLLER, deoj, Esv.INFC, (Property(0x80, b"\x30"),))
    answer = meter.respond(sent.encode())
    assert answer is not None
    assert decode(answer) == Frame(0x1234, deoj, CONTROLLER, Esv.INFC_RES, (Property(0x80),))


def test_a_notification_to_an_object_that_the_meter_lacks_is_not_confirmed() -> None:
    sent = Frame(1, CONTROLLER, 0x028701, Esv.INFC, (Property(0x80, b"\x30"),))
    assert Meter(Household(1), lambda: 0.0).respond(sent.encode()) is None


def test_segments_of_the_future_have_no_data(meter: Meter) -> None:
    put(meter, 0xED, bytes.fromhex("07E8010F0D0002"))
    assert value(meter, 0xEC)[7:] == NO_DATA * 2 + bytes.fromhex("0001AB250000A544")


def test_before_a_selection_the_histories_have_no_data(meter: Meter) -> None:
    assert value(meter, 0xE2) == b"\x00\xff" + NO_DATA * 48
    assert value(meter, 0xE4) == b"\x00\xff" + NO_DATA * 48
    assert value(meter, 0xE5) == b"\xff"
    assert value(meter, 0xEC).hex().upper() == "FFFFFFFFFFFF01FFFFFFFEFFFFFFFE"
    assert value(meter, 0xED).hex().upper() == "FFFFFFFFFFFF01"


def test_today_has_no_data_from_the_next_half_hour_on(meter: Meter) -> None:
    put(meter, 0xE5, b"\0")
    day = value(meter, 0xE2)
    slots = [day[2 + 4 * slot : 6 + 4 * slot] for slot in range(48)]
    assert [slot for slot in range(48) if slots[slot] == NO_DATA] == list(range(26, 48))
    assert slots[25].hex().upper() == "0001AB25"


@pytest.mark.parametrize(
    ("epc", "edt"),
    [
        (0xE5, "64"), (0xE5, "FF"), (0xE5, ""), (0xE5, "0001"),
        (0xED, "07E8010F0C1E0D"), (0xED, "07E8010F0C1E00"), (0xED, "07E8010F0C1F01"),
        (0xED, "07E8021F0C1E01"), (0xED, "07E8010F0C1E"), (0xED, "FFFFFFFFFFFF01"),
        (0xE0, "00000000"), (0x81, "0102"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_echoed(meter: Meter, epc: int, edt: str) -> None:
    answer = put(meter, epc, bytes.fromhex(edt))
    assert answer.esv is Esv.SETC_SNA
    assert answer.properties == (Property(epc, bytes.fromhex(edt)),)


def test_a_write_without_confirmation_is_silent_unless_it_fails(meter: Meter) -> None:
    good = Frame(1, CONTROLLER, METER, Esv.SETI, (Property(0xE5, b"\1"),))
    assert meter.respond(good.encode()) is None
    assert value(meter, 0xE5) == b"\1"
    answer = meter.respond(Frame(1, CONTROLLER, METER, Esv.SETI, (Property(0xE0, b"\1"),)).encode())
    assert answer is not None
    assert decode(answer).esv is Esv.SETI_SNA


def test_a_mixed_answer_carries_the_good_values(meter: Meter) -> None:
    answer = get(meter, 0xE7, 0xD0, 0xD3)
    assert answer.esv is Esv.GET_SNA
    assert [item.edt.hex() for item in answer.properties] == ["000001f8", "", "00000001"]


def test_every_property_of_its_own_map_can_be_read(meter: Meter) -> None:
    for deoj in (METER, NODE_PROFILE):
        [readable] = get(meter, 0x9F, deoj=deoj).properties
        epcs = (
            readable.edt[1:]
            if readable.edt[0] < 16
            else [
                (bit + 8) << 4 | low
                for low in range(16)
                for bit in range(8)
                if readable.edt[1 + low] >> bit & 1
            ]
        )
        answers = [get(meter, epc, deoj=deoj) for epc in epcs]
        assert [answer.esv for answer in answers] == [Esv.GET_RES] * readable.edt[0]


def test_an_information_request_is_answered_like_a_get(meter: Meter) -> None:
    assert get(meter, 0xE7, esv=Esv.INF_REQ).esv is Esv.INF
    assert get(meter, 0xD0, esv=Esv.INF_REQ).esv is Esv.INF_SNA


def test_an_object_that_does_not_exist_has_nothing(meter: Meter) -> None:
    answer = get(meter, 0x80, 0xE7, deoj=0x013001)
    assert (answer.esv, answer.seoj) == (Esv.GET_SNA, 0x013001)
    assert all(not item.edt for item in answer.properties)


def test_set_and_get_in_one_is_refused(meter: Meter) -> None:
    answer = ask(meter, "1081001205FF010288016E01E5010101E200")
    assert answer == "1081001202880105FF015E01E5010101E200"


@pytest.mark.parametrize(
    "datagram", ["", "1082000105FF01", "1081000805FF010288017A02EA00EB00", "10810001"]
)
def test_what_is_no_request_is_not_answered(meter: Meter, datagram: str) -> None:
    assert meter.respond(bytes.fromhex(datagram)) is None


@given(st.binary(max_size=60))
def test_no_datagram_upsets_it(datagram: bytes) -> None:
    answer = Meter(KnownHousehold(0), lambda: NOW).respond(datagram)
    assert answer is None or decode(answer).encode() == answer


def test_refusing_it_has_no_property_at_all(meter: Meter) -> None:
    answer = meter.respond(bytes.fromhex("1081000105FF010288016201E700"), refuse=True)
    assert answer is not None
    assert answer.hex().upper() == "1081000102880105FF015201E700"


HOMES = [Household(0, solar=solar) for solar in (False, True)]


@pytest.mark.usefixtures("unmeasured")  # a property
@settings(deadline=None)
@given(
    home=st.sampled_from(HOMES),
    now=st.integers(INSTALLED_S + 100 * DAY_S, INSTALLED_S + 3000 * DAY_S),
    days_ago=st.integers(0, 99),
    slot=st.integers(0, 47),
)
def test_history_is_what_the_registers_showed_at_its_time(
    home: Household, now: int, days_ago: int, slot: int
) -> None:
    meter = Meter(home, lambda: now)
    put(meter, 0xE5, bytes((days_ago,)))
    days = value(meter, 0xE2), value(meter, 0xE4)
    at = (now // DAY_S - days_ago) * DAY_S + slot * HALF_HOUR_S
    then = Meter(home, lambda: at)
    registers = (
        (value(then, 0xE0), value(then, 0xE3))
        if at <= now // HALF_HOUR_S * HALF_HOUR_S
        else (NO_DATA, NO_DATA)
    )
    assert tuple(day[2 + 4 * slot : 6 + 4 * slot] for day in days) == registers


@settings(deadline=None)
@given(
    st.sampled_from([0x00, 0x01, 0x02, 0x03, 0x04, 0x0A]),
    st.integers(1, 50),
    st.integers(4, 8),
    st.integers(INSTALLED_S, INSTALLED_S + 3000 * DAY_S),
)
def test_the_register_shows_the_energy_within_one_unit(
    unit: int, coefficient: int, digits: int, now: int
) -> None:
    setup = CounterSetup(unit, coefficient, digits)
    kind = MeterType(unit=unit, coefficient=coefficient, digits=digits)
    meter = Meter(HOMES[1], lambda: now, kind)
    shown = int.from_bytes(value(meter, 0xE0), "big")
    energy = HOMES[1].energy(now).normal
    assert shown < 10**digits
    assert (energy // setup.count_ws - shown) % 10**digits == 0


def test_before_its_installation_the_registers_have_no_data() -> None:
    meter = Meter(HOMES[1], lambda: INSTALLED_S - 1)
    assert value(meter, 0xE0) == NO_DATA
    assert value(meter, 0xE3) == NO_DATA


def test_a_day_beyond_the_memory_has_no_data(meter: Meter) -> None:
    put(meter, 0xED, bytes.fromhex("07E709010C1E01"))  # four and a half months ago
    assert value(meter, 0xEC)[7:] == NO_DATA * 2


def test_its_clock_is_the_one_it_was_given() -> None:
    clock = FakeClock(zone=TOKYO)
    meter = Meter(HOMES[0], lambda: clock.now_ms() / 1000)
    before = value(meter, 0x97)
    clock.advance(3600)
    assert value(meter, 0x97)[0] == (before[0] + 1) % 24
