"""The request job: what it asks, and what it makes of answers that are missing or cut short."""

from collections.abc import Callable, Sequence

import pytest
import structlog
from fakes import FakeClock
from session_bench import Memory
from stored import RIGHT
from structlog.testing import capture_logs

from kei.core.clock import Instant
from kei.core.errors import NotAsked, NotReady, RetryLater, Stopping
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.echonet.frame import encode_property_map
from kei.echonet.meter_class import PROPERTIES
from kei.jobs.request import RequestJob
from kei.meter.decoder import MeterDecoder
from kei.wisun.interfaces import Answer
from kei.wisun.session import Session

Epcs = tuple[int, ...]
EVERYTHING = encode_property_map(frozenset(PROPERTIES))
DATA = {epc: bytes(spec.size) for epc, spec in PROPERTIES.items()} | {
    0x9F: EVERYTHING,
    0xEA: bytes.fromhex("07E8010F0C1E0000000000"),
    0xD7: b"\x06",
}


class Meter(Session):
    """Answers requests as a test wants, instead of over the air."""

    def __init__(self, answer: Callable[[Epcs], Answer], clock: FakeClock) -> None:
        self.asked: list[Epcs] = []
        self.rests: list[float] = []
        self._answer = answer
        self._fake_clock = clock

    def get(self, epcs: Epcs, budget_s: float, *, gives_way: bool = False) -> Answer:
        assert budget_s >= 5
        assert not gives_way
        self.asked.append(epcs)
        return self._answer(epcs)

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self._fake_clock.advance(seconds)


class Sink:
    """Keeps the sensors of what is recorded."""

    def __init__(self) -> None:
        self.sensors: list[str] = []

    def record(self, readings: Sequence[Reading]) -> None:
        self.sensors += [reading.sensor for reading in readings]

    record_once = record


def everything(epcs: Epcs) -> Answer:
    return Answer(Instant(1), {epc: DATA[epc] for epc in epcs}, frozenset())


def at_most(count: int) -> Callable[[Epcs], Answer]:
    """A meter that silently cuts the rest off."""
    return lambda epcs: everything(epcs[:count])


def one_only(epcs: Epcs) -> Answer:
    """A meter that answers no frame with several properties."""
    if len(epcs) > 1:
        raise RetryLater("no answer")
    return everything(epcs)


def job(
    answer: Callable[[Epcs], Answer], *epcs: int, readable: bytes = EVERYTHING, cycle_s: float = 10
) -> tuple[RequestJob, Meter, Sink]:
    clock, sink = FakeClock(), Sink()
    meter = Meter(answer, clock)
    decoder = MeterDecoder("BR", sink, Memory(), clock=clock, trust=RIGHT, on_joined=lambda: None)
    first = {**everything((0xD3, 0xE1)).properties, 0x9F: readable}
    decoder.joined("0", Answer(Instant(1), first, frozenset()))
    incidents = Incidents(structlog.stdlib.get_logger("kei.request"), clock)
    asking = RequestJob(
        epcs, cycle_s, session=meter, decoder=decoder, clock=clock, incidents=incidents
    )
    return asking, meter, sink


def test_a_group_is_asked_in_one_frame() -> None:
    request, meter, sink = job(everything, 0xE7, 0xE0)
    request.run()
    assert meter.asked == [(0xE7, 0xE0)]
    assert sink.sensors == ["E7", "E0"]


def test_no_more_than_six_properties_are_asked_at_once() -> None:
    request, meter, _ = job(everything, 0xD3, 0xD7, 0xE1, 0xE7, 0xE8, 0xE0, 0xE3)
    request.run()
    assert [len(epcs) for epcs in meter.asked] == [6, 1]


def test_properties_that_the_meter_cut_off_are_asked_again_and_fewer_at_once_from_then_on() -> None:
    request, meter, sink = job(at_most(2), 0xD7, 0xE7, 0xE0)
    request.run()
    request.run()
    assert meter.asked == [(0xD7, 0xE7, 0xE0), (0xE0,), (0xD7, 0xE7), (0xE0,)]
    assert sink.sensors == ["D7", "E7", "E0"] * 2


def test_a_meter_that_answers_only_single_requests_is_asked_one_by_one() -> None:
    request, meter, sink = job(one_only, 0xE7, 0xE0)
    for _ in range(4):
        request.run()
    several, single = (0xE7, 0xE0), [(0xE7,), (0xE0,)]
    assert meter.asked == [several, several, several, single[0], several, single[1], *single]
    assert sink.sensors == ["E7", "E0"] * 2


def test_what_the_meter_was_never_asked_says_nothing_about_it() -> None:
    busy = [True] * 10

    def renewing(epcs: Epcs) -> Answer:
        if busy and busy.pop():
            raise NotAsked("the dongle renews the session")
        return everything(epcs)

    request, meter, sink = job(renewing, 0xE7, 0xE0)
    for _ in range(11):
        request.run()
    assert set(meter.asked) == {(0xE7, 0xE0)}
    assert sink.sensors == ["E7", "E0"]


def test_several_are_asked_once_more_before_the_meter_is_believed_to_answer_only_one() -> None:
    silent = [True] * 3

    def back_just_now(epcs: Epcs) -> Answer:
        if silent and silent.pop():
            raise RetryLater("no answer")
        return everything(epcs)

    request, meter, sink = job(back_just_now, 0xE7, 0xE0)
    with capture_logs() as logs:
        for _ in range(4):
            request.run()
    several = (0xE7, 0xE0)
    assert meter.asked == [several, several, several, (0xE7,), several, several]
    assert sink.sensors == ["E7", "E7", "E0", "E7", "E0"]
    assert "fewer_properties_at_once" not in [each["event"] for each in logs]


