"""Time stamps of the meter: which are taken, and what is told of those that are not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from fakes import TOKYO, FakeClock
from session_bench import Memory
from stored import RIGHT, ConstantMonitor
from structlog.testing import capture_logs

from kei.core.clock import Instant, epoch_ms
from kei.core.reading import Reading
from kei.echonet.frame import Property
from kei.echonet.meter_class import METER_ZONE
from kei.meter.decoder import MeterDecoder
from kei.meter.stamps import Doubt, doubt_about
from kei.timekeeping.monitor import ClockStatus
from kei.wisun.interfaces import Answer

NOW = datetime.fromisoformat("2026-11-23T10:10:00+09:00")
NOT_TRUSTED = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=True))
UNSET = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=False))


class Sink:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def record(self, readings: Sequence[Reading]) -> None:
        self.readings += readings

    record_once = record


def clock_at(now: datetime) -> FakeClock:
    return FakeClock(epoch_ms(now), TOKYO)


def doubt(stamp: str, now: datetime = NOW, trust: ConstantMonitor = RIGHT) -> Doubt | None:
    at = datetime.fromisoformat(stamp).replace(tzinfo=METER_ZONE)
    return doubt_about(at, clock_at(now), trust)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-23T10:00:00", None),
        ("2026-11-23T10:15:00", None),
        ("2026-11-23T10:15:01", Doubt.IN_FUTURE),
        ("2036-01-01T00:00:00", Doubt.IN_FUTURE),
        ("2026-08-16T00:00:00", None),  # 99 days before today
        ("2026-08-15T23:30:00", Doubt.TOO_OLD),
        ("2000-01-01T00:00:00", Doubt.TOO_OLD),
    ],
)
@pytest.mark.parametrize("trust", [RIGHT, UNSET], ids=["synchronised", "plausible"])
def test_a_stamp_is_judged_by_a_clock_that_is_trusted(
    stamp: str, expected: Doubt | None, trust: ConstantMonitor
) -> None:
    assert doubt(stamp, trust=trust) is expected


@pytest.mark.parametrize("shown", ["1970-01-01", "2026-09-24", "2026-11-23", "2036-01-01"])
def test_a_stamp_is_taken_whatever_a_clock_shows_that_is_not_trusted(shown: str) -> None:
    now = datetime.fromisoformat(shown).replace(tzinfo=UTC)
    assert doubt("2026-11-23T10:00:00", now, NOT_TRUSTED) is None
    assert doubt("2027-11-23T10:00:00", now, NOT_TRUSTED) is None


def test_what_is_too_old_by_any_account_is_so_without_a_trusted_clock() -> None:
    assert doubt("2000-01-01T00:00:00", NOW, NOT_TRUSTED) is Doubt.TOO_OLD


def ea(stamp: bytes) -> tuple[Property, ...]:
    return (Property(0xEA, stamp + b"\0\1\xab\x25"),)


def stamp_of(moment: datetime) -> bytes:
    in_japan = moment.astimezone(METER_ZONE)
    return in_japan.year.to_bytes(2, "big") + bytes(in_japan.timetuple()[1:6])


GOOD = stamp_of(NOW - timedelta(minutes=10))
IMPOSSIBLE = {
    "year 0": "00000101000000",
    "year 1": "00010101000000",
    "year 9999": "270F0C1F173B3B",
    "year 65535, but a month": "FFFF0101000000",
    "month 0": "07EA0001000000",
    "month 13": "07EA0D01000000",
    "February 30": "07EA021E000000",
    "hour 24": "07EA0B17180000",
    "minute 60": "07EA0B170A3C00",
    "second 60": "07EA0B170A003C",
}


class Bench:
    """A decoder that knows its unit, and what it records."""

    def __init__(self, trust: ConstantMonitor = RIGHT) -> None:
        self.sink, self.clock = Sink(), clock_at(NOW)
        self.decoder = MeterDecoder(
            "BR", self.sink, Memory(), clock=self.clock, trust=trust, on_joined=lambda: None
        )
        scale = {0xD3: b"\0\0\0\1", 0xE1: b"\1"}
        self.decoder.joined("001D129012345678", Answer(Instant(0), scale, frozenset()))

    def hear(self, stamp: bytes) -> None:
        self.decoder.notified(ea(stamp), Instant(epoch_ms(NOW)))


@pytest.mark.parametrize("stamp", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("trust", [RIGHT, NOT_TRUSTED], ids=["trusted", "not trusted"])
def test_an_impossible_stamp_is_told_once_and_gives_no_reading(
    stamp: str, trust: ConstantMonitor
) -> None:
    bench = Bench(trust)
    with capture_logs() as logs:
        for _ in range(3):
            bench.hear(bytes.fromhex(stamp))
    assert bench.sink.readings == []
    (event,) = logs
    assert (event["event"], event["epc"], event["why"]) == ("stamp_refused", "EA", "impossible")
    assert event["stamp"] == stamp


def test_a_refused_stamp_is_counted_and_its_end_told() -> None:
    bench = Bench()
    far = stamp_of(NOW + timedelta(days=3653))
    with capture_logs() as logs:
        for stamp in (far, far, far, GOOD, GOOD):
            bench.hear(stamp)
    assert [e["event"] for e in logs] == ["stamp_refused", "fault_ended"]
    assert logs[0]["why"] == "in_the_future"
    assert logs[1]["count"] == 3
    assert len(bench.sink.readings) == 2


def test_each_reason_is_told_by_itself() -> None:
    bench = Bench()
    old = stamp_of(NOW - timedelta(days=101))
    with capture_logs() as logs:
        for stamp in (old, bytes(7), old, bytes(7)):
            bench.hear(stamp)
    assert [e["why"] for e in logs] == ["too_old", "impossible"]
    assert bench.sink.readings == []


def test_the_other_values_of_an_answer_with_a_bad_stamp_are_recorded() -> None:
    bench = Bench()
    answer = {0xEA: bytes(11), 0xE7: b"\0\0\1\xf8"}
    bench.decoder.take(Answer(Instant(epoch_ms(NOW)), answer, frozenset()), tuple(answer))
    assert [reading.sensor for reading in bench.sink.readings] == ["E7"]
