"""Whatever bytes arrive: exactly the well-formed lines come out, and memory stays bounded."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.sensors.line_parser import LINE_MAX_BYTES, Line, Reason, Splitter, parse, printable
from kei.settings.serial import LineEnd

ids = st.text("ABCxyz019-_", min_size=1, max_size=8)
numbers = st.from_regex(r"[+-]?([0-9]{1,9}(\.[0-9]{0,6})?|\.[0-9]{1,6})", fullmatch=True)
good_lines = st.builds(
    lambda unit, sensor, number, data_id: ",".join([unit, sensor, number, *data_id]),
    ids,
    ids,
    numbers,
    st.lists(ids, max_size=1),
)


def all_of(splitter: Splitter, data: bytes, cuts: list[int]) -> list[bytes]:
    """The lines of some bytes that arrive in pieces."""
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [line for a, b in pairwise(at) for line in splitter.feed(data[a:b])]


def understood(raw: bytes) -> bool:
    return isinstance(parse(raw), Line)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(st.lists(good_lines | st.binary(max_size=60)), st.lists(st.integers(min_value=0)))
def test_any_mixture_of_lines_and_noise_yields_exactly_the_good_lines(
    pieces: list[str | bytes], cuts: list[int]
) -> None:
    sent = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    data = b"".join(piece + b"\n" for piece in sent)
    lines = all_of(Splitter(LineEnd.LF), data, cuts)
    # Noise may hold line ends, and by chance a good line: what counts is what stands between ends.
    between = [part.rstrip(b"\r") for part in data.split(b"\n")[:-1]]
    assert [line for line in lines if understood(line)] == [
        part for part in between if understood(part)
    ]
    for piece in pieces:
        if isinstance(piece, str):
            assert piece.encode() in lines


@pytest.mark.usefixtures("unmeasured")  # a property
@given(good_lines, st.binary(min_size=1, max_size=40), st.integers(min_value=0))
def test_noise_within_a_line_costs_no_other_line(line: str, noise: bytes, at: int) -> None:
    place = at % (len(line) + 1)
    damaged = line[:place].encode() + noise + line[place:].encode()
    data = b"A1,T1,1\n" + damaged + b"\nA1,T1,2\n"
    lines = Splitter(LineEnd.LF).feed(data)
    assert (lines[0], lines[-1]) == (b"A1,T1,1", b"A1,T1,2")


@pytest.mark.usefixtures("unmeasured")  # a property
@pytest.mark.parametrize(
    ("line_end", "end"), [(LineEnd.LF, b"\n"), (LineEnd.CRLF, b"\r\n"), (LineEnd.CR, b"\r")]
)
@given(
    lines=st.lists(
        st.integers(min_value=1, max_value=3 * LINE_MAX_BYTES).map(lambda n: b"x" * n), max_size=6
    ),
    cuts=st.lists(st.integers(min_value=0), max_size=20),
)
def test_a_line_that_is_too_long_is_one_line_whose_rest_is_skipped(
    lines: list[bytes], cuts: list[int], line_end: LineEnd, end: bytes
) -> None:
    splitter = Splitter(line_end)
    found = all_of(splitter, b"".join(line + end for line in lines), cuts)
    assert len(found) == len(lines)
    for sent, got in zip(lines, found, strict=True):
        assert sent.startswith(got)
        assert got == sent or len(got) > LINE_MAX_BYTES
        assert (parse(got) is Reason.TOO_LONG) == (len(sent) > LINE_MAX_BYTES)


def test_a_line_without_an_end_takes_bounded_memory() -> None:
    splitter = Splitter(LineEnd.LF)
    found = [line for _ in range(10_000) for line in splitter.feed(b"x" * 4096)]
    assert [parse(line) for line in found] == [Reason.TOO_LONG]
    assert splitter.feed(b"xx\nA1,T1,5\n") == [b"A1,T1,5"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_a_line_ends_with_lf_whether_or_not_there_is_a_cr(end: bytes) -> None:
    data = b"A1,T1,1" + end + end + b"A1,T1,2" + end
    assert Splitter(LineEnd.LF).feed(data) == [b"A1,T1,1", b"A1,T1,2"]


def test_where_crlf_is_wanted_lf_alone_ends_no_line() -> None:
    splitter = Splitter(LineEnd.CRLF)
    assert splitter.feed(b"A1,T1,1\nA1,T1,2\r") == []
    assert [parse(line) for line in splitter.feed(b"\n")] == [Reason.CHARACTERS]


def test_the_end_of_a_line_whose_beginning_may_be_missing_is_skipped() -> None:
    splitter = Splitter(LineEnd.LF)
    splitter.feed(b"A1,T1,")
    splitter.begin(within_a_line=True)
    assert splitter.feed(b"1,T1,2") == []
    assert splitter.feed(b"3\nA1,T1,4\n") == [b"A1,T1,4"]


def test_what_came_before_the_port_was_opened_anew_is_forgotten() -> None:
    splitter = Splitter(LineEnd.LF)
    splitter.feed(b"A1,T1,1")
    splitter.begin(within_a_line=False)
    assert splitter.feed(b"2,T1,2\n") == [b"2,T1,2"]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"A1,T1,23.5", Line("A1", "T1", Decimal("23.5"), None)),
        (b"A1,T1,23.5,7", Line("A1", "T1", Decimal("23.5"), "7")),
        (b"a-1,_,-0.50,x", Line("a-1", "_", Decimal("-0.50"), "x")),
        (b"A1,T1,+5", Line("A1", "T1", Decimal(5), None)),
        (b"A1,T1,5.", Line("A1", "T1", Decimal(5), None)),
        (b"A1,T1,.5", Line("A1", "T1", Decimal("0.5"), None)),
        (b"A1,T1,007", Line("A1", "T1", Decimal(7), None)),
        (b"A1,T1,1.5e3", Line("A1", "T1", Decimal("1.5e3"), None)),
        (b"A1,T1,   5.25", Line("A1", "T1", Decimal("5.25"), None)),
        (b"\tA1 , T1\t,5.25 , 7 ", Line("A1", "T1", Decimal("5.25"), "7")),
        (b"A1,T1,1e-999", Line("A1", "T1", Decimal("1e-999"), None)),
    ],
)
def test_good_lines_are_understood(raw: bytes, line: Line) -> None:
    assert parse(raw) == line


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"A1,T1,nan", Reason.VALUE),
        (b"A1,T1,inf", Reason.VALUE),
        (b"A1,T1,-Infinity", Reason.VALUE),
        (b"A1,T1,1_000", Reason.VALUE),
        (b"A1,T1,0x1F", Reason.VALUE),
        (b"A1,T1,", Reason.VALUE),
        (b"A1,T1,.", Reason.VALUE),
        (b"A1,T1, ", Reason.VALUE),
        (b"A1,T1,5 5", Reason.VALUE),
        (b"A1,T1,- 5", Reason.VALUE),
        (b" ,T1,5", Reason.ID),
        (b"A1,T1,5, \t", Reason.ID),
        (b"A1,T\t1,5", Reason.CHARACTERS),
        (b"A1,T1,5\x0b", Reason.CHARACTERS),
        (b"A1,T1,1.2.3", Reason.VALUE),
        (b"A1,T1,5-", Reason.VALUE),
        (b"A1,T1,1e18", Reason.VALUE),
        (b"A1,T1,1e999", Reason.VALUE),
        (b"A1,T1,1e99999999999999999999", Reason.VALUE),
        (b"A1,T1,1e-99999999999999999999", Reason.VALUE),
        (b"A1,T1", Reason.FIELDS),
        (b"hello", Reason.FIELDS),
        (b"A1,T1,5,1,2", Reason.FIELDS),
        (b",T1,5", Reason.ID),
        (b"A1,,5", Reason.ID),
        (b"A1,T1,5,", Reason.ID),
        (b"A 1,T1,5", Reason.ID),
        (b"A1,T.1,5", Reason.ID),
        (b"A1,T1,5\x00", Reason.CHARACTERS),
        (b"\x1b[0mA1,T1,5", Reason.CHARACTERS),
        (b"A1,T1,\r5", Reason.CHARACTERS),
        (b"\xffA1,T1,5", Reason.ENCODING),
        ("A1,T1,５".encode(), Reason.ENCODING),
        (b"x" * (LINE_MAX_BYTES + 1), Reason.TOO_LONG),
    ],
)
def test_wrong_lines_have_a_reason(raw: bytes, reason: Reason) -> None:
    assert parse(raw) is reason


@pytest.mark.parametrize("text", ["A1,T1,５", "温室,T1,5", "A1,T1,5\ufeff"])
def test_no_encoding_makes_other_characters_good(text: str) -> None:
    assert isinstance(parse(text.encode(), "utf-8"), Reason)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(st.binary(max_size=300), st.sampled_from(["ascii", "utf-8", "shift_jis", "latin-1"]))
def test_any_bytes_are_understood_or_refused_and_can_be_shown(raw: bytes, encoding: str) -> None:
    assert isinstance(parse(raw, encoding), Line | Reason)
    text = printable(raw, encoding)
    assert text.isprintable()
    assert len(text) <= 80 * 10 + 3


def test_what_is_shown_is_escaped_and_cut() -> None:
    assert printable(b"A1,T1,\x00\xff\r") == r"A1,T1,\x00\xff\r"
    assert printable(b"x" * 200) == "x" * 80 + "..."
    assert printable("温度".encode("shift_jis"), "shift_jis") == "温度"
