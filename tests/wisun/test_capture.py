"""A quarter of an hour of a real BP35A1 and a real meter, fed through the parsers.

`tests/data/BP35A1_comm.log` is the log of another program (ak1211/m5stickc-wisunhat, MIT licence
beside it), in which addresses and credentials were replaced by zeros. What that program says it
understood is compared with what kei understands.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from kei.echonet.frame import METER, Esv, Frame, decode
from kei.echonet.meter_class import Scale, Value
from kei.echonet.meter_class import decode as decode_property
from kei.wisun.interfaces import Datagram, Event, Message, Noise, Ok, PanField
from kei.wisun.skstack import Parser

CAPTURE = Path(__file__).parent.parent / "data" / "BP35A1_comm.log"
FIELDS = re.compile(r'"([A-Za-z ]+)":"([^"]*)"')
DATAGRAM = ("SENDER", "DEST", "RPORT", "LPORT", "SENDERLLA", "SECURED", "DATALEN", "DATA")
SCALE = Scale(1, Decimal("0.01"))  # the meter lacks D3, and its E1 is 02


@pytest.fixture(scope="module")
def log() -> list[str]:
    return CAPTURE.read_text(encoding="utf-8").splitlines()


def as_received(log: list[str]) -> Iterator[bytes]:
    """The lines as they came over the port; the program logged some by their fields."""
    for line in log:
        fields = dict(FIELDS.findall(line))
        if "[RECEIVE] " in line:
            yield line.split("[RECEIVE] ")[1].encode() + b"\r\n"
        elif "[MAIN] EVENT" in line:
            yield f"EVENT {fields['NUM']} {fields['SENDER']}\r\n".encode()
        elif "[MAIN] ERXUDP" in line:
            yield (" ".join(["ERXUDP", *(fields[name] for name in DATAGRAM)]) + "\r\n").encode()


def frames(log: list[str]) -> list[Frame]:
    messages = Parser().feed(b"".join(as_received(log)))
    return [decode(m.payload) for m in messages if isinstance(m, Datagram)]


def values(log: list[str], epc: int) -> list[Value]:
    return [
        value
        for frame in frames(log)
        if frame.seoj == METER
        for item in frame.properties
        if item.epc == epc and item.edt
        for value in decode_property(epc, item.edt, SCALE)
    ]


def test_every_line_is_understood(log: list[str]) -> None:
    noise = [line for line in as_received(log) if isinstance(Parser().feed(line)[0], Noise)]
    assert noise == [b"0000:0000:0000:0000:0000:0000:0000:0000\r\n"]  # of SKLL64, not kei's


def test_it_does_not_matter_how_the_bytes_arrive(log: list[str]) -> None:
    stream = b"".join(as_received(log))
    whole = Parser().feed(stream)
    parser, piecewise = Parser(), list[Message]()
    for at in range(len(stream)):
        piecewise += parser.feed(stream[at : at + 1])
    assert piecewise == whole
    assert sum(isinstance(message, Ok) for message in whole) == 50
    assert sum(isinstance(message, Event) for message in whole) == 45


def test_the_same_comes_out_in_binary_mode(log: list[str]) -> None:
    def binary(line: bytes) -> bytes:
        head, _, data = line.rstrip().rpartition(b" ")
        return head + b" " + bytes.fromhex(data.decode()) + b"\r\n"

    stream = b"".join(
        binary(line) if line.startswith(b"ERXUDP") else line for line in as_received(log)
    )
    assert Parser().feed(stream) == Parser().feed(b"".join(as_received(log)))


def test_the_network_is_found(log: list[str]) -> None:
    fields = [m for m in Parser().feed(b"".join(as_received(log))) if isinstance(m, PanField)]
    assert {field.name: field.value for field in fields} == {
        "Channel": "3B",
        "Channel Page": "09",
        "Pan ID": "0000",
        "Addr": "0000000000000000",
        "LQI": "B2",
        "PairID": "00000000",
    }


def test_every_frame_is_read_as_the_other_program_read_it(log: list[str]) -> None:
    said = re.findall(
        r"TID:(\w+),SEOJ:(\w+),DEOJ:(\w+),ESV:(\w+),OPC:01,EPC:(\w+),PDC:\w+,EDT:(\w*)",
        "\n".join(log),
    )
    assert len(said) == 44
    assert [
        (
            f"{frame.tid:04X}",
            f"{frame.seoj:06X}",
            f"{frame.deoj:06X}",
            f"{frame.esv:02X}",
            f"{item.epc:02X}",
            item.edt.hex().upper(),
        )
        for frame in frames(log)
        for item in frame.properties
    ] == said


def test_power_is_what_the_other_program_showed(log: list[str]) -> None:
    shown = [int(watts) for watts in re.findall(r"\[MAIN\] (-?\d+) W", "\n".join(log))]
    assert [value.value for value in values(log, 0xE7)] == shown


def test_current_is_what_the_other_program_showed_without_decimals(log: list[str]) -> None:
    shown = re.findall(r"EPC:E8,PDC:04,EDT:(\w+)\n.*R: (\d+)\.0 A, T: (\d+)\.0 A", "\n".join(log))
    assert len(shown) == 16
    for edt, *whole in shown:
        currents = decode_property(0xE8, bytes.fromhex(edt), None)
        assert [value.sensor for value in currents] == ["E8R", "E8T"]
        assert [str(value.value).split(".")[0] for value in currents] == whole


def test_the_notification_at_half_past_eight_has_its_own_time(log: list[str]) -> None:
    (notified,) = [f for f in frames(log) if f.esv is Esv.INF and f.seoj == METER]
    (value,) = decode_property(0xEA, notified.properties[0].edt, SCALE)
    assert (str(value.at), str(value.value)) == ("2022-08-01 20:30:00+09:00", "770.58")
