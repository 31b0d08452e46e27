from hypothesis import given
from hypothesis import strategies as st

from kei.simulator.skstack.command_reader import (
    EMPTY_LINE,
    MAX_BUFFER_BYTES,
    MAX_LINE_BYTES,
    BadHeader,
    Command,
    CommandReader,
    Datagram,
    Line,
    Overrun,
)

ADDRESS = "FE80:0000:0000:0000:021D:1290:1234:5678"
HEADER = f"SKSENDTO 1 {ADDRESS} 0E1A 1 0 "


def heard(*portions: bytes) -> list[Command]:
    reader = CommandReader()
    found: list[Command] = []
    for portion in portions:
        reader.feed(portion)
        while (command := reader.next()) is not None:
            found.append(command)
    return found


def datagram(payload: bytes, *, side: str | None = "0") -> Datagram:
    middle = "" if side is None else f"{side} "
    header = f"SKSENDTO 1 {ADDRESS} 0E1A 1 {middle}{len(payload):04X} "
    return Datagram(header.encode(), "1", ADDRESS, "0E1A", "1", side, payload)


def test_a_line_ends_with_cr_lf_or_with_cr_alone() -> None:
    assert heard(b"SKVER\r\nROPT\rSKINFO\r\n") == [Line(b"SKVER"), Line(b"ROPT"), Line(b"SKINFO")]


def test_lines_may_be_empty_and_stray_line_feeds_mean_nothing() -> None:
    assert heard(b"\r\n\n\r\r\nSKVER\r\n\n") == [*[EMPTY_LINE] * 3, Line(b"SKVER")]


def test_a_payload_may_hold_line_ends_and_anything_else() -> None:
    payload = b"\x10\x81\r\nOK\r\n \x00\xff"
    expected = datagram(payload)
    assert heard(expected.header + payload + b"SKVER\r\n") == [expected, Line(b"SKVER")]


def test_a_line_end_behind_the_payload_is_an_empty_command() -> None:
    expected = datagram(b"\x10\x81")
    assert heard(expected.header + b"\x10\x81\r\nSKVER\r\n") == [
        expected,
        EMPTY_LINE,
        Line(b"SKVER"),
    ]


def test_a_missing_side_is_told_from_a_given_one() -> None:
    expected = datagram(b"\x10\x81", side=None)
    assert heard(expected.header + expected.payload) == [expected]


def test_too_few_bytes_keep_it_waiting_and_swallow_the_next_command() -> None:
    expected = datagram(b"\x10\x81SKVER\r\n")
    assert heard(expected.header + b"\x10\x81") == []
    assert heard(expected.header + b"\x10\x81", b"SKVER\r\n") == [expected]


def test_a_length_that_is_none_or_too_great_is_refused_at_once() -> None:
    for length in ("04D1", "0000", "00G1", "0E"):
        header = f"{HEADER}{length} ".encode()
        assert heard(header) == [BadHeader(header)]


def test_a_sendto_that_ends_early_is_a_line() -> None:
    assert heard(b"SKSENDTO 1 2\r\n") == [Line(b"SKSENDTO 1 2")]


def test_a_line_without_end_is_given_up() -> None:
    found = heard(b"A" * (MAX_LINE_BYTES + 1), b"A" * 99, b"A\r\nSKVER\r\n")
    assert found == [Overrun(), Line(b"SKVER")]


def test_what_does_not_fit_is_lost() -> None:
    found = heard(b"A" * (2 * MAX_BUFFER_BYTES), b"\rSKVER\r\n")
    assert found == [Overrun(), Line(b"SKVER")]


_LINES = st.sampled_from([b"SKVER\r\n", b"ROPT\r", b"\r\n", b"\n", b"SKSCAN 2 FFFFFFFF 6 0 \r\n"])
_DATAGRAMS = st.binary(min_size=1, max_size=40).map(
    lambda payload: datagram(payload).header + payload
)


@given(st.lists(_LINES | _DATAGRAMS, max_size=8), st.lists(st.integers(1, 20), max_size=40))
def test_how_the_bytes_are_portioned_makes_no_difference(
    commands: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(commands)
    portions, rest = [], data
    for size in sizes:
        portions.append(rest[:size])
        rest = rest[size:]
    assert heard(*portions, rest) == heard(data)


@given(st.lists(st.binary(max_size=200)))
def test_no_bytes_upset_it(portions: list[bytes]) -> None:
    for command in heard(*portions):
        assert isinstance(command, Line | Datagram | BadHeader | Overrun)
