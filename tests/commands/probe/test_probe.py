"""A probe inside: what is asked and how it is shown; the whole command is tested elsewhere."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock, FastClock
from forked import unmeasured
from hypothesis import given
from hypothesis import strategies as st
from jobs_file import BROUTE, BROUTE_ID, JobsFile

from kei.commands.probe.questions import LOOK_AGAIN_S, Got, Missing, ask_everything, withhold
from kei.commands.probe.result import Item, ProbeResult, scale_of
from kei.commands.probe.run import join_and_ask
from kei.core.clock import Instant, SystemClock
from kei.core.errors import KeiError, NotReady, RetryLater, Stopping
from kei.core.signals import SignalQueue
from kei.echonet.meter_class import PROPERTIES, Scale
from kei.echonet.superclass import SUPER_PROPERTIES
from kei.settings.broute import Broute
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import Answer, Dongle
from kei.wisun.network import Network

TENTHS = Scale(1, Decimal("0.1"))
NO_DATA = "FFFFFFFE"
NETWORK = Network(33, 0x8888, "001D129012345678", 200)


def text_of(epc: int, data: str, scale: Scale | None = TENTHS) -> str:
    return Item.of(epc, bytes.fromhex(data), scale).text


# ---------------------------------------------------------------------- one property


@pytest.mark.parametrize(
    ("epc", "data", "text"),
    [
        (0xD3, "00000001", "1"),
        (0xE1, "01", "0.1 kWh"),
        (0xE0, "0001AB25", "10934.9 kWh"),
        (0xE0, NO_DATA, "no data"),
        (0xE7, "FFFFFA2F", "-1489 W"),
        (0xE8, "00147FFE", "E8R 2.0 A, E8T no data"),
        (0xEA, "07E8010F0C1E000001AB25", "10934.9 kWh at 2024-01-15 12:30:00"),
        (0xE2, "0001" + "0001A9C8" * 26 + "0001A9CA" * 22, "48 of 48 values, 10900.0 to 10900.2"),
        (0xE2, "0000" + "0001A9C8" * 26 + NO_DATA * 22, "today, 26 of 48 values"),
        (0xE4, "00FF" + NO_DATA * 48, "no day is set, 0 of 48 values"),
        (0xE5, "01", "yesterday"),
        (0xE5, "0B", "11 days ago"),
        (0xEC, "07E8010F0C1E020001AB250000A5440001AB1F0000A544", "10934.3 to 10934.9 kWh"),
        (0xEC, "07E8010F0C1E020001AB250000A5440001AB1F0000A544", "2 x 30 min back from 2024-01-15"),
        (0xED, "FFFFFFFFFFFF01", "no time is set"),
        (0xEE, "07E8010F0C220200A6DAA700408E9C00A6DA9E00408E9C", "1093494.2 to 1093495.1 kWh"),
        (0xEF, "07E8010F0C2202", "2 x 1 min back from 2024-01-15 12:34"),
        (0xD0, "0102", "0102"),
        (0xF5, "0102", "0102"),
    ],
)
def test_a_property_is_told_in_its_unit(epc: int, data: str, text: str) -> None:
    assert text in text_of(epc, data)


@pytest.mark.parametrize(
    ("epc", "data"), [(0xE7, "0001"), (0xE2, "0001"), (0xEC, "07E8010F0C1E03"), (0xEF, "00" * 7)]
)
def test_a_malformed_property_is_shown_with_its_digits(epc: int, data: str) -> None:
    assert text_of(epc, data).startswith(f"{data} (")


@pytest.mark.parametrize(
    ("epc", "data"), [(0xE0, "0001AB25"), (0xE2, "0001" + "0001A9C8" * 48)], ids=["E0", "E2"]
)
def test_energy_is_no_number_before_its_unit_is_known(epc: int, data: str) -> None:
    shown = Item.of(epc, bytes.fromhex(data), None)
    assert "kWh" not in shown.text
    assert shown.values == ()


@given(st.integers(0x80, 0xFF), st.binary(max_size=255), st.sampled_from([None, TENTHS]))
def test_any_data_of_any_property_can_be_shown(epc: int, edt: bytes, scale: Scale | None) -> None:
    found = ProbeResult.of(DONGLE, NETWORK, None, {epc: edt})
    assert Item.of(epc, edt, scale).text.isascii()
    assert json.loads(found.to_json())["properties"][f"{epc:02X}"]["raw"] == edt.hex().upper()
    assert found.to_text().endswith("\n")


@pytest.mark.parametrize(
    ("got", "scale"),
    [
        ({0xD3: b"\0\0\0\2", 0xE1: b"\1"}, Scale(2, Decimal("0.1"))),
        ({0xD3: Missing.REFUSED, 0xE1: b"\1"}, TENTHS),
        ({0xE1: b"\1"}, TENTHS),
        ({0xD3: Missing.NO_ANSWER, 0xE1: b"\1"}, None),
        ({0xD3: b"\xff" * 4, 0xE1: b"\1"}, None),
        ({0xD3: b"\0\0\0\2", 0xE1: Missing.REFUSED}, None),
        ({0xD3: b"\0\0\0\2", 0xE1: b"\x77"}, None),
        ({0xD3: b"\0\0\0\2", 0xE1: b"\1\1"}, None),
    ],
)
def test_the_scale_is_known_only_when_nothing_is_in_doubt(
    got: dict[int, Got], scale: Scale | None
) -> None:
    assert scale_of(got) == scale


@pytest.mark.parametrize(
    ("got", "unit"),
    [
        ({0xD3: b"\0\0\0\1"}, "0.01"),
        ({0xD3: b"\0\0\0\1", 0xE1: Missing.REFUSED}, "0.01"),
        ({0xD3: b"\0\0\0\1", 0xE1: b"\x01"}, "0.1"),
        ({0xD3: b"\0\0\0\1", 0xE1: Missing.NO_ANSWER}, None),
    ],
)
def test_the_unit_of_jobs_toml_is_for_a_meter_that_has_none(
    got: dict[int, Got], unit: str | None
) -> None:
    scale = None if unit is None else Scale(1, Decimal(unit))
    assert scale_of(got, Decimal("0.01")) == scale


# ---------------------------------------------------------------------- all together

DONGLE = Dongle(DIALECTS["BP35A1"], "1.2.10", "")
GOT: dict[int, Got] = {
    0x8A: b"\0\0\x16",
    0x9D: b"\x01\x80",
    0x9F: b"\x02\x80\xe7",
    0xE3: Missing.REFUSED,
    0xE7: b"\0\0\x02\0",
    0xE8: bytes.fromhex("00147FFE"),
}


def test_json_has_numbers_raw_data_and_what_is_missing() -> None:
    shown = json.loads(ProbeResult.of(DONGLE, NETWORK, 225, GOT).to_json())
    assert shown["dongle"] == {"model": "BP35A1", "firmware": "1.2.10", "product": None}
    assert shown["signal"] == {"lqi": 225, "rssi_dbm": -42.4}
    assert shown["meter"]["maker_name"] == "Toshiba"
    assert shown["meter"]["serial_number"] is None
    assert shown["property_maps"] == {"announce": ["80"], "set": None, "get": ["80", "E7"]}
    assert shown["properties"]["E7"] == {
        "name": "instantaneous power",
        "text": "512 W",
        "raw": "00000200",
        "values": [{"sensor": "E7", "unit": "W", "value": 512}],
    }
    assert shown["properties"]["E8"]["values"] == [
        {"sensor": "E8R", "unit": "A", "value": 2.0},
        {"sensor": "E8T", "unit": "A", "value": None, "absent": "no_data"},
    ]
    assert shown["properties"]["E3"]["missing"] == "refused"


def test_text_says_unknown_where_the_meter_said_nothing() -> None:
    lines = ProbeResult.of(DONGLE, NETWORK, None, GOT).to_text().splitlines()
    assert "maker       000016 (Toshiba)" in lines
    assert "serial no.  unknown" in lines
    assert any(line.startswith("E3") and line.endswith("refused") for line in lines)


def test_what_a_dongle_says_cannot_steer_the_terminal() -> None:
    dongle = replace(DONGLE, firmware="1.2\x1b[2J", product="\x9b1m\nmaker  nobody")
    found = ProbeResult.of(dongle, NETWORK, None, GOT)
    (line,) = [line for line in found.to_text().split("\n") if "firmware" in line]
    assert line.endswith(r"firmware 1.2\x1b[2J (\x9b1m\nmaker  nobody)")
    assert found.to_json().rstrip("\n").isprintable()
    assert json.loads(found.to_json())["dongle"]["product"] == "\x9b1m\nmaker  nobody"


def test_the_signal_is_that_of_the_beacon_where_the_dongle_tells_no_other() -> None:
    assert ProbeResult.of(DONGLE, NETWORK, None, {}).lqi == NETWORK.lqi


# ---------------------------------------------------------------------- the questions


@dataclass
class FakeMeter:
    """Answers, or fails as it is told; each question takes a second."""

    clock: FakeClock
    has: dict[int, bytes]
    failures: dict[int, list[RetryLater]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def get(self, epcs: tuple[int, ...], budget_s: float) -> Answer:
        assert budget_s > 0
        (epc,) = epcs
        self.asked.append(epc)
        self.clock.advance(1)
        if self.failures.get(epc):
            raise self.failures[epc].pop(0)
        data = self.has.get(epc)
        return Answer(
            Instant(1), {epc: data} if data else {}, frozenset() if data else frozenset({epc})
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def meter(clock: FakeClock) -> FakeMeter:
    return FakeMeter(clock, {0x9F: b"\x04\x80\x9f\xe7\xe3", 0x80: b"\x30", 0xE7: bytes(4)})


def test_what_the_map_names_is_asked_and_once_more_if_it_is_refused(
    meter: FakeMeter, clock: FakeClock
) -> None:
    got = ask_everything(meter.get, clock, threading.Event())
    assert meter.asked == [0x9F, 0x80, 0xE3, 0xE7, 0xE3]
    assert got[0xE7] == bytes(4)
    assert got[0xE3] is Missing.REFUSED


@pytest.mark.parametrize("damaged", [b"", b"\x09\x80"], ids=["refused", "malformed"])
def test_a_meter_without_a_map_is_asked_for_all_that_is_known(
    meter: FakeMeter, clock: FakeClock, damaged: bytes
) -> None:
    meter.has[0x9F] = damaged
    got = ask_everything(meter.get, clock, threading.Event())
    assert set(got) == set(PROPERTIES) | set(SUPER_PROPERTIES)


def test_an_identification_number_is_shown_unless_it_is_the_route_b_id() -> None:
    got: dict[int, Got] = {0x80: b"\x30", 0xC0: bytes.fromhex(BROUTE_ID), 0xE3: Missing.REFUSED}
    assert withhold(got, BROUTE_ID) == got | {0xC0: Missing.SECRET}
    assert withhold(got, BROUTE_ID.lower()) == got | {0xC0: Missing.SECRET}
    assert withhold(got, "F" * 32) == got


def test_a_property_that_is_not_answered_is_asked_once_more(
    meter: FakeMeter, clock: FakeClock
) -> None:
    meter.failures[0xE7] = [RetryLater("no answer")]
    assert ask_everything(meter.get, clock, threading.Event())[0xE7] == bytes(4)


def test_a_property_that_is_never_answered_does_not_hold_up_the_rest(
    meter: FakeMeter, clock: FakeClock
) -> None:
    meter.failures[0x80] = [RetryLater("no answer") for _ in range(9)]
    got = ask_everything(meter.get, clock, threading.Event())
    assert got[0x80] is Missing.NO_ANSWER
    assert meter.asked.count(0x80) == 2
    assert got[0xE7] == bytes(4)


def test_a_session_that_is_lost_in_between_is_waited_for(
    meter: FakeMeter, clock: FakeClock
) -> None:
    waits: list[float] = []
    meter.failures[0xE7] = [NotReady("not joined") for _ in range(3)]
    assert ask_everything(meter.get, clock, _counted(waits))[0xE7] == bytes(4)
    assert waits == [LOOK_AGAIN_S] * 3


def test_what_is_left_when_the_time_is_over_counts_as_not_answered(
    meter: FakeMeter, clock: FakeClock
) -> None:
    got = ask_everything(meter.get, clock, threading.Event(), limit_s=2)
    assert got[0x80] == b"\x30"
    assert got[0xE7] is Missing.NO_ANSWER


def test_a_stop_ends_the_wait_for_a_lost_session(meter: FakeMeter, clock: FakeClock) -> None:
    meter.failures[0x80] = [NotReady("not joined")]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopping):
        ask_everything(meter.get, clock, stop)


def _counted(waits: list[float]) -> threading.Event:
    """An event that is never set and whose waits take no time."""

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return False

    return Event()


# ---------------------------------------------------------------------- giving up


@pytest.fixture
def broute(tmp_path: Path) -> Callable[[str], Broute]:
    """Returns the configuration of a port."""

    def with_port(port: str) -> Broute:
        found = JobsFile(tmp_path / "jobs.toml").load(BROUTE).broute
        assert found is not None
        return replace(found, port=port)

    return with_port


FAST = "sim:latency=0,scan-time=0,join-time=0"


@pytest.mark.parametrize(
    ("port", "limit_s", "stuck"),
    [
        ("/dev/there-is-no-such-dongle", 0.3, "no dongle answers on /dev/there-is-no-such-dongle"),
        (f"{FAST},broute-id=FFEEDDCCBBAA99887766554433221100", 1.5, "B-route ID"),
        (f"{FAST},broute-pwd=BA9876543210", 2.5, "B-route ID and password"),
    ],
    ids=["no port", "wrong ID", "wrong password"],
)
def test_a_probe_that_gives_up_says_what_to_check(
    broute: Callable[[str], Broute], port: str, limit_s: float, stuck: str
) -> None:
    with pytest.raises(NotReady, match=stuck):
        join_and_ask(
            broute(port),
            clock=SystemClock(),
            signals=SignalQueue(),
            tell=lambda _line: None,
            limit_s=limit_s,
        )
    assert not [t for t in threading.enumerate() if t.name in ("wisun-keeper", "simulator")]


def told(broute: Broute, *, limit_s: float) -> tuple[list[str], str]:
    """What a probe in vain says on the way, by a clock that runs fast, and at its end."""
    lines: list[str] = []
    with pytest.raises(KeiError) as end:
        join_and_ask(
            broute, clock=FastClock(40), signals=SignalQueue(), tell=lines.append, limit_s=limit_s
        )
    return lines, str(end.value)


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port on which nobody answers."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


def test_on_a_silent_port_a_probe_says_each_half_minute_what_it_tries(
    broute: Callable[[str], Broute], silent_port: str
) -> None:
    lines, end = told(broute(silent_port), limit_s=100)
    assert len(lines) == 3
    assert [int(line.split()[0]) // 30 for line in lines] == [1, 2, 3]
    tries = f"asking {silent_port} at 115200 baud for a Wi-SUN dongle;"
    assert [line for line in lines if tries in line] == lines
    assert f"no dongle answers on {silent_port}" in end


def test_a_silent_port_that_another_program_reads_ends_a_probe(
    broute: Callable[[str], Broute], silent_port: str
) -> None:
    hold = """
