"""Asking a meter for a day: which day it is, midnight, and others who ask, too."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from fakes import TOKYO, FakeClock

from kei.core.clock import epoch_ms, instant
from kei.core.errors import RetryLater, Stopping
from kei.echonet.frame import Property
from kei.meter.history import NORMAL, HistoryReader, Refused, Way, ways
from kei.simulator.household.household import Household
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import EnergyCounter, History
from kei.wisun.interfaces import Answer

BY_DAY = Way(by_day=True, has_reverse=False)
JAPAN_S = 9 * 3600


@dataclass
class Bench:
    """A meter's memory, whose answers take their time, and a reader of it."""

    clock: FakeClock
    ahead_s: float = 0.0
    answer_s: float = 1.0
    foreign_sets: int = 0
    asked_at: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        counter = EnergyCounter(Household(0), MeterType().counting)
        self.memory = History(counter, foreign_sets=self.foreign_sets)
        self.reader = HistoryReader(self, self.clock, lambda: self.ahead_s, pause_s=0.0)

    @property
    def second(self) -> int:
        return int(self.clock.now_ms() / 1000 + self.ahead_s) + JAPAN_S

    def set(self, item: Property, budget_s: float, *, gives_way: bool) -> bool:
        assert budget_s > 0
        assert gives_way
        self._takes_time()
        return self.memory.select_day(item.edt)

    def get(self, epcs: tuple[int, ...], budget_s: float, *, gives_way: bool) -> Answer:
        assert budget_s > 0
        assert gives_way
        self._takes_time()
        read = {0xE5: self.memory.day, 0xE2: self.memory.normal_day}
        found = {epc: read[epc](self.second) for epc in epcs}
        return Answer(instant(self.clock), found, frozenset())

    def rest(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _takes_time(self) -> None:
        self.asked_at.append(self.reader.now())
        self.clock.advance(self.answer_s)


def bench(at: str, ahead_s: float = 0.0, answer_s: float = 1.0, foreign_sets: int = 0) -> Bench:
    moment = datetime.fromisoformat(f"{at}+09:00")
    return Bench(FakeClock(epoch_ms(moment), TOKYO), ahead_s, answer_s, foreign_sets)


def first(found: dict[int, int | None]) -> datetime:
    return datetime.fromtimestamp(min(found) / 1000, TOKYO)


@pytest.mark.parametrize("at", ["2026-11-23T23:58:30", "2026-11-24T00:01:00"])
def test_nothing_is_asked_around_the_meters_midnight(at: str) -> None:
    meter = bench(at)
    found = meter.reader.read(date(2026, 11, 23), BY_DAY)
    assert meter.asked_at[0] >= datetime(2026, 11, 24, 0, 2, tzinfo=TOKYO)
    assert first(dict(found[NORMAL])) == datetime(2026, 11, 23, tzinfo=TOKYO)


def test_the_midnight_is_that_of_the_meters_clock() -> None:
    meter = bench("2026-11-23T23:50:00", ahead_s=600)
    meter.reader.read(date(2026, 11, 23), BY_DAY)
    assert meter.asked_at[0] >= datetime(2026, 11, 24, 0, 2, tzinfo=TOKYO)
    assert meter.asked_at[0].date() == date(2026, 11, 24)


@pytest.mark.parametrize("answer_s", [4, 13, 25])
@pytest.mark.parametrize(
    "at", ["2026-11-23T23:57:30", "2026-11-23T23:57:56", "2026-11-23T23:55:50"]
)
def test_nothing_is_asked_or_taken_within_two_minutes_of_midnight(at: str, answer_s: float) -> None:
    meter = bench(at, answer_s=answer_s)
    found = meter.reader.read(date(2026, 11, 22), BY_DAY)
    assert first(dict(found[NORMAL])) == datetime(2026, 11, 22, tzinfo=TOKYO)
    midnight = datetime(2026, 11, 24, tzinfo=TOKYO)
    assert all(abs(each - midnight) >= timedelta(minutes=2) for each in meter.asked_at)
    taken = [each for each in meter.asked_at if each > midnight] or meter.asked_at
    assert len(taken) == 3  # the answers of one side
    counter = EnergyCounter(Household(0), MeterType().counting)
    for time_ms, count in found[NORMAL].items():
        wanted = counter.normal(time_ms // 1000 + JAPAN_S)
        assert count == int.from_bytes(wanted, "big")


def test_a_day_is_asked_for_again_if_the_clock_is_set_meanwhile() -> None:
    meter = bench("2026-11-23T12:00:00")
    step = [86_400_000]

    def set_clock() -> float:
        if step and len(meter.asked_at) == 2:
            meter.clock.wall_ms += step.pop()
        return 0.0

    meter.reader.ahead_s = set_clock
    meter.reader.read(date(2026, 11, 22), BY_DAY)
    assert len(meter.asked_at) > 3


def test_others_who_always_set_another_day_are_given_way_to() -> None:
    meter = bench("2026-11-23T12:00:00", foreign_sets=1)
    with pytest.raises(RetryLater, match="changed 5 times"):
        meter.reader.read(date(2026, 11, 22), BY_DAY)


@pytest.mark.parametrize("day", [date(2026, 11, 24), date(2026, 8, 15)])
def test_days_that_no_meter_remembers_are_not_asked_for(day: date) -> None:
    meter = bench("2026-11-23T12:00:00")
    with pytest.raises(Refused):
        meter.reader.read(day, BY_DAY)
    assert not meter.asked_at


@pytest.mark.parametrize(("answer_s", "left_alone_s"), [(4, 4), (40, 5)])
def test_between_two_questions_the_meter_is_left_alone_for_as_long_as_it_has_taken(
    answer_s: float, left_alone_s: float
) -> None:
    meter = bench("2026-11-23T12:00:00", answer_s=answer_s)
    meter.reader.read(date(2026, 11, 22), BY_DAY)
    first_at, second_at, *_ = meter.asked_at
    assert (second_at - first_at).total_seconds() == pytest.approx(answer_s + left_alone_s)


def test_air_time_that_was_not_used_is_used_at_once_and_then_the_average_is_kept() -> None:
    meter = bench("2026-11-23T12:00:00", answer_s=0.1)
    meter.reader.pause_s = 10.0
    for _ in range(30):
        meter.reader.read(date(2026, 11, 22), BY_DAY)
    rests = [after - before for before, after in pairwise(meter.asked_at)]
    assert max(rests[:28]) < timedelta(seconds=1)
    assert min(rests[40:]).total_seconds() == pytest.approx(10)


def test_a_reader_that_is_stopped_asks_no_more() -> None:
    meter = bench("2026-11-23T12:00:00")
    meter.reader.stop()
    with pytest.raises(Stopping):
        meter.reader.read(date(2026, 11, 22), BY_DAY)
    assert not meter.asked_at


@pytest.mark.parametrize(
    ("readable", "wants_reverse", "expected"),
    [
        ({0xE2, 0xE4, 0xEC}, True, [Way(True, True), Way(False, True)]),
        ({0xE2, 0xEC}, True, [Way(False, True), Way(True, False)]),
        ({0xE2}, True, [Way(True, False)]),
        ({0xE2, 0xEC}, False, [Way(True, False), Way(False, False)]),
        ({0xEC}, True, [Way(False, True)]),
        ({0xE7}, True, []),
    ],
)
def test_the_way_that_gives_both_directions_comes_first(
    readable: set[int], *, wants_reverse: bool, expected: list[Way]
) -> None:
    assert ways(frozenset(readable | {0xE5, 0xED}), wants_reverse=wants_reverse) == expected


@pytest.mark.parametrize("lacks", [0xE5, 0xED])
def test_a_history_whose_selector_a_meter_lacks_is_not_asked_for(lacks: int) -> None:
    (way,) = ways(frozenset({0xE2, 0xE5, 0xEC, 0xED} - {lacks}), wants_reverse=False)
    assert way.by_day is (lacks == 0xED)
