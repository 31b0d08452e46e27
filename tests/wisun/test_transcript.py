"""What is said on the port, written down without the B-route ID, the password, or parts of them."""

from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from j11_bench import from_module
from programs import BROUTE_ID, BROUTE_PWD

from kei.core.secret import Secret
from kei.wisun import j11, transcript
from kei.wisun.skstack import Parser
from kei.wisun.transcript import Redactor, Transcript

SECRETS = (Secret(BROUTE_ID), Secret(BROUTE_PWD))
METER = "FE80:0000:0000:0000:021D:1290:00F3:C891"
OWN = "FE80:0000:0000:0000:021D:1290:0003:C890"
ANSWER = bytes.fromhex("1081000102880105FF017201E704000001F8")


def heard(data: bytes) -> list[str]:
    redactor, lines = Redactor(SECRETS), []
    Parser(lambda raw, message: lines.append(redactor.received(raw, message))).feed(data)
    return lines


def received(port: str, content: bytes) -> bytes:
    head = f"ERXUDP {METER} {OWN} {port} {port} 001D129000F3C891 0 0 {len(content):04X} "
    return head.encode() + content.hex().upper().encode() + b"\r\n"


def binary(port: str, content: bytes) -> bytes:
    head = f"ERXUDP {METER} {OWN} {port} {port} 001D129000F3C891 0 {len(content):04X} "
    return head.encode() + content + b"\r\n"


PANA = bytes.fromhex("00000068800000020000000100000001") + b"SM" + BROUTE_ID.encode()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"EVER 1.5.2\r\n", "EVER 1.5.2"),
        (b"OK\r\n", "OK"),
        (f"EVENT 25 {METER} 0\r\n".encode(), f"EVENT 25 {METER} 0"),
        (b"SKSETPWD C 0123456789AB\r\n", "SKSETPWD ***"),
        (b"SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n", "SKSETRBID ***"),
        (b"  PairID:CCDDEEFF\r\n", "  PairID:***"),
        (b"  Channel:21\r\n", "  Channel:21"),
        (b"XKSETPWD C 0123456789AB\r\n", "XKSETPWD C ***"),
        (b"SKXETPWD C 01X3456789AB\r\n", "SKXETPWD C 01X***"),
        (b"\xff\x00junk\r\n", "\\xff\\x00junk"),
        (b"OKSKSETPWD C 0123456789AB\r\n", "OKSKSETPWD ***"),
        (b"OK SKSETPWD C 0123456789AB\r\n", "OK SKSETPWD ***"),
        (b"FAIL ER04SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n", "FAIL ER04SKSETRBID ***"),
        (f"EVENT 27 {METER} 0SKSETPWD C 01234\r\n".encode(), f"EVENT 27 {METER} 0SKSETPWD ***"),
    ],
)
def test_a_line_is_shown_without_secrets(line: bytes, shown: str) -> None:
    assert heard(line) == [shown]


def test_an_answer_is_shown_in_full() -> None:
    (line,) = heard(received("0E1A", ANSWER))
    assert line.endswith(f" 0012 {ANSWER.hex().upper()}")


def test_a_binary_answer_is_shown_as_hex_digits() -> None:
    (line,) = heard(binary("0E1A", ANSWER))
    assert line.endswith(f" 0012 {ANSWER.hex().upper()}")


@pytest.mark.parametrize("form", [received, binary])
def test_of_an_answer_that_has_the_id_all_the_rest_is_shown(form: object) -> None:
    assert callable(form)
    answer = bytes.fromhex("1081000102880105FF017201C010")
    (line,) = heard(form("0E1A", answer + bytes.fromhex(BROUTE_ID)))
    assert line.endswith(f" 001E {answer.hex().upper()}***")


@pytest.mark.parametrize("form", [received, binary])
def test_of_a_pana_datagram_only_the_length_is_shown(form: object) -> None:
    assert callable(form)
    (line,) = heard(form("02CC", PANA))
    assert line.endswith(f"({len(PANA)} bytes)")
    assert line.startswith(f"ERXUDP {METER}")


def test_a_damaged_datagram_is_shown_by_its_length_only() -> None:
    line = received("02CC", PANA).replace(b" 0 0 ", b" ? 0 ")
    assert heard(line) == [f"(damaged ERXUDP, {len(line) - 2} bytes)"]


def test_credentials_are_not_shown_when_they_are_sent() -> None:
    redactor = Redactor(SECRETS)
    assert redactor.sent(b"SKSETPWD C 0123456789AB\r\n") == "SKSETPWD ***"
    assert redactor.sent(f"SKSETRBID {BROUTE_ID}\r\n".encode()) == "SKSETRBID ***"


@pytest.mark.parametrize("side", ["", "0 "])
def test_a_request_is_shown_with_its_payload_as_hex_digits(side: str) -> None:
    head = f"SKSENDTO 1 {METER} 0E1A 1 {side}0012 "
    assert Redactor(SECRETS).sent(head.encode() + ANSWER) == head + ANSWER.hex().upper()


def test_line_ends_alone_are_counted() -> None:
    assert Redactor(SECRETS).sent(b"\r\n" * 617) == "(1234 bytes of line ends)"


