"""Filling gaps with a simulated meter that is busy, lacks things, or has its clock doubted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from session_bench import Memory
from stored import RIGHT, daily, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms, instant
from kei.core.errors import RetryLater
from kei.core.reading import Reading
from kei.echonet.frame import Esv, Frame, Property, decode, get_request, set_request
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.beliefs import BELIEVED_S
from kei.meter.decoder import MeterDecoder
from kei.meter.filling import BUSY_S, ClockDoubted, Filling, Wanted
from kei.meter.history import HistoryReader
from kei.meter.minutes import MINUTE_MS
from kei.meter.progress import Progress
from kei.simulator.household.household import Household
from kei.simulator.meter.meter import Meter
from kei.simulator.meter.meter_type import MeterType
from kei.store.database import Database
from kei.store.half_hours import HalfHours
from kei.store.recorder import Recorder
from kei.wisun.interfaces import Answer

NOON = datetime(2026, 11, 24, 12, 10, tzinfo=TOKYO)
JAPAN_S, DAY_MS = 9 * 3600, 86_400_000
BY_DAY = {0xE2, 0xE4, 0xE5}
Refuses = Callable[[Frame], bool]


@dataclass
class Bench:
    """A meter that is asked in a fake time, and where its values go."""

    database: Database
    recorder: Recorder
    kind: MeterType
    clock: FakeClock
    days: int = 3
    minutes: bool = False
    refuses: Refuses = lambda _: False
    doubted: bool = False
    asked: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = Meter(Household(7, solar=True), self.second, self.kind)
        self.decoder = MeterDecoder(
            "BR",
            self.recorder,
            Memory(),
            clock=self.clock,
            trust=RIGHT,
            on_joined=lambda: None,
        )
        self.progress = Progress(self.clock)
        self.reader = HistoryReader(self, self.clock, self.ahead_s, pause_s=0.0)
        self.filling = self.joined()

    def ahead_s(self) -> float:
        return self.decoder.meter_clock.status.ahead_s or 0.0

    def second(self) -> float:
        return self.clock.now_ms() / 1000 + JAPAN_S

    def joined(self) -> Filling:
        """A filling, after the meter has been joined."""
        self.decoder.joined("001D129012345678", self.get((0xD3, 0xE1), 5, gives_way=True))
        return Filling(
            Wanted("BR", self.days, True, self.minutes, 400 * DAY_MS),
            self.reader,
            self.decoder,
            self.database,
            self.recorder.recover,
            self.progress,
            self.serves,
        )

    def serves(self, has_clock: bool) -> bool:  # noqa: FBT001 - a callback
        assert has_clock is (not {0x97, 0x98} <= self.kind.lacks)
        return not self.doubted

    def _told(self, question: Frame) -> Frame:
        self.clock.advance(0.5)
        self.asked.append(question)
        answer = self.meter.respond(question.encode(), refuse=self.refuses(question))
        assert answer is not None
        return decode(answer)

    def get(self, epcs: tuple[int, ...], budget_s: float, *, gives_way: bool) -> Answer:
        assert gives_way
        assert budget_s > 0
        told = self._told(get_request(1, epcs)).properties
        given = {item.epc: item.edt for item in told if item.edt}
        return Answer(instant(self.clock), given, frozenset(set(epcs) - given.keys()))

    def set(self, item: Property, budget_s: float, *, gives_way: bool) -> bool:
        assert gives_way
        assert budget_s > 0
        return self._told(set_request(1, item)).esv is Esv.SET_RES

    def rest(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def times(self, epc: int, service: Esv = Esv.GET) -> int:
        """How often a property has been asked for, or set."""
        return sum(
            each.esv is service and [item.epc for item in each.properties] == [epc]
            for each in self.asked
        )

    def recorded(self, sensor: str, step_ms: int = HALF_HOUR_MS) -> list[Reading]:
        found = HalfHours(self.database).between(
            "BR", (sensor,), 0, self.clock.now_ms() + DAY_MS, step_ms
        )
        assert len({each.time_ms for each in found}) == len(found)
        return found

    def truth(self, reading: Reading) -> Decimal:
        register = self.meter._counter.normal
        if reading.sensor in {"EB", "D0R"}:
            register = self.meter._counter.reverse
        count = int.from_bytes(register(reading.time_ms // 1000 + JAPAN_S), "big")
        scale = self.decoder.scale
        assert scale is not None
        return scale.kwh(count)


Build = Callable[..., Bench]


@pytest.fixture
def build(database: Database, tmp_path: Path) -> Iterator[Build]:
    text = daily(tmp_path)
    recorders: list[Recorder] = []

    def build_one(kind: MeterType | None = None, **more: object) -> Bench:
        clock = FakeClock(epoch_ms(NOON), TOKYO)
        recorders.append(recorder_of(database, text, clock=clock))
        return Bench(database, recorders[-1], kind or MeterType(), clock, **more)  # type: ignore[arg-type]

    yield build_one
    for recorder in recorders:
        recorder.close()


def expect_all(bench: Bench, sensors: Sequence[str] = ("EA", "EB"), days: int = 3) -> None:
    for sensor in sensors:
        found = bench.recorded(sensor)
        assert len(found) == 48 * days + 25, sensor
        assert all(each.value == bench.truth(each) for each in found)


def test_all_days_are_filled_and_that_is_told(build: Build) -> None:
    bench = build()
    bench.filling.run()
    expect_all(bench)
    status = bench.progress.status
    assert (status.doing, status.missing, status.filled) == ("up to date", 0, 2 * (48 * 3 + 25))


@pytest.mark.parametrize(("service", "epc"), [(Esv.GET, 0xE2), (Esv.SETC, 0xE5), (Esv.GET, 0xE5)])
def test_a_meter_that_is_busy_for_a_moment_is_asked_for_that_day_again(
    build: Build, service: Esv, epc: int
) -> None:
    seen: list[Frame] = []

    def second_time(question: Frame) -> bool:
        is_it = question.esv is service and [item.epc for item in question.properties] == [epc]
        seen.extend([question] * is_it)
        return is_it and len(seen) in {2, 3}

    bench = build(refuses=second_time)
    bench.filling.run()
    assert "2 days" in bench.progress.status.doing
    assert bench.progress.status.days_left == 2
    bench.filling.run()
    expect_all(bench)
    assert bench.progress.status.doing == "up to date"


def test_days_that_are_refused_again_and_again_are_left_alone_for_a_day(build: Build) -> None:
    taken = {0, 1}

    def too_old(question: Frame) -> bool:
        return question.esv is Esv.SETC and question.properties[0].edt[0] not in taken

    bench = build(days=20, refuses=too_old)
    bench.filling.run()
    assert bench.times(0xE5, Esv.SETC) == 2 + 3
    assert bench.progress.status.doing == "up to date, the meter tells of no day before 2026-11-23"
    bench.filling.run()
    assert bench.times(0xE5, Esv.SETC) == 2 + 3
    bench.clock.advance(BELIEVED_S + BUSY_S)
    bench.filling.run()
    assert bench.times(0xE5, Esv.SETC) > 2 + 3


def test_nothing_older_is_filled_than_a_day_that_another_meter_was_there(build: Build) -> None:
    bench = build(days=9)
    begin_ms = epoch_ms(NOON) - 3 * DAY_MS
    bench.recorder.record_once(
        [
            Reading(
                begin_ms // HALF_HOUR_MS * HALF_HOUR_MS + number * HALF_HOUR_MS,
                "BR",
                "EA",
                kwh,
                "x",
            )
            for number, kwh in enumerate(map(Decimal, range(7, 13)))
        ]
    )
    bench.filling.run()
    found = bench.recorded("EA")
    assert len(found) == 2 * 48 + 25 + 6
    assert "no day before 2026-11-22" in bench.progress.status.doing


def test_days_that_were_recorded_hours_off_are_told_of_once_and_why(build: Build) -> None:
    """As by a kei that took the meter's stamps for those of another zone."""
    bench = build()
    begin_ms = epoch_ms(datetime(2026, 11, 21, tzinfo=TOKYO))
    right = [
        Reading(begin_ms + number * HALF_HOUR_MS, "BR", "EA", Decimal(0), "x")
        for number in range(72)
    ]
    hours_off = 9 * 3_600_000
    bench.recorder.record_once(
        [replace(each, time_ms=each.time_ms + hours_off, value=bench.truth(each)) for each in right]
    )
    with capture_logs() as logs:
        bench.filling.run()
        bench.filling.run()
    (told,) = (each for each in logs if each["event"] == "history_differs")
    assert (told["days"], told["oldest"], told["newest"]) == (2, "2026-11-21", "2026-11-22")
    assert "9 h" in told["hint"]
    assert bench.progress.status.doing == (
        "up to date, but the times of 2 days were recorded 9 h too late, which are not filled"
    )
    assert len(bench.recorded("EA")) == 72 + 48 + 25


