"""What is wrong with a port is said in one line, with what to do about it."""

import errno
import grp
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from programs import PATIENCE_S, wait_until

from kei.core.errors import PortBusy, PortLost
from kei.serialport import discovery
from kei.serialport import port as port_module
from kei.wisun.transport import SerialTransport


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """The other end of a pseudo terminal, and its name."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield master, name
    os.close(master)


def opened(name: str) -> tuple[SerialTransport, bytearray, list[PortLost]]:
    data, lost = bytearray(), list[PortLost]()
    return SerialTransport(name, 115200, data.extend, lost.append), data, lost


def reason(name: str) -> str:
    with pytest.raises(PortLost) as caught:
        opened(name)
    return str(caught.value)


def test_bytes_go_both_ways(port: tuple[int, str]) -> None:
    master, name = port
    line, data, _ = opened(name)
    line.write(b"SKVER\r\n")
    assert os.read(master, 100) == b"SKVER\r\n"
    os.write(master, b"\x00\xff\r\nOK")
    wait_until(lambda: bytes(data) == b"\x00\xff\r\nOK", 5, "all bytes as they are")
    line.close()
    line.close()


def test_a_port_that_goes_away_is_told_once(port: tuple[int, str]) -> None:
    master, name = port
    line, _, lost = opened(name)
    os.dup2(os.open(os.devnull, os.O_RDWR), master)  # hangs up
    wait_until(lambda: lost, 5, "the loss")
    line.close()
    assert [str(error) for error in lost] == [f"{name}: unplugged"]


def test_a_missing_port_is_told_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "usb-FTDI").touch()
    monkeypatch.setattr(discovery, "_BY_ID", tmp_path)
    assert reason("/dev/nowhere") == (
        f"/dev/nowhere: no such device; is it plugged in? there is: {tmp_path}/usb-FTDI"
    )


def test_what_is_no_serial_port_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for name in ("/dev/null", str(tmp_path), str(file)):
        assert reason(name).startswith(f"{name}: not a serial port")


def test_a_port_in_use_is_told_with_a_remedy(port: tuple[int, str]) -> None:
    _, name = port
    line, _, _ = opened(name)
    assert reason(name).startswith(f"{name}: in use by ")
    with pytest.raises(PortBusy):
        opened(name)
    line.close()


def test_a_port_that_is_not_permitted_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Root may open everything, so the system's answer to others stands in here.
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

    port = tmp_path / "ttyUSB0"
    port.touch()
    dialout, others = grp.getgrnam("dialout"), grp.struct_group(("others", "x", 1, []))
    user = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(port_module, "_Serial", refuse)
    monkeypatch.setattr(grp, "getgrgid", lambda _: dialout)
    assert reason(str(port)).endswith(
        f"permission denied; 'sudo usermod -aG dialout {user}', "
        "then log in again (a service: restart it)"
    )
    members = grp.struct_group(("others", "x", 1, [user]))
    monkeypatch.setattr(grp, "getgrgid", lambda _: members)
    assert "was not at the start: log in again" in reason(str(port))
    monkeypatch.setattr(grp, "getgrgid", lambda _: others)
    assert f"usermod -aG others {user}" in reason(str(port))
    port.unlink()
    assert "let kei's user open it" in reason(str(port))


def test_writing_to_a_port_that_takes_nothing_ends_in_time(port: tuple[int, str]) -> None:
    _, name = port
    line, _, _ = opened(name)
    with pytest.raises(PortLost):
        line.write(b"x" * 1_000_000)  # nobody reads at the other end
    line.close()


def test_writing_to_a_port_that_is_being_closed_is_a_loss(port: tuple[int, str]) -> None:
    """pyserial has no descriptor for a moment in which it still says that it is open."""
    _, name = port
    line, _, _ = opened(name)
    line.close()
    line._serial.is_open = True
    with pytest.raises(PortLost):
        line.write(b"SKVER\r\n")


# Stops, as if the machine stood still, when the port has taken everything.
STANDS_STILL = """
import os, signal, sys
from kei.serialport import port
from kei.settings.serial import PortSettings

def write(fd, data, write=os.write):
    taken = write(fd, data)
    os.kill(os.getpid(), signal.SIGSTOP)
    return taken

port.WRITE_TIMEOUT_S = 0.1
line = port.SerialPort(sys.argv[1], PortSettings(115200))
os.write = write
line.write(b"SKVER")
"""


def test_a_machine_that_stands_still_does_not_cost_the_port(port: tuple[int, str]) -> None:
    master, name = port
    with subprocess.Popen([sys.executable, "-c", STANDS_STILL, name]) as child:
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        assert os.read(master, 100) == b"SKVER"
        threading.Event().wait(0.3)
        child.send_signal(signal.SIGCONT)
        assert child.wait(PATIENCE_S) == 0
