"""Whatever the meter sends, decoder and recorder go on, and no file of another time comes to be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from fakes import FakeClock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from session_bench import Memory
from stored import RIGHT, ConstantMonitor, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import Instant, epoch_ms, local
from kei.echonet.frame import Property
from kei.echonet.meter_class import PROPERTIES
from kei.meter.decoder import MeterDecoder
from kei.store.database import Database
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.monitor import ClockStatus
from kei.wisun.interfaces import Answer

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

NOW = datetime.fromisoformat("2026-11-23T10:10:00+09:00")
NOT_TRUSTED = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=True))
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12")
ANY_EPC = st.integers(0x80, 0xFF)
YEARS = st.sampled_from([0, 1, 2, 1969, 1970, 1999, 2000, 2026, 2036, 2099, 2100, 9999, 65535])


@st.composite
def stamps(draw: st.DrawFn) -> bytes:
    """Seven bytes that are a time, or nearly one."""
    parts = [st.integers(0, 13), st.integers(0, 32), *[st.integers(0, 61)] * 3]
    return draw(YEARS).to_bytes(2, "big") + bytes(draw(part) for part in parts)


@st.composite
def properties(draw: st.DrawFn) -> tuple[int, bytes]:
    """A property with any data, or with data of its size."""
    epc = draw(st.sampled_from(sorted(PROPERTIES)) | ANY_EPC)
    spec = PROPERTIES.get(epc)
    if spec is None or draw(st.booleans()):
        return epc, draw(st.binary(max_size=255))
    if spec.measured_every_s is None:
        return epc, draw(st.binary(min_size=spec.size, max_size=spec.size))
    rest = draw(st.binary(min_size=spec.size - 7, max_size=spec.size - 7))
    return epc, draw(stamps()) + rest


@dataclass
class Home:
    """A decoder, and the real recorder behind it."""

    folder: Path
    decoder: MeterDecoder
    recorder: Recorder


@contextmanager
def home(zone: str, trust: ConstantMonitor) -> Iterator[Home]:
    with TemporaryDirectory() as name:
        folder, clock = Path(name), FakeClock(epoch_ms(NOW), ZoneInfo(zone))
        database = Database.open(folder / "kei.db", clock)
        text = DailyFile(folder, "home", "", clock.zone)
        recorder = recorder_of(database, text, clock=clock, monitor=trust)
        decoder = MeterDecoder(
            "BR", recorder, Memory(), clock=clock, trust=trust, on_joined=lambda: None
        )
        yield Home(folder, decoder, recorder)
        recorder.close()
        database.close()


@pytest.mark.parametrize("trust", [RIGHT, NOT_TRUSTED], ids=["trusted", "not trusted"])
@settings(max_examples=100, deadline=None)
@example(zone="Pacific/Kiritimati", sent=[(0xEA, bytes.fromhex("270F0C1F173B3B0001AB25"))])
@example(zone="America/New_York", sent=[(0xEA, bytes.fromhex("000101010000000001AB25"))])
@given(zone=st.sampled_from(ZONES), sent=st.lists(properties(), min_size=1, max_size=12))
def test_any_bytes_of_the_meter_are_recorded_or_told(
    trust: ConstantMonitor, zone: str, sent: list[tuple[int, bytes]]
) -> None:
    with capture_logs() as logs, home(zone, trust) as it:
        known = {0xD3: b"\0\0\0\1", 0xE1: b"\1"}
        it.decoder.joined("001D129012345678", Answer(Instant(epoch_ms(NOW)), known, frozenset()))
        for number, (epc, edt) in enumerate(sent):
            if number % 2:
                it.decoder.notified((Property(epc, edt),), Instant(epoch_ms(NOW)))
            else:
                it.decoder.take(Answer(Instant(epoch_ms(NOW)), {epc: edt}, frozenset()), (epc,))
        it.decoder.notified((Property(0xE7, b"\0\0\1\xf8"),), Instant(epoch_ms(NOW)))
        it.recorder.commit()
        lines = [line for file in it.folder.glob("*.txt") for line in file.read_text().splitlines()]
        assert any(line.endswith(",BR,E7,504,x") for line in lines)
        if trust is RIGHT:
            check_days(it.folder, ZoneInfo(zone))
    assert [e for e in logs if e["log_level"] in ("error", "critical")] == []


def check_days(folder: Path, zone: ZoneInfo) -> None:
    """No daily file is older than the meter can remember, or of tomorrow."""
    today = local(epoch_ms(NOW), zone).date()
    names = {file.name[:8] for file in folder.glob("*-home.txt")}
    days = [datetime.strptime(name, "%Y%m%d").date() for name in names]  # noqa: DTZ007 - a date
    assert all(today - timedelta(days=101) <= day <= today for day in days)
