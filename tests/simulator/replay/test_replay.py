"""The dongle's side of a recording, played to a client."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import readings, running, simulator, write_jobs
from simulator_bench import DONGLE, GET_E7, METER

from kei.simulator.replay.recording import read_recording
from kei.simulator.replay.replay import Difference, Pace, Replay

DEADLINE_S = 20.0
HEAD = f"SKSENDTO 1 {METER} 0E1A 1 0 000E "
ERXUDP = f"ERXUDP {METER} {DONGLE} 0E1A 0E1A 001D129012345678 1 0 0012 "
ANSWER = "1081000102880105FF017201E704000001F8"
OTHER_ID = "FFEEDDCCBBAA99887766554433221100"


class Player:
    """A replay of a few lines, with a clock that is told what time it is.

    Each line is `SECOND > TEXT` or `SECOND < TEXT`, in the form of the simulator's transcripts.
    """

    def __init__(self, folder: Path, *lines: str, pace: Pace | None = None) -> None:
        path = folder / "sim.txt"
        moments = [line.split(" ", 1) for line in lines]
        path.write_text(
            "".join(
                f"2024-01-15T12:{int(s) // 60:02d}:{int(s) % 60:02d}+09:00 {text}\n"
                for s, text in moments
            )
        )
        self.results: list[Difference | None] = []
        self.replay = Replay(read_recording(path), pace or Pace(), self.results.append)
        self.now = 1000.0

    def say(self, data: bytes) -> bytes:
        self.replay.receive(data, self.now)
        return self.replay.poll(self.now)

    def wait(self, seconds: float) -> bytes:
        self.now += seconds
        return self.replay.poll(self.now)


def test_the_dongle_answers_after_the_recorded_pause(tmp_path: Path) -> None:
    player = Player(tmp_path, r"0 > SKVER\r\n", r"3 < SKVER\r\nOK\r\n")
    assert player.say(b"SKVER\r\n") == b""
    assert player.wait(2.9) == b""
    assert player.wait(0.2) == b"SKVER\r\nOK\r\n"


@pytest.mark.parametrize(("pace", "pause_s"), [(Pace(speed=10), 0.3), (Pace(longest_s=0.5), 0.5)])
def test_pauses_are_shortened(tmp_path: Path, pace: Pace, pause_s: float) -> None:
    player = Player(tmp_path, r"0 > SKVER\r\n", r"3 < OK\r\n", pace=pace)
    player.say(b"SKVER\r\n")
    assert player.wait(pause_s - 0.01) == b""
    assert player.wait(0.02) == b"OK\r\n"


def test_what_the_dongle_says_of_itself_comes_after_its_recorded_pause(tmp_path: Path) -> None:
    player = Player(
        tmp_path, r"0 > SKVER\r\n", r"0 < OK\r\n", r"60 < EVENT 29\r\n", r"99 > SKINFO\r\n"
    )
    assert player.say(b"SKVER\r\n") == b"OK\r\n"
    assert player.wait(59) == b""
    assert player.wait(2) == b"EVENT 29\r\n"


def test_a_client_that_goes_on_early_gets_at_once_what_came_before(tmp_path: Path) -> None:
    player = Player(
        tmp_path,
        r"0 > SKVER\r\n",
        r"0 < OK\r\n",
        r"60 < EVENT 29\r\n",
        r"99 > SKINFO\r\n",
        r"99 < EINFO\r\n",
    )
    player.say(b"SKVER\r\n")
    assert player.say(b"SKINFO\r\n") == b"EVENT 29\r\nEINFO\r\n"


def test_what_was_recorded_before_the_first_command_comes_with_it(tmp_path: Path) -> None:
    player = Player(tmp_path, r"0 < EVENT 29\r\n", r"9 > SKVER\r\n", r"9 < OK\r\n")
    assert player.wait(100) == b""
    assert player.say(b"SKVER\r\n") == b"EVENT 29\r\nOK\r\n"


def test_the_end_is_told_when_the_last_word_could_be_read(tmp_path: Path) -> None:
    player = Player(tmp_path, r"0 > SKVER\r\n", r"0 < OK\r\n")
    player.say(b"SKVER\r\n")
    assert not player.results
    player.wait(1)
    assert player.results == [None]


def test_the_first_difference_is_told_with_its_line(tmp_path: Path) -> None:
    player = Player(tmp_path, r"0 > SKVER\r\n", r"0 < OK\r\n", r"1 > SKINFO\r\n")
    player.say(b"SKVER\r\n")
    player.say(b"SKAPPVER\r\nSKVER\r\n")
    assert player.results == [Difference(3, "SKINFO", "SKAPPVER")]


def test_a_payload_that_differs_is_told_in_hex_digits(tmp_path: Path) -> None:
    recorded = "".join(f"\\x{byte:02x}" for byte in GET_E7)
    player = Player(tmp_path, f"0 > {HEAD}{recorded}")
    came = GET_E7[:-2] + b"\xe0\x00"
    player.say(HEAD.encode() + came)
    told = Difference(1, HEAD + GET_E7.hex().upper(), HEAD + came.hex().upper())
    assert player.results == [told]


def test_credentials_may_be_others_and_their_echo_is_the_clients(tmp_path: Path) -> None:
    player = Player(
        tmp_path,
        r"0 > SKSETPWD C 0123456789AB\r\n",
        r"0 < SKSETPWD C 0123456789AB\r\nOK\r\n",
    )
    assert player.say(b"SKSETPWD C ZZZZZZZZZZZZ\r\n") == b"SKSETPWD C ZZZZZZZZZZZZ\r\nOK\r\n"


def test_credentials_are_not_told_with_a_difference(tmp_path: Path) -> None:
    player = Player(tmp_path, r"0 > SKSETPWD C 0123456789AB\r\n")
    player.say(f"SKSETRBID {OTHER_ID}\r\n".encode())
    assert player.results == [Difference(1, "SKSETPWD ***", "SKSETRBID ***")]


@pytest.mark.parametrize("shown", ["CCDDEEFF", "***"])
def test_the_meter_found_is_the_clients_own(tmp_path: Path, shown: str) -> None:
    player = Player(
        tmp_path,
        r"0 > SKSETRBID 00112233445566778899AABBCCDDEEFF\r\n",
        rf"0 < OK\r\n  PairID:{shown}\r\n  PairID:12345678\r\n",
    )
    said = player.say(f"SKSETRBID {OTHER_ID}\r\n".encode())
    assert said == b"OK\r\n  PairID:33221100\r\n  PairID:12345678\r\n"


BINARY = "".join(f"\\x{byte:02x}" for byte in bytes.fromhex(ANSWER))


@pytest.mark.parametrize(
    ("answer", "own"),
    [
        (ANSWER, ANSWER.replace("0001", "ABCD", 1).encode()),
        (BINARY, bytes.fromhex(ANSWER.replace("0001", "ABCD", 1))),
    ],
)
def test_an_answer_carries_the_transaction_number_of_the_client(
    tmp_path: Path, answer: str, own: bytes
) -> None:
    recorded = "".join(f"\\x{byte:02x}" for byte in GET_E7)
    player = Player(tmp_path, f"0 > {HEAD}{recorded}", rf"0 < {ERXUDP}{answer}\r\n")
    said = player.say(HEAD.encode() + GET_E7[:2] + b"\xab\xcd" + GET_E7[4:])
    assert said == ERXUDP.encode() + own + b"\r\n"


def test_what_the_meter_says_of_itself_keeps_its_transaction_number(tmp_path: Path) -> None:
    notice = ANSWER.replace("7201E7", "7301E7")
    recorded = "".join(f"\\x{byte:02x}" for byte in GET_E7)
    player = Player(tmp_path, f"0 > {HEAD}{recorded}", rf"0 < {ERXUDP}{notice}\r\n")
    said = player.say(HEAD.encode() + GET_E7[:2] + b"\xab\xcd" + GET_E7[4:])
    assert said == f"{ERXUDP}{notice}\r\n".encode()


def j11(code: int, data: bytes, begin: str = "D0F9EE5D") -> bytes:
    head = bytes.fromhex(begin) + code.to_bytes(2, "big") + (4 + len(data)).to_bytes(2, "big")
    sums = (sum(head) & 0xFFFF, sum(data) & 0xFFFF)
    return head + b"".join(each.to_bytes(2, "big") for each in sums) + data


def test_frames_of_a_j11_carry_the_transaction_number_of_the_client(tmp_path: Path) -> None:
    about = bytes.fromhex("FE80000000000000021D1290123456780E1A0E1A")
    answer = bytes.fromhex(ANSWER)

    def asked(tid: bytes) -> bytes:
        payload = GET_E7[:2] + tid + GET_E7[4:]
        return j11(0x0008, about + b"\0\x0e" + payload, "D0EA83FC")

    def answered(tid: bytes) -> bytes:
        received = about + bytes.fromhex("88880002CB0012") + answer[:2] + tid + answer[4:]
        notice = about + bytes.fromhex("88880002CB0012") + answer[:2] + b"\0\1" + answer[4:10]
        confirmed = j11(0x2008, b"\x01\0\x10\x81" + tid + b"\x05")
        return confirmed + j11(0x6018, received) + j11(0x6018, notice + b"\x73" + answer[11:])

    def line(second: int, direction: str, data: bytes) -> str:
        return f"{second} {direction} " + "".join(f"\\x{byte:02x}" for byte in data)

    player = Player(tmp_path, line(0, ">", asked(b"\0\1")), line(0, "<", answered(b"\0\1")))
    said = player.say(asked(b"\xab\xcd"))
    assert said == answered(b"\xab\xcd")
    other = Player(tmp_path, line(0, ">", asked(b"\0\1")), line(0, "<", answered(b"\0\1")))
    other.say(j11(0x0001, b"", "D0EA83FC"))
    (difference,) = other.results
    assert difference is not None
    assert (difference.line, difference.got) == (1, "0001")
    assert difference.expected.startswith("0008 FE80")


def test_the_answer_to_a_request_for_a_notification_carries_the_number_of_the_client(
    tmp_path: Path,
) -> None:
    request = GET_E7[:10] + b"\x63" + GET_E7[11:]  # INF_REQ
    notice = ANSWER.replace("7201E7", "7301E7")
    recorded = "".join(f"\\x{byte:02x}" for byte in request)
    heard = rf"0 < {ERXUDP}{notice}\r\n"
    player = Player(tmp_path, f"0 > {HEAD}{recorded}", heard, heard)
    said = player.say(HEAD.encode() + request[:2] + b"\xab\xcd" + request[4:])
    own = notice.replace("0001", "ABCD", 1)
    assert said == f"{ERXUDP}{own}\r\n{ERXUDP}{notice}\r\n".encode()  # the second of itself


COMMANDS = st.from_regex(r"SK[A-Z]{2,8}( [0-9A-F]{1,8}){0,3}", fullmatch=True)
REPLIES = st.lists(st.from_regex(r"[A-Z][ -Z]{0,30}", fullmatch=True), max_size=3)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(exchanges=st.lists(st.tuples(COMMANDS, REPLIES), min_size=1, max_size=6), echo=st.booleans())
def test_whoever_says_what_was_recorded_hears_what_was_recorded(
    exchanges: list[tuple[str, list[str]]], *, echo: bool
) -> None:
    lines, heard = [], b""
    for command, replies in exchanges:
        lines.append(rf"0 > {command}\r\n")
        for reply in [command, *replies] if echo else replies:
            lines.append(rf"7 < {reply}\r\n")
            heard += f"{reply}\r\n".encode()
    with tempfile.TemporaryDirectory() as folder:
        player = Player(Path(folder), *lines, pace=Pace(longest_s=0))
    said = b"".join(player.say(f"{command}\r\n".encode()) for command, _ in exchanges)
    player.wait(1)
    assert (said, player.results) == (heard, [None])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A session of kei in the transcripts of both sides."""

    simulator: Path
    kei: Path


