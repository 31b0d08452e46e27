"""The simulator on a real pseudo terminal."""

import fcntl
import os
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest
import serial
from fakes import TOKYO
from programs import wait_until

from kei.core.clock import SystemClock
from kei.core.errors import ConfigError
from kei.simulator.options import SimulatorOptions, parse_sim_port
from kei.simulator.port import server
from kei.simulator.port.server import Simulator

if TYPE_CHECKING:
    from _typeshed import TraceFunction

AT_ONCE = parse_sim_port("sim:latency=0,scan-time=0,join-time=0")
DEADLINE_S = 5.0
METER = "FE80:0000:0000:0000:021D:1290:1234:5678"


@contextmanager
def serving(options: SimulatorOptions = AT_ONCE, link: Path | None = None) -> Iterator[Simulator]:
    ready = threading.Event()
    simulator = Simulator(options, clock=SystemClock(TOKYO), link=link, on_ready=ready.set)
    thread = threading.Thread(target=simulator.run)
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield simulator
    finally:
        simulator.stop()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


@contextmanager
def client(simulator: Simulator) -> Iterator[serial.Serial]:
    with serial.Serial(simulator.port, 115200, timeout=DEADLINE_S, exclusive=True) as port:
        yield port


def ask(port: serial.Serial, line: str, end: bytes = b"OK\r\n") -> bytes:
    port.write(f"{line}\r\n".encode())
    said: bytes = port.read_until(end)
    assert said.endswith(end), said
    return said


def unread(path: str) -> int:
    """How many bytes wait for whoever opens the port next."""
    end = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        found: int = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0]
    finally:
        os.close(end)
    return found


def test_a_client_gets_its_answers() -> None:
    with serving() as simulator, client(simulator) as port:
        assert ask(port, "SKVER") == b"SKVER\r\nEVER 1.5.2\r\nOK\r\n"


def test_the_next_client_finds_the_dongle_as_the_last_one_left_it() -> None:
    with serving() as simulator:
        with client(simulator) as port:
            ask(port, "SKSREG S3 1234")
        with client(simulator) as port:
            assert b"ESREG 1234" in ask(port, "SKSREG S3")


def test_a_client_finds_nothing_of_what_the_last_one_did_not_read() -> None:
    with serving() as simulator:
        with client(simulator) as port:
            port.write(b"SKVER\r\n")
            wait_until(lambda: port.in_waiting > 10, DEADLINE_S, "the answer is there")
        wait_until(lambda: unread(simulator.port) == 0, DEADLINE_S, "it is discarded")


def test_what_is_said_while_nobody_listens_is_lost_and_blocks_nothing() -> None:
    options = parse_sim_port("sim:latency=0,scan-time=0.3,join-time=0")
    with serving(options) as simulator:
        with client(simulator) as port:
            ask(port, "SKSCAN 2 FFFFFFFF 6 0")
        over = threading.Event()
        threading.Timer(0.5, over.set).start()
        assert over.wait(DEADLINE_S)
        with client(simulator) as port:
            assert ask(port, "SKVER") == b"SKVER\r\nEVER 1.5.2\r\nOK\r\n"


def test_a_client_that_does_not_read_does_not_block_it() -> None:
    with serving() as simulator, client(simulator) as port:
        for _ in range(2000):
            port.write(b"SKTABLE E\r\n" * 10)
        wait_until(lambda: port.in_waiting > 1000, DEADLINE_S, "output is piling up")
        said = b""
        while not said.endswith(b"EVER 1.5.2\r\nOK\r\n"):
            port.reset_input_buffer()
            said = ask(port, "SKVER")


