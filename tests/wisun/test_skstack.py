"""The parser of what the dongle says: any bytes, in any pieces."""

import pytest
from fakes import FastClock
from hypothesis import example, given
from hypothesis import strategies as st

from kei.wisun.interfaces import (
    Datagram,
    Event,
    Fail,
    Info,
    Message,
    Noise,
    Ok,
    PanField,
    PanStart,
    Reason,
    Register,
    Version,
)
from kei.wisun.link import Link
from kei.wisun.network import Network
from kei.wisun.quality import rssi_dbm
from kei.wisun.skstack import Parser, send_to

METER = "FE80:0000:0000:0000:021D:1290:1234:5678"
DONGLE = "FE80:0000:0000:0000:021D:1290:0003:C890"
POWER = bytes.fromhex("1081000102880105FF017201E704000001F8")


def erxudp(middle: str, data: bytes) -> bytes:
    """An ERXUDP line with these fields between the MAC address and the data."""
    head = f"ERXUDP {METER} {DONGLE} 0E1A 0E1A 001D129012345678 {middle} "
    return head.encode() + data + b"\r\n"


def datagram(lqi: int | None, payload: bytes = POWER) -> Datagram:
    return Datagram(METER, DONGLE, 0x0E1A, 0x0E1A, lqi, payload)


LINES: list[tuple[bytes, Message]] = [
    (b"OK\r\n", Ok()),
    (b"OK 01\r", Ok("01")),
    (b"FAIL ER09\r\n", Fail("ER09", Reason.DAMAGED)),
    (b"FAIL ER10\r\n", Fail("ER10")),
    (b"FAIL ERxx\r\n", Fail("")),
    (b"FAIL\r\n", Fail("")),
    (b"FAIL ER04SKSETPWD C 0123456789AB\r\n", Fail("")),  # a line end was lost
    (b"FAIL ER04 SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n", Fail("")),
    (f"EVENT 21 {METER} 00\r\n".encode(), Event(0x21, METER, 0)),
    (f"EVENT 21 {METER} 0 02\r\n".encode(), Event(0x21, METER, 2)),
    (f"EVENT 29 {METER} 0\r\n".encode(), Event(0x29, METER, None)),
    (f"EVENT 22 {DONGLE}\r\n".encode(), Event(0x22, DONGLE, None)),
    (b"EPANDESC\r\n", PanStart()),
    (b"  Channel:21\r\n", PanField("Channel", "21")),
    (b"  Channel Page:09\r\n", PanField("Channel Page", "09")),
    (b"  PairID:CCDDEEFF\r\n", PanField("PairID", "CCDDEEFF")),
    (b"EVER 1.5.2\r\n", Version("1.5.2", product=False)),
    (b"EAPPVER rev26e\r\n", Version("rev26e", product=True)),
    (b"ESREG 00000384\r\n", Register("00000384")),
    (
        f"EINFO {DONGLE} 001D12900003C890 21 FFFF FFFE\r\n".encode(),
        Info(DONGLE, "001D12900003C890", 0x21, 0xFFFF, dual=False),
    ),
    (
        f"EINFO {DONGLE} 001D12900003C890 21 8888 0\r\n".encode(),
        Info(DONGLE, "001D12900003C890", 0x21, 0x8888, dual=True),
    ),
    (erxudp("1 0012", POWER.hex().upper().encode()), datagram(None)),
    (erxudp("1 0 0012", POWER.hex().upper().encode()), datagram(None)),
    (erxudp("E1 1 0 0012", POWER.hex().upper().encode()), datagram(0xE1)),
    (erxudp("0012", POWER.hex().upper().encode()), datagram(None)),
    (erxudp("1 0012", POWER), datagram(None)),
    (erxudp("E1 1 0 0012", POWER), datagram(0xE1)),
    (
        erxudp("1 0015", b"\x10\x81\r\nOK\r\n \xff\x00\r\nFAIL ER\r"),
        datagram(None, b"\x10\x81\r\nOK\r\n \xff\x00\r\nFAIL ER\r"),
    ),
    (b"SKSETPWD C 0123456789AB\r\n", Noise(23)),
]


@pytest.mark.parametrize(("line", "message"), LINES)
def test_each_line_is_understood(line: bytes, message: Message) -> None:
    assert Parser().feed(line) == [message]


def test_byte_by_byte_gives_the_same_as_in_one_piece() -> None:
    stream = b"".join(line for line, _ in LINES)
    parser = Parser()
    got = [m for i in range(len(stream)) for m in parser.feed(stream[i : i + 1])]
    assert got == [message for _, message in LINES]


def test_a_lone_cr_ends_a_line() -> None:
    assert Parser().feed(b"OK\rEVER 1.2.10\r\n") == [Ok(), Version("1.2.10", product=False)]


def test_noise_keeps_nothing_of_an_echoed_password() -> None:
    (message,) = Parser().feed(b"SKSETPWD C 0123456789AB\r\n")
    assert "0123456789AB" not in repr(message)


