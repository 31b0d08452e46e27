"""One client after another, as they come and go on a real port: some die in the middle."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from programs import BROUTE_ID, BROUTE_PWD, running, simulator, write_jobs
from simulator_bench import GET_E7, METER

DEADLINE_S = 10.0
SEND_E7 = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode() + GET_E7
JOIN = (
    f"SKSETPWD C {BROUTE_PWD}",
    f"SKSETRBID {BROUTE_ID}",
    "SKSREG S2 21",
    "SKSREG S3 8888",
    f"SKJOIN {METER}",
)
# Writes what it is told to, says so, and waits until it is killed.
DOOMED = """
import os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
os.write(port, bytes.fromhex(sys.argv[2]))
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "dongle"
    with simulator(path):
        yield path


def die_after(link: Path, data: bytes) -> None:
    """Have a client write this and be killed."""
    with subprocess.Popen(
        [sys.executable, "-c", DOOMED, str(link), data.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()


@contextmanager
def client(link: Path) -> Iterator[serial.Serial]:
    with serial.Serial(str(link), 115200, timeout=DEADLINE_S, exclusive=True) as port:
        yield port


def ask(port: serial.Serial, data: bytes, end: bytes = b"OK\r\n") -> bytes:
    port.write(data)
    said: bytes = port.read_until(end)
    assert said.endswith(end), said
    return said


def join(link: Path) -> None:
    with client(link) as port:
        for line in JOIN[:-1]:
            ask(port, f"{line}\r\n".encode())
        ask(port, f"{JOIN[-1]}\r\n".encode(), b"D50401028801\r\n")  # its instance list


def power(port: serial.Serial) -> bytes:
    return ask(port, SEND_E7, b"OK\r\n") + bytes(port.read_until(b"\r\n"))


def test_half_a_command_of_a_dead_client_costs_the_next_one_a_line_end(link: Path) -> None:
    die_after(link, b"SKSREG S3 1234\r\nSKVE")
    with client(link) as port:
        assert b"SKVE\r\n" in ask(port, b"\r\n", b"FAIL ER04\r\n")
        assert b"ESREG 1234" in ask(port, b"SKSREG S3\r\n")


def test_half_a_payload_of_a_dead_client_is_filled_up_by_the_next_one(link: Path) -> None:
    join(link)
    die_after(link, SEND_E7[:-10])
    with client(link) as port:
        assert b"EVENT 21" in ask(port, b"\r\n" * 5)
        assert b"7201E704" in power(port)


def test_a_session_outlives_the_client_that_joined(link: Path) -> None:
    join(link)
    die_after(link, SEND_E7)
    with client(link) as port:
        assert b"7201E704" in power(port)


def test_clients_that_die_one_after_another_leave_a_dongle_that_answers(link: Path) -> None:
    for data in (b"\r\n", b"SKVER", b"\r\nSKTABLE E\r\n", SEND_E7[:-1], b"\xff\x00\r" * 1500):
        die_after(link, data)
    with client(link) as port:
        ask(port, b"\r\n" * 620 + b"SKVER\r\n", b"EVER 1.5.2\r\nOK\r\n")


def test_kei_joins_with_a_dongle_whose_last_client_died_in_the_middle_of_a_payload(
    link: Path, tmp_path: Path
) -> None:
    jobs = write_jobs(tmp_path, str(link))
    die_after(link, SEND_E7[:-10])
    with running("--jobs", str(jobs), cwd=tmp_path) as kei:
        kei.wait_for_event("session_joined")