def test_the_link_is_there_while_it_runs_and_gone_afterwards(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with serving(link=link) as simulator:
        assert simulator.port == str(link)
        assert link.is_symlink()
        assert link.is_char_device()
    assert not link.is_symlink()


def test_without_a_link_the_folder_it_made_is_gone_afterwards() -> None:
    with serving() as simulator:
        folder = Path(simulator.port).parent
        assert folder.is_dir()
    assert not folder.exists()


def test_a_simulator_that_never_ran_cleans_up_when_stopped(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    simulator = Simulator(AT_ONCE, clock=SystemClock(TOKYO), link=link)
    assert link.is_char_device()
    simulator.stop()
    assert not link.is_symlink()
    simulator.run()


class StopsWhatItSpeaksOn:
    """A device that has the simulator stopped as soon as it hears something."""

    unplugged = False
    is_stopped = False
    stop: Callable[[], None]

    def receive(self, _data: bytes, _now: float) -> None:
        self.stop()
        self.is_stopped = True

    def next_due(self) -> None:
        return None

    def poll(self, _now: float) -> bytes:
        return b""

    def power_on(self) -> None:
        raise AssertionError("it is not unplugged")


def stopped_twice(link: Path, lines_between: int) -> bool:
    """Stop a simulator again, so many lines later; return whether it was not yet over by then."""
    device = StopsWhatItSpeaksOn()
    simulator = Simulator(AT_ONCE, clock=SystemClock(TOKYO), link=link, device=device)
    device.stop = simulator.stop
    passed = 0

    def trace(frame: FrameType, event: str, _arg: object) -> "TraceFunction":
        nonlocal passed
        if event == "line" and device.is_stopped and frame.f_code.co_filename == server.__file__:
            if passed == lines_between:
                simulator.stop()
            passed += 1
        return trace

    before = sys.gettrace()
    with client(simulator) as port:
        port.write(b"x")
        sys.settrace(trace)
        try:
            simulator.run()
        finally:
            sys.settrace(before)
    return passed > lines_between


def test_a_second_signal_at_any_line_of_its_ending_leaves_no_link_behind(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    for lines_between in count():
        was_in_time = stopped_twice(link, lines_between)
        assert not link.is_symlink()
        if not was_in_time:
            break
    assert lines_between > 10


def test_a_stale_link_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    link.symlink_to("/dev/pts/999999")
    with serving(link=link):
        assert link.is_char_device()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    link.write_text("precious")
    with pytest.raises(ConfigError, match="left alone"):
        Simulator(AT_ONCE, clock=SystemClock(TOKYO), link=link)
    assert link.read_text() == "precious"


def test_a_link_to_something_else_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    link.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="left alone"):
        Simulator(AT_ONCE, clock=SystemClock(TOKYO), link=link)


def test_a_link_in_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        Simulator(AT_ONCE, clock=SystemClock(TOKYO), link=tmp_path / "none" / "dongle")


def test_a_link_that_somebody_else_has_taken_over_is_left_to_him(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with serving(link=link):
        link.unlink()
        link.symlink_to("/dev/null")
    assert link.readlink() == Path("/dev/null")


def test_stopping_ends_a_long_scan_at_once() -> None:
    with serving(parse_sim_port("sim:latency=0")) as simulator, client(simulator) as port:
        ask(port, "SKSCAN 2 FFFFFFFF 9 0")


def test_unplugged_the_port_is_gone_and_comes_back_with_a_dongle_at_its_defaults(
    tmp_path: Path,
) -> None:
    link = tmp_path / "dongle"
    options = parse_sim_port("sim:latency=0,scan-time=0,join-time=0,fault=unplug@1")
    with serving(options, link) as simulator:
        with client(simulator) as port:
            ask(port, "SKSREG SFE 0")
            port.write(f"SKSENDTO 1 {METER} 0E1A 1 0 0001 x".encode())
            wait_until(lambda: not link.is_symlink(), DEADLINE_S, "the port is gone")
            with pytest.raises(serial.SerialException):
                port.read()
        wait_until(link.is_char_device, DEADLINE_S, "the port is back")
        with client(simulator) as port:
            assert ask(port, "SKVER").startswith(b"SKVER\r\n")


def test_the_transcript_tells_both_sides_with_times(tmp_path: Path) -> None:
    file = tmp_path / "said.log"
    options = parse_sim_port(f"sim:latency=0,transcript={file}")
    with serving(options) as simulator, client(simulator) as port:
        ask(port, "SKVER")
    lines = [line.split(" ", 2) for line in file.read_text().splitlines()]
    assert [direction for _, direction, _ in lines] == [">", "<"]
    assert [said for *_, said in lines] == ["SKVER\\r\\n", "SKVER\\r\\nEVER 1.5.2\\r\\nOK\\r\\n"]
    assert all(time.endswith("+09:00") for time, *_ in lines)


def test_a_transcript_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    options = parse_sim_port(f"sim:transcript={tmp_path}/none/said.log")
    with pytest.raises(ConfigError, match="transcript"):
        Simulator(options, clock=SystemClock(TOKYO))
