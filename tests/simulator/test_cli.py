"""`kei simulate` as a process of its own."""

import signal
from pathlib import Path

import pytest
import serial
from programs import running, simulator

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