def test_one_day_that_is_always_refused_is_left_alone_after_three_runs(build: Build) -> None:
    def day_two(question: Frame) -> bool:
        return question.esv is Esv.SETC and question.properties[0].edt == b"\x02"

    bench = build(refuses=day_two)
    for _ in range(6):
        bench.filling.run()
    assert len(bench.recorded("EA")) == 2 * 48 + 25
    asked = [each.properties[0].edt for each in bench.asked if each.esv is Esv.SETC]
    assert asked.count(b"\x02") == 3


def test_a_clock_of_the_meter_that_was_never_set_is_told(build: Build) -> None:
    bench = build()
    bench.meter.now = lambda: bench.second() - 400 * 86_400
    bench.filling.run()
    assert "the meter's clock is 400 days behind" in bench.progress.status.doing


def test_a_history_that_is_refused_for_good_is_left_for_the_other_one(build: Build) -> None:
    def by_day(question: Frame) -> bool:
        return bool(BY_DAY & {item.epc for item in question.properties})

    bench = build(refuses=by_day)
    bench.filling.run()
    expect_all(bench)
    assert bench.times(0xE2) == 0
    assert bench.times(0xE5, Esv.SETC) == 3


def test_sold_energy_that_is_refused_is_asked_for_on_three_days_only(build: Build) -> None:
    bench = build(
        MeterType(lacks=frozenset({0xEC, 0xED})),
        days=9,
        refuses=lambda question: question.properties[0].epc == 0xE4,
    )
    bench.filling.run()
    expect_all(bench, ["EA"], 9)
    assert bench.times(0xE4) == 3
    bench.filling.run()
    assert bench.times(0xE4) == 3