REQUEST = '[[broute.requests]]\nepc = ["E7"]\ncycle = "1s"'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("recorded"), "RL7023-DSS")


@pytest.fixture(scope="module")
def recorded_j11(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("recorded"), "J11")


def record(folder: Path, dongle: str) -> Recorded:
    found = Recorded(folder / "sim.txt", folder / "port.txt")
    link = folder / "dongle"
    jobs = write_jobs(folder, str(link), '[log]\ntranscript = "port.txt"', requests=REQUEST)
    with (
        simulator(link, "--dongle", dongle, "--transcript", str(found.simulator)),
        running("--jobs", str(jobs), cwd=folder) as kei,
    ):
        kei.wait_for(lambda: readings(folder), DEADLINE_S, "a reading")
    return found


@pytest.mark.parametrize("session", ["recorded", "recorded_j11"])
@pytest.mark.parametrize("kind", ["simulator", "kei"])
def test_kei_joins_and_reads_from_a_recording_with_other_credentials(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, session: str
) -> None:
    file: Path = getattr(request.getfixturevalue(session), kind)
    link = tmp_path / "dongle"
    jobs = write_jobs(tmp_path, str(link), requests=REQUEST)
    text = jobs.read_text().replace("00112233445566778899AABBCCDDEEFF", OTHER_ID)
    jobs.write_text(text.replace("0123456789AB", "ZYXWVUTSRQPO"))
    replaying = ("simulate", "--link", str(link), "--replay", str(file), "--latency", "0")
    with running(*replaying) as replay:
        replay.wait_for(lambda: replay.lines, DEADLINE_S, "ready")
        with running("--jobs", str(jobs), cwd=tmp_path):
            assert replay.wait(DEADLINE_S) == 0, replay.output()
    assert replay.errors == [f"{file}: played to its end"]
    replayed, original = (readings(folder)[0][1:4] for folder in (tmp_path, file.parent))
    assert replayed == original
    assert original[:2] == ["BR", "E7"]


