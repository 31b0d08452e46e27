"""Transcripts of both kinds, read back."""

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulator_bench import BROUTE_ID, BROUTE_PWD, DONGLE, METER

from kei.core.errors import ConfigError
from kei.core.secret import Secret
from kei.simulator.dongle.command_reader import Datagram, Line
from kei.simulator.port.transcript import Direction, Transcript
from kei.simulator.replay.recording import FromDongle, FromHost, Step, read_recording, unescaped
from kei.wisun.skstack import Parser, send_to
from kei.wisun.transcript import Transcript as KeiTranscript

PORTIONS = st.binary(min_size=1, max_size=200)
COMMANDS = st.from_regex(rb"SK[A-Z]{2,8}( [0-9A-F]{1,8}){0,3}", fullmatch=True)
NEWEST = "2024-01-15T12:35:00.000+09:00"


def portions(*said: tuple[Direction, bytes], pause_s: float = 0.5) -> tuple[Step, ...]:
    """What is read back of portions that the simulator noted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sim.txt")
        clock = FakeClock(zone=TOKYO)
        written = Transcript(path, clock)
        for direction, data in said:
            written.note(direction, data)
            clock.advance(pause_s)
        written.close()
        return read_recording(path)


def lines_of_kei(sent: bytes, *received: bytes) -> tuple[Step, ...]:
    """What is read back of one command and its replies that kei noted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "port.txt")
        secrets = (Secret(BROUTE_ID), Secret(BROUTE_PWD))
        written = KeiTranscript(path, secrets, FakeClock(zone=TOKYO))
        written.sent(sent)
        for data in received:
            Parser(written.received).feed(data)
        written.close()
        return read_recording(path)


def heard(steps: tuple[Step, ...]) -> list[bytes]:
    return [step.data for step in steps if isinstance(step, FromDongle)]


def said(steps: tuple[Step, ...]) -> list[object]:
    return [step.command for step in steps if isinstance(step, FromHost)]


@given(st.lists(PORTIONS, max_size=5))
def test_any_bytes_of_the_dongle_are_read_back(data: list[bytes]) -> None:
    noted = [(Direction.DONGLE, portion) for portion in data]
    assert heard(portions(*noted, (Direction.HOST, b"SKVER\r"))) == data


@pytest.mark.usefixtures("unmeasured")  # a property
@given(st.lists(COMMANDS, min_size=1, max_size=5), st.lists(st.integers(1, 100), max_size=5))
def test_commands_are_the_same_however_their_bytes_arrived(
    commands: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(command + b"\r\n" for command in commands)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[one:other] for one, other in pairwise(bounds)]
    steps = portions(*((Direction.HOST, piece) for piece in pieces))
    assert said(steps) == [Line(command) for command in commands]


@given(st.binary(min_size=1, max_size=250))
def test_a_payload_that_kei_sent_is_read_back(payload: bytes) -> None:
    [command] = said(lines_of_kei(send_to(METER, payload, side=True)))
    assert isinstance(command, Datagram)
    assert command.payload == payload


@given(st.binary(max_size=50))
def test_an_escaped_text_is_what_it_was(data: bytes) -> None:
    text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
    assert unescaped(text) == data


LINES = st.lists(
    st.binary(max_size=60)
    | st.sampled_from([f"{NEWEST} > SKVER\\r\\n".encode(), f"{NEWEST} < OK".encode()])
    | st.from_regex(
        rb"2024-01-15T12:35:00\+09:00 [<>] (SKSENDTO 1 A B 1 0002 )?.*", fullmatch=True
    ),
    max_size=6,
)


@given(LINES)
def test_any_file_is_read_or_refused_with_one_line_that_names_it(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.txt")
        path.write_bytes(b"\n".join(lines))
        try:
            steps = read_recording(path)
        except ConfigError as error:
            told = error.faults
        else:
            told = [str(path)]
            assert said(steps)
    assert len(told) == 1
    assert str(path) in told[0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("SKVER", "line 2: not of the form"),
        (f"{NEWEST} = SKVER", "line 2: not of the form"),
        ("yesterday > SKVER", "line 2: Invalid isoformat"),
        ("2024-01-15T12:35:00 > SKVER", "line 2: the time .* has no offset"),
        (f"{NEWEST} > SK\\q", "line 2: an escape"),
        (f"{NEWEST} > SKSENDTO 1 A 0E1A 1 0002 108", "line 2: an odd number"),
        (f"{NEWEST} > SKSENDTO 1 A... (5000 characters)", "line 2: cut off"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "port.txt"
    path.write_text(f"{NEWEST} > SKVER\n{line}\n")
    with pytest.raises(ConfigError, match=told):
        read_recording(path)


def test_a_file_in_which_no_host_says_anything_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "port.txt"
    path.write_text(f"{NEWEST} < OK\n")
    with pytest.raises(ConfigError, match="said by a host"):
        read_recording(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_recording(tmp_path / "none.txt")


def test_pauses_are_those_between_the_lines() -> None:
    steps = portions((Direction.HOST, b"SKVER\r\n"), (Direction.DONGLE, b"OK\r\n"), pause_s=1.25)
    assert [step.pause_s for step in steps if isinstance(step, FromDongle)] == [1.25]


def test_a_command_has_the_line_where_it_begins() -> None:
    steps = portions(
        (Direction.HOST, b"SKVER\r\nSK"), (Direction.HOST, b"IN"), (Direction.HOST, b"FO\r\nSKT")
    )
    assert [(step.line, step.command) for step in steps if isinstance(step, FromHost)] == [
        (1, Line(b"SKVER")),
        (1, Line(b"SKINFO")),
    ]


def test_an_echo_is_known_as_such_also_where_it_is_masked() -> None:
    steps = lines_of_kei(b"SKSETPWD C 0123456789AB\r\n", b"SKSETPWD C 0123456789AB\r\nOK\r\n")
    assert [step.echo for step in steps if isinstance(step, FromDongle)] == [True, False]


def test_line_ends_alone_are_passed_over() -> None:
    steps = lines_of_kei(b"\r\nSKVER\r\n"), lines_of_kei(b"SKVER\r\n")
    assert said(steps[0]) == said(steps[1])


def test_what_kei_left_out_of_a_datagram_has_its_length_again() -> None:
    line = f"ERXUDP {METER} {DONGLE} 02CC 02CC 001D129012345678 0 0 0028 {'AB' * 40}\r\n".encode()
    [data] = heard(lines_of_kei(b"SKVER\r\n", line))
    assert data == line.replace(b"AB" * 40, b"00" * 40)


def test_the_address_of_a_meter_is_filled_in_where_it_was_masked(tmp_path: Path) -> None:
    path = tmp_path / "port.txt"
    path.write_text(
        f"{NEWEST} > SKSCAN 2 FFFFFFFF 6 0\n{NEWEST} <   Addr:001D12***5678\n"
        f"{NEWEST} > SKJOIN {METER}\n"
    )
    assert heard(read_recording(path)) == [b"  Addr:001D129012345678\r\n"]