def test_sold_energy_that_never_has_a_value_is_not_asked_for_each_half_hour(build: Build) -> None:
    bench = build(MeterType(lacks=frozenset({0xE3})), days=0)
    for _ in range(8):
        bench.filling.run()
        bench.clock.advance(1800)
    assert bench.times(0xE4) <= 3 + 1


def test_sold_energy_of_newer_days_is_asked_for_though_older_days_have_none(build: Build) -> None:
    bench = build(days=9)
    panels_since_ms = epoch_ms(NOON) - 3 * DAY_MS
    reverse = bench.meter._counter.reverse

    def since_then(second: int) -> bytes:
        is_before = (second - JAPAN_S) * 1000 < panels_since_ms
        return b"\xff\xff\xff\xfe" if is_before else reverse(second)

    bench.meter._counter.reverse = since_then  # type: ignore[method-assign]
    bench.filling.run()
    before = bench.times(0xE4)
    assert before < 9
    bench.clock.advance(6 * 3600)
    bench.filling.run()
    found = bench.recorded("EB")
    assert found[-1].time_ms > bench.clock.now_ms() - 2 * HALF_HOUR_MS
    assert len(found) == (found[-1].time_ms - found[0].time_ms) // HALF_HOUR_MS + 1
    assert bench.times(0xE4) == before + 1


def test_sold_energy_that_is_not_answered_is_asked_for_again(build: Build) -> None:
    bench = build(days=5)
    get = bench.get

    def silent(epcs: tuple[int, ...], budget_s: float, *, gives_way: bool) -> Answer:
        if epcs == (0xE4,):
            raise RetryLater("no answer")
        return get(epcs, budget_s, gives_way=gives_way)

    bench.get = silent  # type: ignore[method-assign]
    bench.filling.run()
    expect_all(bench, ["EA"], 5)
    assert bench.progress.status.days_left == 6
    bench.get = get  # type: ignore[method-assign]
    bench.filling.run()
    expect_all(bench, days=5)


@pytest.mark.parametrize("lacks", [frozenset[int](), frozenset({0x97, 0x98})])
def test_a_clock_that_loses_its_trust_ends_the_filling_and_what_was_read_last_is_not_taken(
    build: Build, lacks: frozenset[int]
) -> None:
    bench = build(MeterType(lacks=lacks))

    def lose_trust(question: Frame) -> bool:
        bench.doubted |= bench.times(0xE2) == 2
        return question.esv is Esv.SETC_SNA

    bench.refuses = lose_trust
    with pytest.raises(ClockDoubted):
        bench.filling.run()
    assert len(bench.recorded("EA")) == 25
    bench.doubted, bench.refuses = False, lambda _: False
    bench.filling.run()
    expect_all(bench)