def refusing(epcs: Epcs) -> Answer:
    return Answer(Instant(1), {}, frozenset(epcs))


@pytest.mark.parametrize(
    ("cycle_s", "rests"), [(0.5, []), (1, []), (10, [1, 2, 4]), (3600, [1, 2, 4, 8, 15])]
)
def test_a_busy_meter_that_refuses_everything_is_asked_again_within_the_cycle(
    cycle_s: float, rests: list[float]
) -> None:
    request, meter, sink = job(refusing, 0xE7, 0xE0, cycle_s=cycle_s)
    request.run()
    assert meter.rests == rests
    assert meter.asked == [(0xE7, 0xE0)] * (1 + len(rests))
    assert sink.sensors == []


def test_a_refusal_of_a_moment_costs_no_reading() -> None:
    busy = [True, True]
    request, meter, sink = job(
        lambda epcs: refusing(epcs) if busy and busy.pop() else everything(epcs), 0xE7
    )
    with capture_logs() as logs:
        for _ in range(2):
            request.run()
    assert meter.rests == [1, 2]
    assert sink.sensors == ["E7", "E7"]
    assert [each for each in logs if each["log_level"] != "debug"] == []


def test_what_is_always_refused_is_asked_once_a_cycle_until_it_is_given() -> None:
    refused = [True] * 6
    request, meter, sink = job(
        lambda epcs: refusing(epcs) if refused and refused.pop() else everything(epcs), 0xE7
    )
    for _ in range(4):
        request.run()
    assert meter.rests == [1, 2, 4]
    assert sink.sensors == ["E7"]
    refused.append(True)
    request.run()
    assert meter.rests == [1, 2, 4, 1]
    assert sink.sensors == ["E7", "E7"]


def test_a_miss_after_a_refusal_leaves_it_at_the_refusal() -> None:
    first = [True]

    def silent_then(epcs: Epcs) -> Answer:
        if first and first.pop():
            return refusing(epcs)
        raise RetryLater("no answer")

    request, meter, _ = job(silent_then, 0xE7)
    with capture_logs() as logs:
        request.run()
    assert meter.rests == [1]
    assert [each["event"] for each in logs] == ["property_not_given"]


def test_a_silent_meter_is_no_reason_to_ask_one_by_one() -> None:
    def silent(_: Epcs) -> Answer:
        raise RetryLater("no answer")

    request, meter, _ = job(silent, 0xE7, 0xE0)
    for _ in range(4):
        request.run()
    assert meter.asked[-2:] == [(0xE7, 0xE0), (0xE7,)]


def test_a_missing_answer_is_told_once_until_it_comes_again() -> None:
    silent = [True, True, False]

    def sometimes(epcs: Epcs) -> Answer:
        if silent.pop(0):
            raise RetryLater("no answer")
        return everything(epcs)

    request, _, _ = job(sometimes, 0xE7)
    with capture_logs() as logs:
        for _ in range(3):
            request.run()
    assert [e["event"] for e in logs] == ["request_missed", "fault_ended"]
    assert logs[-1]["count"] == 2


def test_without_a_session_it_returns_at_once_and_says_so_once() -> None:
    def not_joined(_: Epcs) -> Answer:
        raise NotReady("not joined")

    request, meter, _ = job(not_joined, 0xE7, 0xE0)
    with capture_logs() as logs:
        request.run()
        request.run()
    assert len(meter.asked) == 2
    assert [e["event"] for e in logs if e["log_level"] != "debug"] == ["requests_waiting"]


def test_a_stop_ends_it_without_a_word() -> None:
    def stopping(_: Epcs) -> Answer:
        raise Stopping("kei is being stopped")

    request, _, _ = job(stopping, 0xE7)
    with capture_logs() as logs:
        request.run()
    assert logs == []


CLOCK_MAP = encode_property_map(frozenset(PROPERTIES) | {0x97, 0x98})
NOVEMBER_14 = {0x97: bytes((22, 13)), 0x98: bytes((7, 231, 11, 14))}


def with_clock(epcs: Epcs) -> Answer:
    data = DATA | NOVEMBER_14
    return Answer(Instant(1), {epc: data[epc] for epc in epcs}, frozenset())


def test_the_meters_clock_is_asked_last_and_once_a_day() -> None:
    request, meter, sink = job(with_clock, 0xE7, readable=CLOCK_MAP)
    for _ in range(2):
        request.run()
    assert meter.asked == [(0xE7,), (0x98, 0x97), (0xE7,)]
    assert sink.sensors == ["E7", "E7"]


def test_a_clock_that_is_not_answered_is_no_fault() -> None:
    def silent_of_it(epcs: Epcs) -> Answer:
        if 0x97 in epcs:
            raise RetryLater("no answer")
        return with_clock(epcs)

    request, meter, _ = job(silent_of_it, 0xE7, readable=CLOCK_MAP)
    with capture_logs() as logs:
        for _ in range(2):
            request.run()
    assert [e for e in logs if e["log_level"] != "debug"] == []
    assert meter.asked.count((0x98, 0x97)) == 1


def test_a_clock_that_is_refused_in_spite_of_the_map_is_no_fault() -> None:
    def refusing_it(epcs: Epcs) -> Answer:
        return refusing(epcs) if 0x97 in epcs else with_clock(epcs)

    request, _, _ = job(refusing_it, 0xE7, readable=CLOCK_MAP)
    with capture_logs() as logs:
        request.run()
    assert [e for e in logs if e["log_level"] != "debug"] == []
