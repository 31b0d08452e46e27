"""`kei simulate` as a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import serial
from programs import BROUTE_ID, BROUTE_PWD, ROOT, running, simulator

DEADLINE_S = 10.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_as_asked_and_takes_the_link_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    link = tmp_path / "dongle"
    with simulator(link) as program:
        assert link.is_char_device()
        assert program.stop(number) == 0
    assert not link.is_symlink()


def test_ready_is_the_first_thing_it_says(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link) as program:
        assert program.lines[0] == f"ready {link}"


def test_a_client_talks_to_the_dongle_that_was_asked_for(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with (
        simulator(link, "--dongle", "RL7023-IPS"),
        serial.Serial(str(link), 115200, timeout=DEADLINE_S) as port,
    ):
        port.write(b"SKVER\r\n")
        assert port.read_until(b"OK\r\n") == b"SKVER\r\nEVER 1.2.10\r\nOK\r\n"


def test_mistakes_are_all_told_at_once_and_end_it_with_2(tmp_path: Path) -> None:
    options = ("--dongle", "BP35C3", "--latency", "x", "--fault", "dorp@3")
    with running("simulate", "--link", str(tmp_path / "dongle"), *options) as program:
        assert program.wait(DEADLINE_S) == 2
    assert len(program.errors) == 3
    assert not program.lines


def test_a_file_in_the_way_ends_it_with_2(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    link.write_text("precious")
    with running("simulate", "--link", str(link)) as program:
        assert program.wait(DEADLINE_S) == 2
    assert link.read_text() == "precious"


def test_help_names_every_fault() -> None:
    with running("simulate", "--help") as program:
        assert program.wait(DEADLINE_S) == 0
    text = " ".join(" ".join(program.lines).split())
    assert "wrong-tid" in text
    assert "KIND%PERCENT" in text
    assert "Faults given so count from then on" in text


def version(link: Path) -> bytes:
    with serial.Serial(str(link), 115200, timeout=DEADLINE_S) as port:
        port.write(b"SKVER\r\n")
        said: bytes = port.read_until(b"OK\r\n")
        return said


def test_each_line_on_stdin_is_answered_by_one_line_on_stdout(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link, stdin=subprocess.PIPE) as program:
        for line in ("fault drop%20", "power 3500", "clear", "fautl", "help"):
            program.type(line)
        program.wait_for(lambda: len(program.lines) == 6, DEADLINE_S, "five answers")
    words = [line.split()[0] for line in program.lines]
    assert words == ["ready", "ok:", "ok:", "ok:", "error:", "ok:"]


def test_unplug_takes_the_port_away_and_brings_it_back(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link, stdin=subprocess.PIPE) as program:
        program.type("unplug")
        program.wait_for(lambda: not link.is_symlink(), DEADLINE_S, "the port is gone")
        program.wait_for(link.is_char_device, DEADLINE_S, "the port is back")
        assert version(link).endswith(b"OK\r\n")


def test_the_end_of_stdin_neither_ends_it_nor_keeps_it_busy(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link, stdin=subprocess.PIPE) as program:
        program.type("help")
        program.wait_for(lambda: len(program.lines) == 2, DEADLINE_S, "an answer")
        assert program.process.stdin is not None
        program.process.stdin.close()
        before = cpu_ticks(program.process.pid)
        threading.Event().wait(0.5)
        assert cpu_ticks(program.process.pid) - before < 0.25 * os.sysconf("SC_CLK_TCK")
        assert version(link).endswith(b"OK\r\n")
        assert program.stop() == 0


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_file_on_stdin_is_carried_out_as_a_whole(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("power 3500\nfault drop@1")
    with lines.open("rb") as file, simulator(tmp_path / "dongle", stdin=file) as program:
        program.wait_for(lambda: len(program.lines) == 3, DEADLINE_S, "two answers")
    assert program.lines[2] == "ok: fault drop@1, counted from now on"


def test_without_any_stdin_it_works_all_the_same(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    command = f'exec "{sys.executable}" -m kei simulate --link "{link}" <&-'
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready {link}\n".encode()
            assert version(link).endswith(b"OK\r\n")
        finally:
            process.terminate()


def test_in_the_background_of_a_terminal_it_leaves_what_is_typed_to_the_shell(
    tmp_path: Path,
) -> None:
    link = tmp_path / "dongle"
    # The shell is the terminal's own process, and with -m puts what runs behind it into a
    # process group of its own; it takes a line and says what it got.
    script = (
        f'"{sys.executable}" -m kei simulate --link "{link}" & '
        f'while ! [ -e "{link}" ]; do sleep 0.05; done; echo waiting; '
        'read -r line; echo "got $line"; kill $!; wait $!; echo "ended $?"'
    )
    on_terminal = "import pty, sys; pty.spawn(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", on_terminal, "bash", "-m", "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = threading.Timer(30, process.kill)
        deadline.start()
        try:
            said, is_typed = b"", False
            while b"ended" not in said:
                said += (line := process.stdout.readline())
                assert line, said
                if not is_typed and b"waiting" in said and b"ready" in said:
                    is_typed = True
                    process.stdin.write(b"power 3500\n")
                    process.stdin.flush()
        finally:
            deadline.cancel()
            process.kill()
    assert b"got power 3500" in said
    assert b"ended 0" in said


def test_it_says_what_it_takes_and_that_it_can_be_talked_to(tmp_path: Path) -> None:
    with simulator(tmp_path / "dongle", stdin=subprocess.PIPE) as program:
        program.wait_for(lambda: len(program.errors) == 4, DEADLINE_S, "the introduction")
        assert f'broute_id  = "{BROUTE_ID}"' in program.errors[1]
        assert f'broute_pwd = "{BROUTE_PWD}"' in program.errors[2]
        assert program.errors[3].startswith("type help")
    with simulator(tmp_path / "dongle") as program:
        program.wait_for(lambda: len(program.errors) >= 3, DEADLINE_S, "the introduction")
        assert not any("help" in line for line in program.errors)