@pytest.mark.parametrize(
    "broken",
    [
        b"ERXUDP nonsense\r\n",
        erxudp("1 0012", b"1081"),
        erxudp("1 0012", POWER.hex().encode() + b"00"),
        erxudp("1 0012", b"1Z" * 18),
        erxudp("1 FFFF", b"00"),
        erxudp("1 0000", b"00"),
        erxudp("1 0012", POWER[:-4]),
        b"EVENT zz\r\n",
        b"EINFO 1 2 3\r\n",
        b"\xff\xfe\x80OK\r\n",
        b"x" * 10_000 + b"\r\n",
    ],
)
def test_a_broken_line_costs_that_line_only(broken: bytes) -> None:
    messages = Parser().feed(broken + b"\r\nEVER 1.5.2\r\nOK\r\n")
    assert messages[-2:] == [Version("1.5.2", product=False), Ok()]
    assert all(isinstance(m, Noise) for m in messages[:-2])


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    parser = Parser()
    for _ in range(1000):
        parser.feed(b"y" * 1000)
    assert parser.feed(b"\r\nOK\r\n")[-1] == Ok()
    assert len(parser._buffer) == 0


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([ln for ln, _ in LINES]))))
@example([b"ERXUDP ", b"\x00" * 3000, b"\r\n"])
def test_arbitrary_bytes_are_safe_and_the_pieces_do_not_matter(chunks: list[bytes]) -> None:
    stream = b"".join(chunks) + b"\r\n" * 1300  # completes whatever payload is awaited
    whole = Parser().feed(stream)
    parser = Parser()
    pieces = [m for i in range(0, len(stream), 7) for m in parser.feed(stream[i : i + 7])]
    understood = [m for m in whole if not isinstance(m, Noise)]
    assert [m for m in pieces if not isinstance(m, Noise)] == understood


def test_a_binary_datagram_whose_length_is_damaged_can_be_given_up() -> None:
    parser = Parser()
    assert parser.feed(erxudp("1 0412", POWER) + b"OK\r\n") == []
    assert parser.is_waiting
    (broken, *after) = parser.give_up()
    assert isinstance(broken, Noise)
    assert after == [Ok()]
    assert parser.feed(b"EVER 1.5.2\r\n") == [Version("1.5.2", product=False)]


@pytest.mark.parametrize(("line", "message"), LINES)
def test_a_line_that_halts_for_a_while_is_understood(line: bytes, message: Message) -> None:
    first_end = line.find(b"\r")  # from there on it may be a length that lies
    for cut in range(1, first_end):
        heard: list[Message] = []
        link = Link(FastClock(1.0), heard.append)
        for data in (line[:cut], b"", line[cut:]):
            link.on_data(data)
        assert heard == ([] if isinstance(message, Noise) else [message])


def test_giving_up_half_a_line_skips_the_rest_of_it() -> None:
    parser = Parser()
    parser.feed(b"EVENT 2")
    assert parser.give_up() == [Noise(7)]
    assert parser.feed(b"5 OK\r\nOK\r\n") == [Noise(4), Ok()]


def test_blanks_between_hex_digits_do_not_shorten_a_payload() -> None:
    (message,) = Parser().feed(erxudp("1 0004", b"10 81 00"))
    assert isinstance(message, Noise)


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_whatever_was_given_up_later_lines_are_understood(begun: bytes, rest: bytes) -> None:
    parser = Parser()
    parser.feed(begun)
    parser.give_up()
    parser.feed(rest)
    parser.give_up()
    assert parser.feed(b"\r\nOK 01\r\n")[-1] == Ok("01")


HEX_POWER = POWER.hex().upper().encode()
SENDTO = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode()
ECHOES = [SENDTO, f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode(), b"SKTERM", b"SKINFO", b"ROPT"]
ECHOES += [b"SKSCAN 2 FFFFFFFF 6 0", b"SKJOIN " + METER.encode(), b"SKSREG SA2 1"]
CREDENTIALS = [b"SKSETPWD C 0123OKOK6789", b"SKSETRBID 00112233445566778899AABBCCDDEEFF"]
UNASKED: list[tuple[bytes, Message]] = [  # what a dongle says by itself, in every dialect
    (erxudp("1 0012", HEX_POWER), datagram(None)),
    (erxudp("1 0 0012", HEX_POWER), datagram(None)),
    (erxudp("E1 1 0 0012", HEX_POWER), datagram(0xE1)),
    (erxudp("1 0012", POWER), datagram(None)),
    (erxudp("E1 1 0 0008", b"\x10\x81\r\nOK\r\n"), datagram(0xE1, b"\x10\x81\r\nOK\r\n")),
    (f"EVENT 21 {METER} 02\r\n".encode(), Event(0x21, METER, 2)),
    (f"EVENT 21 {METER} 0 00\r\n".encode(), Event(0x21, METER, 0)),
    (f"EVENT 29 {METER} 0\r\n".encode(), Event(0x29, METER, None)),
    (f"EVENT 26 {METER}\r\n".encode(), Event(0x26, METER, None)),
]
REPLIES: list[tuple[bytes, Message]] = [
    (b"OK\r\n", Ok()),
    (b"OK 01\r", Ok("01")),
    (b"FAIL ER10\r\n", Fail("ER10")),
    (b"EVER 1.5.2\r\n", Version("1.5.2", product=False)),
    (b"EAPPVER rev26e\r\n", Version("rev26e", product=True)),
    (b"ESREG 0\r\n", Register("0")),
    (b"EPANDESC\r\n", PanStart()),
    (
        f"EINFO {DONGLE} 001D12900003C890 21 8888 0\r\n".encode(),
        Info(DONGLE, "001D12900003C890", 0x21, 0x8888, dual=True),
    ),
]