def secret_pieces() -> set[str]:
    found = set()
    for text, size in ((BROUTE_ID, 8), (BROUTE_PWD, 8)):
        in_hex = [(each.encode().hex(), 2 * size) for each in (text.upper(), text.lower())]
        for form, width in ((text.lower(), size), *in_hex):
            found |= {form[at : at + width] for at in range(len(form) - width + 1)}
    return found


PIECES = st.sampled_from(
    [
        BROUTE_ID.encode(),
        BROUTE_PWD.encode(),
        b"SKSETPWD C ",
        b"SKSETRBID ",
        b"\r\n",
        b"\r",
        b" ",
        BROUTE_ID.encode().hex().encode(),
        BROUTE_ID.lower().encode().hex().encode(),
        received("02CC", PANA),
        binary("02CC", PANA),
        PANA,
        f"EVENT 21 {METER} 0 00".encode(),
        b"OK",
    ]
)


@given(
    pieces=st.lists(PIECES, max_size=12),
    noise=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_no_piece_of_a_secret_is_shown_however_damaged_the_lines_are(
    pieces: list[bytes], noise: list[tuple[int, int]]
) -> None:
    data = bytearray(b"".join(pieces))
    for at, value in noise:
        if data:
            data[at % len(data)] = value
    shown = "\n".join(heard(bytes(data) + b"\r\n")).lower()
    assert not [piece for piece in secret_pieces() if piece in shown]


ECHOED = j11.frame(j11.Command.CREDENTIALS, j11.credentials(BROUTE_ID, BROUTE_PWD))


@given(
    pieces=st.lists(st.one_of(PIECES, st.just(ECHOED), st.binary(max_size=70)), max_size=8),
    end=st.sampled_from([b"", bytes.fromhex("D0F9EE5D6019000403910000")]),
)
def test_no_piece_of_a_secret_is_shown_of_what_is_no_frame(pieces: list[bytes], end: bytes) -> None:
    redactor, lines = Redactor(SECRETS), []
    parser = j11.Parser(lambda raw, message: lines.append(redactor.received(raw, message)))
    parser.feed(b"".join(pieces) + end)
    shown = "\n".join(lines).lower()
    assert not [piece for piece in secret_pieces() if piece in shown]


def test_frames_of_a_j11_are_shown_as_hex_digits_but_for_the_secrets() -> None:
    redactor = Redactor(SECRETS)
    assert redactor.sent(ECHOED) == "D0EA83FC0054003003BD***"
    scan = j11.frame(j11.Command.SCAN, j11.scan(6, BROUTE_ID))
    assert redactor.sent(scan) == "D0EA83FC00510012039C***"
    assert redactor.sent(j11.frame(j11.Command.VERSION)) == "D0EA83FC006B000403A80000"
    lines: list[str] = []
    received = "D0F9EE5D6018003103BD0C66FE80000000000000021D1290123456780E1A0E1A88880002CB0012"
    said = [
        "D0F9EE5D2008000B0347009D01001081000605",
        f"{received}1081000102880105FF017201E704FFFFFB5B",
    ]
    parser = j11.Parser(lambda raw, message: lines.append(redactor.received(raw, message)))
    parser.feed(bytes.fromhex("".join(said)))
    assert lines == said
    with_id = bytes.fromhex(f"{received[24:-2]}1E1081000102880105FF017201C010{BROUTE_ID}")
    parser.feed(from_module(0x6018, with_id))
    assert lines[-1].endswith("001E1081000102880105FF017201C010***")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "port.txt"


def test_each_line_has_time_and_direction(file: Path) -> None:
    written = Transcript(file, SECRETS, FakeClock(zone=TOKYO))
    written.sent(b"SKVER\r\n")
    Parser(written.received).feed(b"EVER 1.5.2\r\nOK\r\n")
    written.close()
    assert file.read_text().splitlines() == [
        "2023-11-15T07:13:20.000+09:00 > SKVER",
        "2023-11-15T07:13:20.000+09:00 < EVER 1.5.2",
        "2023-11-15T07:13:20.000+09:00 < OK",
    ]


def test_file_and_the_one_before_it_have_a_bound(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "MAX_BYTES", 4000)
    written = Transcript(file, SECRETS, FakeClock())
    for number in range(500):
        written.sent(f"SKSREG S{number}\r\n".encode())
    written.close()
    before = file.with_name("port.txt.1")
    assert file.stat().st_size + before.stat().st_size <= 4000
    assert file.read_text().endswith("SKSREG S499\n")


def test_a_long_line_is_cut(file: Path) -> None:
    written = Transcript(file, SECRETS, FakeClock())
    written.sent(b"X" * 5000)
    written.close()
    assert file.read_text().endswith("X... (5000 characters)\n")


def test_a_file_that_cannot_be_written_is_told_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = Transcript(tmp_path / "none" / "port.txt", SECRETS, FakeClock())
    for _ in range(3):
        written.sent(b"SKVER\r\n")
    (tmp_path / "none").mkdir()
    written.sent(b"SKVER\r\n")
    written.close()
    assert (tmp_path / "none" / "port.txt").read_text().count("SKVER") == 1