NEW = MeterType(next_gen=True)


def test_a_newer_meter_gives_its_minutes_as_far_as_time_allows(build: Build) -> None:
    bench = build(NEW, days=0, minutes=True)
    for _ in range(4):
        bench.filling.run()
        bench.clock.advance(60)
    minutes = 12 * 60 + 10 - 5 + 1
    for sensor in ("D0", "D0R"):
        found = bench.recorded(sensor, MINUTE_MS)
        assert len(found) >= minutes
        assert all(each.value == bench.truth(each) for each in found)
    asked = bench.times(0xEE)
    bench.filling.run()
    assert bench.times(0xEE) - asked <= 1
    assert bench.progress.status.doing == "up to date"


def test_the_minutes_wait_when_a_half_hour_is_due(build: Build) -> None:
    bench = build(NEW, days=9, minutes=True)
    bench.filling.run()
    assert "reading the minutes before" in bench.progress.status.doing
    due = datetime(2026, 11, 24, 12, 30, tzinfo=TOKYO)
    # The meter's clock is known to half a minute.
    assert -MINUTE_MS < bench.clock.now_ms() - epoch_ms(due) < 4 * MINUTE_MS
    expect_all(bench, days=9)


def test_minutes_that_a_meter_does_not_remember_are_given_up_after_hours_without_any(
    build: Build,
) -> None:
    bench = build(MeterType(next_gen=True, remembers=0), days=1, minutes=True)
    for _ in range(6):
        bench.filling.run()
    asked = bench.times(0xEE)
    midnight = epoch_ms(datetime(2026, 11, 24, tzinfo=TOKYO))
    assert min(each.time_ms for each in bench.recorded("D0", MINUTE_MS)) == midnight
    bench.filling.run()
    assert bench.times(0xEE) - asked <= 1


def test_a_minute_that_is_there_is_neither_asked_for_nor_doubled(build: Build) -> None:
    bench = build(NEW, days=0, minutes=True)
    for _ in range(30):
        bench.decoder.take(bench.get((0xD0,), 5, gives_way=True), asked=(0xD0,))
        bench.clock.advance(60)
    bench.recorder.commit()
    known = {each.time_ms for each in bench.recorded("D0", MINUTE_MS)}
    assert len(known) >= 29
    bench.filling.run()
    for question in bench.asked:
        if question.esv is Esv.SETC and question.properties[0].epc == 0xEF:
            newest = question.properties[0].edt
            at = datetime(2026, newest[2], newest[3], newest[4], newest[5], tzinfo=TOKYO)
            assert epoch_ms(at) not in known


def test_half_hours_that_a_meter_tells_in_no_other_way_come_from_its_minutes(build: Build) -> None:
    bench = build(
        MeterType(next_gen=True, lacks=frozenset({0xE4, 0xEC, 0xED})), days=0, minutes=True
    )
    for _ in range(4):
        bench.filling.run()
    found = bench.recorded("EB")
    assert len(found) >= 24
    assert all(each.value == bench.truth(each) for each in found)


def test_a_meter_without_minutes_is_asked_for_them_once(build: Build) -> None:
    bench = build(minutes=True)
    bench.filling.run()
    bench.filling.run()
    assert bench.times(0xEF, Esv.SETC) == 1
    expect_all(bench)


def test_another_day_in_a_late_answer_is_not_taken_for_the_one_that_was_asked_for(
    build: Build,
) -> None:
    bench = build(days=2)
    get = bench.get
    late: list[Answer] = []

    def first_is_late(epcs: tuple[int, ...], budget_s: float, *, gives_way: bool) -> Answer:
        answer = get(epcs, budget_s, gives_way=gives_way)
        if epcs != (0xE2,):
            return answer
        late.append(answer)  # each answer of E2 comes with the question after it
        if len(late) == 1:
            raise RetryLater("no answer")
        return late[-2]

    bench.get = first_is_late  # type: ignore[method-assign]
    bench.filling.run()
    for each in bench.recorded("EA"):
        assert each.value == bench.truth(each)