def understood(stream: bytes, piece_bytes: int = 1 << 16) -> list[Message]:
    """What a stream in pieces means, without the noise."""
    parser = Parser()
    pieces = (stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes))
    return [m for piece in pieces for m in parser.feed(piece) if not isinstance(m, Noise)]


def test_a_datagram_in_the_middle_of_an_echo_is_not_lost() -> None:
    stream = b"SKSENDTO" + erxudp("1 0 0012", HEX_POWER) + SENDTO[8:] + b"\r\nOK\r\n"
    assert understood(stream) == [datagram(None), Ok()]


@given(
    st.sampled_from(ECHOES + CREDENTIALS),
    st.lists(st.tuples(st.integers(min_value=0, max_value=80), st.sampled_from(UNASKED))),
    st.integers(min_value=1, max_value=200),
)
def test_whatever_comes_within_an_echo_is_understood_in_every_dialect(
    echo: bytes, interruptions: list[tuple[int, tuple[bytes, Message]]], piece_bytes: int
) -> None:
    stream, rest = b"", echo
    for at, (line, _) in interruptions:
        stream, rest = stream + rest[:at] + line, rest[at:]
    expected = [message for _, (_, message) in interruptions]
    assert understood(stream + rest + b"\r\n", piece_bytes) == expected


@given(
    st.sampled_from(ECHOES),
    st.sampled_from(REPLIES),
    st.integers(min_value=2, max_value=80),
    st.integers(min_value=1, max_value=80),
)
def test_a_reply_is_understood_though_the_end_of_the_echo_is_missing(
    echo: bytes, reply: tuple[bytes, Message], length: int, piece_bytes: int
) -> None:
    assert understood(echo[: max(length, 4)] + reply[0], piece_bytes) == [reply[1]]


@given(
    st.lists(st.sampled_from([each for each in UNASKED if isinstance(each[1], Event)])),
    st.sampled_from(UNASKED),
    st.integers(min_value=1, max_value=200),
)
def test_events_whose_line_ends_are_missing_hide_nothing(
    glued: list[tuple[bytes, Message]], last: tuple[bytes, Message], piece_bytes: int
) -> None:
    stream = b"".join(line.rstrip(b"\r\n") for line, _ in glued) + last[0]
    assert understood(stream, piece_bytes) == [message for _, message in [*glued, last]]


@pytest.mark.parametrize(("line", "message"), UNASKED)
def test_a_datagram_that_breaks_off_costs_only_itself(line: bytes, message: Message) -> None:
    cut = erxudp("1 0 0012", HEX_POWER)
    for length in (7, 60, len(cut) - 10):
        assert understood(cut[:length] + line + b"OK\r\n")[-2:] == [message, Ok()]


@pytest.mark.parametrize(("line", "message"), UNASKED)
def test_what_follows_half_a_line_that_was_given_up_is_understood(
    line: bytes, message: Message
) -> None:
    parser = Parser()
    parser.feed(b"SKSEND")
    parser.give_up()
    assert parser.feed(line) == [message]


@pytest.mark.parametrize(
    "password", ["0123456789OK", "01EPANDESC00", "0001EPANDESC", "OKOKOKOKOKOK"]
)
def test_a_password_is_no_reply(password: str) -> None:
    assert understood(f"SKSETPWD C {password}\r\n".encode()) == []


def test_send_to_has_the_bytes_of_both_dialects() -> None:
    payload = bytes.fromhex("1081000105FF010288016201E700")
    assert (
        send_to(METER, payload, side=False) == f"SKSENDTO 1 {METER} 0E1A 1 000E ".encode() + payload
    )
    assert (
        send_to(METER, payload, side=True)
        == f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode() + payload
    )


def test_link_local_address_as_the_dongle_computes_it() -> None:
    assert Network(33, 0x8888, "001D129012345678", 225).address == METER


def test_rssi_of_the_known_pairs() -> None:
    assert (rssi_dbm(0xE1), rssi_dbm(0x4E)) == (-42.4, -82.8)
