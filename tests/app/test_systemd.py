"""The notify protocol, with real unix datagram sockets in the part of the service manager."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fakes import FakeClock

from kei.app.systemd import FEEDS_A_PERIOD, ServiceManager

LIMIT_S = 20.0
PERIOD_S = LIMIT_S / FEEDS_A_PERIOD


@contextmanager
def manager(name: str) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(name)
        receiver.setblocking(False)
        yield receiver


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with manager(str(tmp_path / "notify")) as receiver:
        yield receiver


def messages(receiver: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(receiver.recv(4096).decode())
    except BlockingIOError:
        return found


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")} | more


def test_the_start_and_the_end_are_told(tmp_path: Path, heard: socket.socket) -> None:
    supervisor = ServiceManager(environ(tmp_path), FakeClock())
    supervisor.ready()
    supervisor.stopping()
    assert messages(heard) == ["READY=1", "STOPPING=1\nSTATUS=stopping"]


def test_the_summary_is_sent_when_it_changes_and_only_then(
    tmp_path: Path, heard: socket.socket
) -> None:
    supervisor = ServiceManager(environ(tmp_path), FakeClock())
    for text in ("scanning for the meter", "scanning for the meter", "meter\njoined\x00é"):
        supervisor.report(text, [])
    assert messages(heard) == ["STATUS=scanning for the meter", "STATUS=meter joined\x00é"]


def test_the_watchdog_is_fed_four_times_in_its_period(tmp_path: Path, heard: socket.socket) -> None:
    clock = FakeClock()
    supervisor = ServiceManager(environ(tmp_path, WATCHDOG_USEC=f"{LIMIT_S * 1e6:.0f}"), clock)
    supervisor.report("fine", [])
    assert messages(heard) == ["STATUS=fine", "WATCHDOG=1"]
    clock.advance(PERIOD_S - 0.1)
    supervisor.report("fine", [])
    assert messages(heard) == []
    clock.advance(0.1)
    supervisor.report("fine", [])
    assert messages(heard) == ["WATCHDOG=1"]


def test_the_watchdog_goes_hungry_while_something_hangs(
    tmp_path: Path, heard: socket.socket
) -> None:
    clock = FakeClock()
    supervisor = ServiceManager(environ(tmp_path, WATCHDOG_USEC=f"{LIMIT_S * 1e6:.0f}"), clock)
    supervisor.report("fine", ["recorder", "scheduler"])
    clock.advance(LIMIT_S)
    supervisor.report("fine", ["recorder", "scheduler"])
    assert messages(heard) == ["STATUS=hangs: recorder, scheduler"]
    supervisor.report("fine", [])
    assert messages(heard) == ["STATUS=fine", "WATCHDOG=1"]


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "²"},
        {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
def test_a_watchdog_that_is_not_ours_or_nonsense_is_not_fed(
    tmp_path: Path, heard: socket.socket, watchdog: dict[str, str]
) -> None:
    supervisor = ServiceManager(environ(tmp_path, **watchdog), FakeClock())
    supervisor.report("fine", [])
    assert messages(heard) == ["STATUS=fine"]
    assert supervisor.pace_s(2.0) == 2.0


def test_our_own_watchdog_is_fed(tmp_path: Path, heard: socket.socket) -> None:
    ours = {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}
    supervisor = ServiceManager(environ(tmp_path, **ours), FakeClock())
    supervisor.report("fine", [])
    assert messages(heard) == ["STATUS=fine", "WATCHDOG=1"]
    assert supervisor.pace_s(2.0) == 1.0


def test_an_abstract_socket_is_reached() -> None:
    name = f"kei-test-{secrets.token_hex(8)}"
    with manager(f"\0{name}") as receiver:
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}, FakeClock()).ready()
        assert messages(receiver) == ["READY=1"]


@pytest.mark.parametrize("address", ["", "vsock:2:3", "relative/path"])
def test_without_a_unix_socket_nobody_is_told(address: str) -> None:
    supervisor = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, FakeClock())
    supervisor.ready()
    supervisor.report("fine", [])
    supervisor.stopping()
    assert supervisor.pace_s(2.0) == 2.0


def test_what_the_manager_did_not_hear_is_said_again(tmp_path: Path) -> None:
    supervisor = ServiceManager(environ(tmp_path, WATCHDOG_USEC="4000000"), FakeClock())
    supervisor.report("fine", [])  # nobody is there
    with manager(str(tmp_path / "notify")) as receiver:
        supervisor.report("fine", [])
        assert messages(receiver) == ["STATUS=fine", "WATCHDOG=1"]
