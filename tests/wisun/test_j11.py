"""The J11 grammar: ROHM's own example frames, and frames among anything else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.echonet.frame import UDP_PORT
from kei.wisun import j11
from kei.wisun.interfaces import (
    Beacon,
    Datagram,
    Event,
    EventNumber,
    Fail,
    Message,
    Noise,
    Ok,
    Reason,
    Response,
    SendResult,
)
from kei.wisun.j11 import ALL_NODES, Command, Parser
from kei.wisun.network import Network
from kei.wisun.quality import rssi_dbm

BROUTE_ID, BROUTE_PWD = "00112233445566778899AABBCCDDEEFF", "0123456789AB"
ROHMS_METER = "FE80:0000:0000:0000:0250:C2FF:FEDC:2822"
METER = "FE80:0000:0000:0000:021D:1290:1234:5678"
SEND = Command.SEND
GET_EA_EB = bytes.fromhex("1081000605FF010288016202EA00EB00")
GET = bytes.fromhex("1081000105FF010288016201E700")


def said_of(begin: str, result: SendResult) -> list[Message]:
    """What is said of a datagram that begins so."""
    about = bytes.fromhex(begin)
    return [Event(EventNumber.SENT, "", result, about), Ok(about=about)]


REQUESTS = [
    (j11.frame(Command.RESET), "D0EA83FC00D9000404160000"),
    (
        j11.frame(Command.SETTINGS, j11.settings(33)),
        "D0EA83FC005F000803A0000905000400",
    ),
    (
        j11.frame(Command.CREDENTIALS, j11.credentials(BROUTE_ID.lower(), BROUTE_PWD.lower())),
        "D0EA83FC0054003003BD09D4" + (BROUTE_ID + BROUTE_PWD).encode().hex().upper(),
    ),
    (
        j11.frame(Command.SCAN, j11.scan(6, BROUTE_ID)),
        "D0EA83FC00510012039C041D060003FFF0014343444445454646",
    ),
    (j11.frame(Command.SETTINGS, j11.settings(49)), "D0EA83FC005F000803A0001105000C00"),
    (j11.frame(Command.START_BROUTE), "D0EA83FC0053000403900000"),
    (
        j11.frame(Command.OPEN_PORT, UDP_PORT.to_bytes(2, "big")),
        "D0EA83FC00050006034400280E1A",
    ),
    (j11.frame(Command.START_PANA), "D0EA83FC0056000403930000"),
    (
        j11.send_to(ROHMS_METER, GET_EA_EB),
        "D0EA83FC0008002A036B0A75FE800000000000000250C2FFFEDC28220E1A0E1A0010"
        + GET_EA_EB.hex().upper(),
    ),
    (
        j11.send_to(METER, GET),
        "D0EA83FC000800280369071DFE80000000000000021D1290123456780E1A0E1A000E" + GET.hex().upper(),
    ),
    (j11.frame(Command.VERSION), "D0EA83FC006B000403A80000"),
    (j11.frame(Command.STATUS), "D0EA83FC00010004033E0000"),
    (j11.frame(Command.CONNECTIONS), "D0EA83FC00110004034E0000"),
    (j11.frame(Command.RENEW_PANA), "D0EA83FC00D20004040F0000"),
    (j11.frame(Command.END_PANA), "D0EA83FC0057000403940000"),
    (j11.frame(Command.STOP_BROUTE), "D0EA83FC0058000403950000"),
]

EXAMPLES: list[tuple[str, list[Message]]] = [
    ("D0F9EE5D6019000403910000", [Event(EventNumber.RESTARTED, "", None)]),
    ("D0F9EE5D205F00050398000101", [Response(Command.SETTINGS, 1, b"")]),
    ("D0F9EE5D4051000603AB00050104", [Noise(14)]),
    ("D0F9EE5D20510005038A000101", [Response(Command.SCAN, 1, b"")]),
    (
        "D0F9EE5D20530011039806BA010CBCDE0050C2FFFEDC2822DE",
        [Response(Command.START_BROUTE, 1, bytes.fromhex("0CBCDE0050C2FFFEDC2822DE"))],
    ),
    ("D0F9EE5D20560005038F000101", [Response(Command.START_PANA, 1, b"")]),
    (
        "D0F9EE5D6028000D03A90436010050C2FFFEDC2822",
        [Event(EventNumber.JOINED, ROHMS_METER, 1)],
    ),
    ("D0F9EE5D2008000B0347009D01001081000605", said_of("1081000605", SendResult.SENT)),
    (
        "D0F9EE5D206B000D03AC00A801040001030000158A",
        [Response(Command.VERSION, 1, bytes.fromhex("040001030000158A"))],
    ),
    ("D0F9EE5D20010008033D000801030301", [Response(Command.STATUS, 1, bytes((3, 3, 1)))]),
    ("D0F9EE5D20530005038C000E0E", [Response(Command.START_BROUTE, 0x0E, b"")]),
    ("D0F9EE5D6028000D03A901D502001D129012345678", [Event(EventNumber.JOIN_FAILED, METER, 2)]),
    ("D0F9EE5D6028000D03A901D603001D129012345678", [Event(EventNumber.JOIN_FAILED, METER, 3)]),
    ("D0F9EE5D20560005038F005252", [Response(Command.START_PANA, 0x52, b"")]),
    ("D0F9EE5D20050005033E000A0A", [Response(Command.OPEN_PORT, 0x0A, b"")]),
    ("D0F9EE5D2008000B0347009D01051081000105", said_of("1081000105", SendResult.FAILED)),
    (
        "D0F9EE5D2008000B0347009A01021081000105",
        [Event(EventNumber.LIMIT_ON, "", None), *said_of("1081000105", SendResult.FAILED)],
    ),
    (
        "D0F9EE5D200800050341000606",
        [Fail("result 06, the destination is not connected", command=SEND)],
    ),
    ("D0F9EE5D200800050341003D3D", [Fail("result 3D, busy", Reason.BUSY, SEND)]),
    ("D0F9EE5D601A000E039C02A204001D129012345678CB", [Event(EventNumber.PEER_CLOSED, METER, 4)]),
    ("D0F9EE5D601A000E039C01D603001D12901234567800", [Event(EventNumber.LINK_LOST, METER, 3)]),
    (
        "D0F9EE5D6038001E03CA041201FE80000000000000021D1290123456782A0000001081000102",
        [Event(EventNumber.UNDECIPHERABLE, METER, 1)],
    ),
    ("D0F9EE5D2FFF0005044700F0F0", [Fail("result F0, the header was damaged", Reason.DAMAGED)]),
    ("D0F9EE5DFFFF00050517000303", [Fail("result 03")]),
    ("D0F9EE5D205F0005039800F1F1", [Response(Command.SETTINGS, 0xF1, b"")]),
    ("D0F9EE5D200800050341003737", [Fail("result 37, nothing is started", command=SEND)]),
    (  # a ping reply: kei does not ping
        "D0F9EE5D60D1001D046205AF01FE80000000000000021D12901234567802CB000461626364",
        [Noise(37)],
    ),
]


@pytest.mark.parametrize(("made", "expected"), REQUESTS)
def test_requests_are_those_of_the_manual(made: bytes, expected: str) -> None:
    assert made.hex().upper() == expected


@pytest.mark.parametrize(("hexadecimal", "messages"), EXAMPLES)
def test_frames_of_the_manual_are_understood(hexadecimal: str, messages: list[Message]) -> None:
    assert Parser().feed(bytes.fromhex(hexadecimal)) == messages


def test_a_beacon_has_all_that_a_network_needs() -> None:
    said = bytes.fromhex("D0F9EE5D4051001203B706BA000C010050C2FFFEDC2822BCDEDE")
    (beacon,) = Parser().feed(said)
    assert isinstance(beacon, Beacon)
    network = beacon.network
    assert (network.channel, network.pan_id, network.mac) == (49, 0xBCDE, "0050C2FFFEDC2822")
    assert network.address == ROHMS_METER
    assert rssi_dbm(network.lqi) == -34.0
    assert Network.from_text(network.to_text()) == Network(49, 0xBCDE, network.mac, 255)


def test_a_datagram_is_the_meters_payload_with_its_signal() -> None:
    said = bytes.fromhex(
        "D0F9EE5D6018003103BD0C66FE80000000000000021D1290123456780E1A0E1A88880002CB0012"
        "1081000102880105FF017201E704FFFFFB5B"
    )
    (datagram,) = Parser().feed(said)
    assert isinstance(datagram, Datagram)
    assert (datagram.sender, datagram.sender_port, datagram.secured) == (METER, UDP_PORT, True)
    assert datagram.payload == bytes.fromhex("1081000102880105FF017201E704FFFFFB5B")
    assert datagram.lqi is not None
    assert rssi_dbm(datagram.lqi) == -53.0


def test_a_multicast_is_told_from_what_is_for_us_and_clear_text_from_the_encrypted() -> None:
    instance_list = bytes.fromhex(
        "D0F9EE5D6018003103BD09FBFE80000000000000021D1290123456780E1A0E1A88880102CB0012"
        "108100000EF0010EF0017301D50401028801"
    )
    clear = bytearray(instance_list[12:])
    clear[23] = 1
    for data, secured in ((instance_list[12:], True), (bytes(clear), False)):
        (datagram,) = Parser().feed(from_module(0x6018, data))
        assert isinstance(datagram, Datagram)
        assert (datagram.destination, datagram.secured) == (ALL_NODES, secured)


@given(st.integers(0, 0xFFFF), st.binary(max_size=60))
def test_any_data_of_any_code_are_taken(code: int, data: bytes) -> None:
    assert Parser().feed(from_module(code, data))


def from_module(code: int, data: bytes) -> bytes:
    head = bytes.fromhex("D0F9EE5D") + struct.pack(">HH", code, 4 + len(data))
    return head + struct.pack(">HH", sum(head) & 0xFFFF, sum(data) & 0xFFFF) + data


FRAMES = st.sampled_from([bytes.fromhex(text) for text, _ in EXAMPLES])
BEGINNINGS = st.builds(lambda frame, size: frame[: size % len(frame)], FRAMES, st.integers(1, 80))
NO_FRAMES = st.binary(max_size=100).filter(lambda data: j11.RESPONSE not in data)
ANYTHING = st.one_of(NO_FRAMES, BEGINNINGS)


def understood(parser: Parser, said: bytes) -> list[Message]:
    """Everything but noise, nothing more being expected."""
    found = parser.feed(said)
    while parser.is_waiting:
        found += parser.give_up()
    return [message for message in found if not isinstance(message, Noise)]


@given(st.lists(st.tuples(ANYTHING, FRAMES), max_size=8), ANYTHING)
def test_frames_among_arbitrary_bytes_are_exactly_what_is_found(
    pieces: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    said = b"".join(before + frame for before, frame in pieces) + rest
    expected = [m for _, frame in pieces for m in understood(Parser(), frame)]
    assert understood(Parser(), said) == expected


@given(st.lists(st.one_of(ANYTHING, FRAMES), max_size=8), st.lists(st.integers(0, 300)))
def test_any_split_of_the_stream_gives_the_same_messages(
    pieces: list[bytes], cuts: list[int]
) -> None:
    said = b"".join(pieces)
    parser, found = Parser(), []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(said)], strict=True):
        found += parser.feed(said[begin:end])
    whole = Parser()
    assert found == whole.feed(said)
    assert parser.is_waiting == whole.is_waiting


def test_a_header_that_only_looks_like_one_costs_nothing_behind_it() -> None:
    ended = bytes.fromhex("D0F9EE5D20510005038A000101")
    for junk in ("D0", "D0F9EE", "D0F9EE5D", "D0F9EE5D60180031"):
        assert Parser().feed(bytes.fromhex(junk) + ended)[-1] == Response(Command.SCAN, 1, b"")


def test_noise_is_told_in_pieces_of_bounded_length() -> None:
    said: list[tuple[bytes, Message]] = []
    parser = Parser(lambda raw, message: said.append((raw, message)))
    parser.feed(bytes(1000) + bytes.fromhex("D0F9EE5D6019000403910000"))
    noise = [raw for raw, message in said if isinstance(message, Noise)]
    assert len(b"".join(noise)) == 1000
    assert max(map(len, noise)) == j11.MAX_NOISE_BYTES