def test_a_client_that_says_something_else_ends_it_with_1(
    recorded: Recorded, tmp_path: Path
) -> None:
    link = tmp_path / "dongle"
    with running("simulate", "--link", str(link), "--replay", str(recorded.kei)) as replay:
        replay.wait_for(lambda: replay.lines, DEADLINE_S, "ready")
        with link.open("r+b", buffering=0) as port:
            port.write(b"SKINFO\r\n")
            assert replay.wait(DEADLINE_S) == 1
    assert replay.errors == [f"{recorded.kei}:2: expected 'SKVER', got 'SKINFO'"]


def test_stopped_before_its_end_it_tells_where_it_was(recorded: Recorded, tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with running("simulate", "--link", str(link), "--replay", str(recorded.kei)) as replay:
        replay.wait_for(lambda: replay.lines, DEADLINE_S, "ready")
        assert replay.stop() == 1
    assert replay.errors == [f"{recorded.kei}: stopped before its end, line 2: 'SKVER'"]


def test_options_of_a_dongle_mean_nothing_with_a_recording(
    recorded: Recorded, tmp_path: Path
) -> None:
    options = ("--replay", str(recorded.kei), "--dongle", "BP35A1", "--solar")
    with running("simulate", "--link", str(tmp_path / "dongle"), *options) as program:
        assert program.wait(DEADLINE_S) == 2
    assert "--dongle, --solar" in program.errors[0]
