"""From answers of the meter to readings: units, gaps, and what is heard twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from session_bench import Memory
from stored import RIGHT, ConstantMonitor
from structlog.testing import capture_logs

from kei.core.clock import Instant
from kei.core.reading import Reading, plain
from kei.echonet.frame import Property, encode_property_map
from kei.echonet.meter_class import PROPERTIES
from kei.meter.decoder import MeterDecoder
from kei.wisun.interfaces import Answer

AT_MS = 1_700_000_000_000
METER = "001D129012345678"
EVERYTHING = encode_property_map(frozenset(PROPERTIES))
D3_E1 = {0xD3: b"\0\0\0\x01", 0xE1: b"\x01"}
E0 = bytes.fromhex("0001AB25")
EA = bytes.fromhex("07E8010F0C1E000001AB25")
EA_MS = 1_705_289_400_000  # 2024-01-15 12:30 in Tokyo
EVENT = "event"


@dataclass
class Record:
    """Keeps what it is given."""

    plain: list[Reading] = field(default_factory=list)
    once: list[Reading] = field(default_factory=list)

    def record(self, readings: Sequence[Reading]) -> None:
        self.plain += readings

    def record_once(self, readings: Sequence[Reading]) -> None:
        self.once += readings


@dataclass
class Bench:
    """A source and everything round it."""

    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=lambda: FakeClock(zone=TOKYO))
    record: Record = field(default_factory=Record)
    trust: ConstantMonitor = RIGHT
    energy_unit: Decimal | None = None
    joins: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = MeterDecoder(
            "BR",
            self.record,
            self.memory,
            clock=self.clock,
            trust=self.trust,
            on_joined=lambda: self.joins.append(None),
            energy_unit=self.energy_unit,
        )

    def join(self, properties: dict[int, bytes], *refused: int, meter: str = METER) -> None:
        self.source.joined(meter, Answer(Instant(AT_MS), properties, frozenset(refused)))
        self.source.ready()

    def answer(self, properties: dict[int, bytes], *refused: int) -> None:
        asked = (*properties, *refused)
        self.source.take(Answer(Instant(AT_MS), properties, frozenset(refused)), asked)

    def values(self) -> list[tuple[str, str]]:
        return [(r.sensor, plain(r.value)) for r in self.record.plain + self.record.once]


def test_an_answer_becomes_readings_of_its_time() -> None:
    bench = Bench()
    bench.join(D3_E1)
    bench.answer({0xE7: b"\0\0\x01\xf8", 0xE0: E0})
    assert bench.values() == [("E7", "504"), ("E0", "10934.9")]
    (power, _) = bench.record.plain
    assert (power.time_ms, power.unit, power.data_id) == (AT_MS, "BR", "x")


def test_the_meters_clock_is_thought_of_once_a_minute_and_after_each_join() -> None:
    bench = Bench()
    bench.join(D3_E1)
    assert bench.source.wanted_last() == ()  # what the meter has is not known yet
    bench.answer({0x9F: encode_property_map(frozenset({0x97, 0x98, 0x9F, 0xE7}))})
    assert bench.source.wanted_last() == ((0x98, 0x97),)
    shown = datetime.fromtimestamp(bench.clock.now_ms() / 1000, TOKYO)
    date = shown.year.to_bytes(2, "big") + bytes((shown.month, shown.day))
    bench.source.meter_clock.take({0x98: date, 0x97: bytes((shown.hour, shown.minute))})
    bench.clock.wall_ms -= 3_600_000
    told = []
    for _ in range(7):
        with capture_logs() as logs:
            assert bench.source.wanted_last() == ()
        told.append([entry[EVENT] for entry in logs])
        bench.clock.advance(10)
    assert told == [[]] * 6 + [["meter_clock_differs"]]
    bench.join(D3_E1 | {0x9F: encode_property_map(frozenset({0x97, 0x98, 0x9F}))})
    assert bench.source.wanted_last() == ((0x98, 0x97),)


def test_energy_before_the_unit_is_known_is_held_back_until_it_is() -> None:
    bench = Bench()
    bench.join({})
    bench.answer({0xE0: E0, 0xE7: b"\0\0\x01\xf8"})
    assert bench.values() == [("E7", "504")]
    bench.answer({0xD3: b"\0\0\0\x0a", 0xE1: b"\x02"})
    assert ("E0", "10934.90") in bench.values()


def test_what_is_missing_is_asked_first_once_a_minute() -> None:
    bench = Bench()
    bench.join({0x80: b"\x30"})
    assert bench.source.wanted_first() == (0x9F, 0xD3, 0xE1)
    assert bench.source.wanted_first() == ()
    bench.answer({0x9F: EVERYTHING, 0xE1: b"\x01"})
    bench.clock.advance(60)
    assert bench.source.wanted_first() == (0xD3,)
    bench.answer({0xD3: b"\0\0\0\x01"})
    bench.clock.advance(60)
    assert bench.source.wanted_first() == ()


def test_what_the_meter_lacks_by_its_map_is_not_asked_first() -> None:
    bench = Bench()
    bench.join({0x80: b"\x30"})
    bench.answer({0x9F: encode_property_map(frozenset({0xE0, 0xE7}))})
    assert bench.source.wanted_first() == ()


def test_a_refusal_does_not_overwrite_a_coefficient_that_is_known() -> None:
    bench = Bench()
    bench.join({0xD3: b"\0\0\0\x0a", 0xE1: b"\x01"})
    bench.join({0xE1: b"\x01"}, 0xD3)
    bench.answer({0xE0: E0})
    assert bench.values() == [("E0", "109349.0")]


def test_a_meter_that_refuses_everything_is_not_taken_for_one_without_coefficient() -> None:
    bench = Bench()
    bench.join({}, 0xD3, 0xE1)
    bench.answer({0xE0: E0, 0xE1: b"\x01"})
    assert ("E0", "10934.9") not in bench.values()
    bench.answer({0xD3: b"\0\0\0\x0a"})
    assert ("E0", "109349.0") in bench.values()


def test_a_coefficient_that_was_assumed_is_asked_for_again_if_the_map_has_it() -> None:
    bench = Bench()
    bench.join({0xE1: b"\x01"}, 0xD3)
    bench.answer({0x9F: EVERYTHING})
    assert bench.source.wanted_first() == (0xD3,)
    bench.answer({0xD3: b"\0\0\0\x0a", 0xE0: E0})
    assert ("E0", "109349.0") in bench.values()


def test_a_meter_without_coefficient_counts_with_one() -> None:
    bench = Bench()
    bench.join({0xE1: b"\x01"}, 0xD3)
    bench.answer({0xE0: E0})
    assert bench.values() == [("E0", "10934.9")]


def test_the_unit_is_kept_for_the_next_start_of_the_same_meter_only() -> None:
    first = Bench()
    first.join(D3_E1)
    again, other = Bench(first.memory), Bench(first.memory)
    again.join({})
    other.join({}, meter="001D129099999999")
    assert again.source.scale is not None
    assert other.source.scale is None


def test_a_damaged_memory_of_the_unit_is_no_unit() -> None:
    bench = Bench(Memory({f"meter.{METER}.scale": "many x"}))
    bench.join({})
    assert bench.source.scale is None


def test_a_unit_that_the_standard_does_not_know_is_no_unit() -> None:
    bench = Bench()
    bench.join({0xD3: b"\0\0\0\x01", 0xE1: b"\x05"})
    bench.answer({0xE0: E0})
    assert bench.values() == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_half_hour_values_have_the_meters_time_and_are_recorded_once(zone: str) -> None:
    bench = Bench(clock=FakeClock(EA_MS + 60_000, ZoneInfo(zone)))
    bench.join(D3_E1)
    bench.source.notified((Property(0xEA, EA),), Instant(AT_MS))
    (reading,) = bench.record.once
    assert reading.time_ms == EA_MS
    assert bench.record.plain == []


def test_a_phase_that_does_not_exist_gives_no_reading_and_one_log_line() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(3):
            bench.answer({0xE8: bytes.fromhex("00147FFE")})
    assert bench.values() == [("E8R", "2.0")] * 3
    assert [(e[EVENT], e["sensor"]) for e in logs] == [("no_value", "E8T")]


def test_data_of_the_wrong_length_is_told_once_and_costs_only_itself() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(2):
            bench.answer({0xE7: b"\0", 0xD7: b"\x06"})
    assert bench.values() == [("D7", "6")] * 2
    assert [e[EVENT] for e in logs] == ["property_malformed"]


def test_a_property_that_the_meter_does_not_give_is_told_once() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for _ in range(2):
            bench.answer({}, 0xE3)
    assert [(e[EVENT], e["epc"]) for e in logs] == [("property_not_given", "E3")]


def test_each_join_is_handed_on() -> None:
    bench = Bench()
    bench.join(D3_E1)
    bench.join(D3_E1)
    assert len(bench.joins) == 2


def test_what_the_property_map_lacks_is_told_once_and_asked_no_more() -> None:
    bench = Bench()
    bench.join({0xE1: b"\x01"})
    bench.answer({0x9F: encode_property_map(frozenset({0xE0, 0xE1, 0xE7}))})
    with capture_logs() as logs:
        assert bench.source.askable((0xE0, 0xE3)) == (0xE0,)
        assert bench.source.askable((0xE0, 0xE3)) == (0xE0,)
    assert [(e[EVENT], e["epc"]) for e in logs] == [("property_lacking", "E3")]


def test_a_meter_whose_map_lacks_the_coefficient_counts_with_one() -> None:
    bench = Bench()
    bench.join({0xE1: b"\x01"})
    bench.answer({0x9F: encode_property_map(frozenset({0xE0, 0xE1}))})
    bench.answer({0xE0: E0})
    assert bench.values() == [("E0", "10934.9")]


def test_without_a_property_map_everything_is_asked() -> None:
    bench = Bench()
    bench.join(D3_E1)
    for _ in range(3):
        assert bench.source.wanted_first() == (0x9F,)
        bench.answer({}, 0x9F)
        bench.clock.advance(60)
    assert bench.source.wanted_first() == ()
    assert bench.source.askable((0xE0, 0xE3)) == (0xE0, 0xE3)


def test_the_property_map_is_asked_anew_after_each_join() -> None:
    bench = Bench()
    bench.join(D3_E1)
    bench.answer({0x9F: encode_property_map(frozenset({0xE0}))})
    bench.join(D3_E1)
    assert bench.source.wanted_first() == (0x9F,)


def test_a_limit_on_properties_at_once_is_told_and_never_rises() -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.source.limit_at_once(3)
        bench.source.limit_at_once(5)
        bench.source.limit_at_once(0)
    assert bench.source.most_at_once == 1
    bench.join(D3_E1)
    assert bench.source.most_at_once == 6
    assert [e["at_once"] for e in logs] == [3, 1]


WITHOUT_UNIT = encode_property_map(frozenset(PROPERTIES) - {0xE1})


def test_a_meter_without_a_unit_is_told_of_once_for_as_long_as_it_is_so() -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.join({0xD3: b"\0\0\0\x01"}, 0xE1)
        bench.answer({0x9F: WITHOUT_UNIT})
        for _ in range(50):
            bench.answer({0xE0: E0})
            bench.answer({0xE7: b"\0\0\x01\xf8"})
    assert [e[EVENT] for e in logs if e["log_level"] == "warning"] == ["unit_unknown"]
    assert "broute.energy_unit" in next(e["hint"] for e in logs if e[EVENT] == "unit_unknown")
    assert {name for name, _ in bench.values()} == {"E7"}
    with capture_logs() as logs:
        bench.answer({0xE1: b"\x01"})
    assert [e[EVENT] for e in logs] == ["meter_scale", "fault_ended"]


def test_a_meter_without_a_unit_counts_in_that_of_jobs_toml() -> None:
    bench = Bench(energy_unit=Decimal("0.01"))
    with capture_logs() as logs:
        bench.join({0xD3: b"\0\0\0\x01"}, 0xE1)
        bench.answer({0xE0: E0})
        assert bench.values() == []
        bench.answer({0x9F: WITHOUT_UNIT})
        bench.answer({0xE0: E0})
    assert bench.values() == [("E0", "1093.49")] * 2
    (told,) = [e for e in logs if e[EVENT] == "meter_scale"]
    assert (told["unit_kwh"], told["source"]) == ("0.01", "jobs.toml")


def test_the_meters_own_unit_wins_over_that_of_jobs_toml() -> None:
    bench = Bench(energy_unit=Decimal("0.01"))
    bench.join({0xD3: b"\0\0\0\x01"}, 0xE1)  # busy, perhaps
    bench.answer({0x9F: EVERYTHING})
    bench.answer({0xE0: E0})
    assert bench.values() == []
    bench.clock.advance(60)
    assert bench.source.wanted_first() == (0xE1,)
    bench.answer({0xE1: b"\x01"})
    assert bench.values() == [("E0", "10934.9"), ("E1", "0.1")]


def test_where_there_is_no_map_a_refused_unit_is_believed_in_the_end() -> None:
    bench = Bench(energy_unit=Decimal("0.01"))
    bench.join({0xD3: b"\0\0\0\x01"}, 0xE1)
    for _ in range(3):
        assert bench.source.wanted_first() == (0x9F, 0xE1)
        assert bench.source.scale is None
        bench.answer({}, 0x9F, 0xE1)
        bench.clock.advance(60)
    bench.answer({0xE0: E0})
    assert bench.values() == [("E0", "1093.49")]


def test_a_unit_of_jobs_toml_is_not_kept_so_that_it_can_be_mended() -> None:
    first = Bench(energy_unit=Decimal("0.01"))
    first.join({0xD3: b"\0\0\0\x01", 0x9F: WITHOUT_UNIT})
    assert first.source.scale is not None
    again = Bench(first.memory, energy_unit=Decimal("0.1"))
    again.join({0xD3: b"\0\0\0\x01", 0x9F: WITHOUT_UNIT})
    again.answer({0xE0: E0})
    assert again.values() == [("E0", "10934.9")]


TWO_WIRE = bytes.fromhex("00147FFE")


def test_a_phase_that_a_meter_never_has_is_told_once_and_not_at_each_start() -> None:
    memory = Memory()
    told = []
    for _ in range(3):
        bench = Bench(memory)
        with capture_logs() as logs:
            bench.join(D3_E1)
            for _ in range(3):
                bench.answer({0xE8: TWO_WIRE})
        told += [e["log_level"] for e in logs if e[EVENT] == "no_value"]
    assert told == ["warning", "debug", "debug"]


def test_a_value_that_comes_after_all_is_told_and_so_is_its_absence_after_that() -> None:
    memory = Memory()
    for _ in range(2):
        bench = Bench(memory)
        with capture_logs() as logs:
            bench.join(D3_E1)
            for edt in ("00147FFE", "00140014", "00147FFE"):
                bench.answer({0xE8: bytes.fromhex(edt)})
        assert [(e[EVENT]) for e in logs][-3:] == ["no_value", "fault_ended", "no_value"]
        assert logs[-1]["log_level"] == "warning"
        assert memory[f"meter.{METER}.no_value"] == ""


def test_another_meter_may_have_what_the_first_has_not() -> None:
    bench = Bench()
    with capture_logs() as logs:
        for meter in (METER, "001D129099999999"):
            bench.join(D3_E1, meter=meter)
            bench.answer({0xE8: TWO_WIRE})
    assert sorted(key for key in bench.memory if key.endswith("no_value")) == [
        f"meter.{METER}.no_value",
        "meter.001D129099999999.no_value",
    ]
    assert [e[EVENT] for e in logs].count("no_value") == 1  # the fault goes on