import select, sys
with open(sys.argv[1], "rb+", 0) as port:
    print("open", flush=True)
    while True:  # not by one read: whoever opens the port has reads end that have not begun
        select.select([port], [], [])
        port.read(1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold, silent_port], stdout=subprocess.PIPE, env=unmeasured()
    ) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            lines, end = told(broute(silent_port), limit_s=100)
        finally:
            other.kill()
    assert lines == []
    assert f"(pid {other.pid}); stop it first" in end


def test_a_probe_says_where_it_is_in_scans_and_joins(broute: Callable[[str], Broute]) -> None:
    lines, _ = told(broute("sim:latency=0,join-time=0,fault=scan-miss%100"), limit_s=70)
    assert "scanning for the meter" in lines[0]
    lines, _ = told(
        broute("sim:latency=0,scan-time=0,join-time=20,fault=join-fail%100"), limit_s=40
    )
    assert "joining the meter on channel 33 (LQI 225, -42.4 dBm)" in lines[0]


def test_a_probe_that_waits_says_so_and_why(broute: Callable[[str], Broute]) -> None:
    lines, end = told(broute(f"{FAST},broute-pwd=BA9876543210"), limit_s=100)
    waits = [line for line in lines if re.search(r"\d+ s: next attempt in \d+ s; ", line)]
    assert waits
    assert all("join_failed: check B-route ID and password" in line for line in waits)
    assert "check B-route ID and password" in end


def test_a_password_that_is_refused_is_told_at_once(broute: Callable[[str], Broute]) -> None:
    lines, end = told(broute(f"{FAST},dongle=J11,broute-pwd=BA9876543210"), limit_s=300)
    assert lines == []
    assert int(end.split()[3]) < 30
    assert "not joined; the meter refuses: check B-route ID and password" in end


def test_a_meter_that_takes_the_password_and_says_nothing_is_called_so(
    broute: Callable[[str], Broute],
) -> None:
    _, end = told(broute(f"{FAST},fault=drop%100"), limit_s=45)
    assert "the meter has taken ID and password, but does not answer" in end
