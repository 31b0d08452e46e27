"""kei as a service manager sees it: the notify protocol of a real process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT, SIMULATED, readings, running, wait_until, write_jobs

OFTEN = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        """All that was said so far, line by line."""
        try:
            while True:
                self.heard += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.heard

    def wait_for(self, line: str, deadline_s: float = 20.0, count: int = 1) -> None:
        wait_until(lambda: self.lines().count(line) >= count, deadline_s, f"{line} x {count}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as made:
        yield made


def test_the_service_manager_is_told_of_start_progress_and_end(
    tmp_path: Path, manager: Manager
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    with running(
        "--jobs", str(jobs), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000"
    ) as kei:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=meter joined")
        manager.wait_for("WATCHDOG=1", count=4)
        assert kei.stop(signal.SIGTERM) == 0
    assert manager.lines()[0] == "READY=1"
    assert manager.lines()[-2:] == ["STOPPING=1", "STATUS=stopping"]


def test_a_dead_dongle_is_a_status_and_no_reason_for_a_restart(
    tmp_path: Path, manager: Manager
) -> None:
    jobs = write_jobs(tmp_path, str(tmp_path / "no-dongle"))
    with running("--jobs", str(jobs), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000") as kei:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=waiting for the dongle's port")
        manager.wait_for("WATCHDOG=1", count=10)
        assert kei.process.poll() is None


def test_a_configuration_with_mistakes_is_never_ready(tmp_path: Path, manager: Manager) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, "[recorder]", 'sync = "soon"')
    with running("--jobs", str(jobs), NOTIFY_SOCKET=manager.address) as kei:
        assert kei.wait() == 2
    assert manager.lines() == []


def test_a_process_that_is_stopped_feeds_no_watchdog(tmp_path: Path, manager: Manager) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    with running("--jobs", str(jobs), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000") as kei:
        manager.wait_for("WATCHDOG=1", count=3)
        kei.send(signal.SIGSTOP)
        wait_until(lambda: _is_stopped(kei.process.pid), 5, "the process to be stopped")
        fed = manager.lines().count("WATCHDOG=1")
        time.sleep(0.6)  # noqa: TID251 - longer than from one to the next
        assert manager.lines().count("WATCHDOG=1") == fed
        kei.send(signal.SIGCONT)
        manager.wait_for("WATCHDOG=1", count=fed + 1)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_all_is_well_in_silence(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=OFTEN)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.wait_for(lambda: len(readings(tmp_path)) > 50, 20, "50 readings")
        lines = [json.loads(line) for line in kei.lines]
        assert kei.stop() == 0
    joined = [line["event"] for line in lines].index("session_joined")
    # What is told of each join, of the first answers, and nothing of all the others.
    assert len(lines) - joined <= 4, lines[joined:]


def test_a_schedule_that_needs_too_much_air_is_told_at_the_start_and_after_a_change(
    tmp_path: Path,
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=OFTEN)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("config_advice", count=2)
        first, second = (str(event["advice"]) for event in kei.events("config_advice"))
        assert [event["level"] for event in kei.events("config_advice")] == ["warning", "info"]
        assert first.startswith(
            "about 360 s of transmission an hour, of the 360 s that are allowed"
        )
        assert second.startswith("E7 every 0.1s: an answer takes up to 2 s")
        write_jobs(tmp_path, SIMULATED, requests=OFTEN.replace("0.1", "1"))
        kei.wait_for_event("config_advice", 10, count=3)
        assert str(kei.events("config_advice")[2]["advice"]).startswith("E7 every 1s")
        assert kei.stop() == 0


def test_every_line_for_the_journal_has_its_priority(tmp_path: Path) -> None:
    receiver, sender = socket.socketpair()  # in the place of the journal's
    jobs = write_jobs(tmp_path, str(tmp_path / "no-dongle"), "[log]", 'level = "debug"')
    with receiver, receiver.makefile() as journal:
        with sender:
            stat = os.fstat(sender.fileno())
            kei = start(jobs, sender, JOURNAL_STREAM=f"{stat.st_dev}:{stat.st_ino}")
        try:
            receiver.settimeout(PATIENCE_S)
            found = [entry(next(journal))]
            while found[-1][1]["event"] != "port_lost":
                found.append(entry(next(journal)))
            kei.terminate()
            found += [entry(line) for line in journal]
            assert kei.wait(PATIENCE_S) == 0
        finally:
            kei.kill()
            kei.wait(PATIENCE_S)
    told = {str(fields["event"]): priority for priority, fields in found}
    assert told["kei_started"] == told["kei_stopped"] == 6
    assert told["port_lost"] == 4
    assert told["session_step"] == 7


def start(jobs: Path, stdout: socket.socket, **environ: str) -> subprocess.Popen[bytes]:
    """Start kei with a socket for its standard output, as systemd does."""
    env = {name: value for name, value in os.environ.items() if name != "DEBUG"} | environ
    program = [sys.executable, "-m", "kei", "--jobs", str(jobs)]
    return subprocess.Popen(program, env=env | {"PYTHONPATH": str(ROOT)}, stdout=stdout.fileno())


def entry(line: str) -> tuple[int, dict[str, object]]:
    """A line of the journal: its priority and what it says."""
    found = re.fullmatch(r"<([2-7])>(\{.*\})\n", line)
    assert found, line
    return int(found[1]), json.loads(found[2])
