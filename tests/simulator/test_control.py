"""Lines said to a running simulator."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_bench import Bench, answers

from kei.core.errors import ConfigError
from kei.echonet.frame import decode
from kei.simulator.control import HELP, Console, carry_out


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.join()
    return found


def say(bench: Bench, line: str) -> str:
    return carry_out(line, bench.dongle, bench.clock.monotonic())


def power(bench: Bench) -> list[int]:
    """What the meter says it is, if it says anything."""
    frames = [decode(answer) for answer in answers(bench.send())]
    return [int.from_bytes(frame.properties[0].edt, "big", signed=True) for frame in frames]


def test_a_fault_counts_from_when_it_was_added(bench: Bench) -> None:
    power(bench)
    say(bench, "fault drop@2")
    assert [bool(power(bench)) for _ in range(3)] == [True, False, True]


def test_the_time_of_a_fault_runs_from_when_it_was_added(bench: Bench) -> None:
    bench.wait(100)
    say(bench, "fault limit@t5")
    assert "EVENT 32" not in bench.wait(4.9)
    assert "EVENT 32" in bench.wait(0.2)


def test_clear_calls_off_every_fault_to_come(bench: Bench) -> None:
    for line in ("fault drop%100", "fault sna:5", "fault limit@t5", "clear"):
        say(bench, line)
    assert "EVENT 32" not in bench.wait(10)
    assert power(bench)


def test_power_is_set_and_given_back(bench: Bench) -> None:
    own = power(bench)
    say(bench, "power -3500")
    assert power(bench) == [-3500]
    say(bench, "power auto")
    assert power(bench) == own


def test_unplug_takes_the_dongle_away_once(bench: Bench) -> None:
    say(bench, "unplug")
    assert bench.dongle.unplugged
    with pytest.raises(ConfigError, match="already"):
        say(bench, "unplug")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fautl drop@1", "did you mean 'fault'"),
        ("fault drpo@1", "did you mean 'drop'"),
        ("fault", "write fault SPEC"),
        ("power", "write power WATT"),
        ("power much", "not a number of W"),
        ("power 100001", "not a number of W"),
        ("reboot", "write fault SPEC"),
        ("", "empty line"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(bench: Bench, line: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        say(bench, line)
    assert len(caught.value.faults) == 1


def test_help_names_every_command(bench: Bench) -> None:
    assert say(bench, "help") == HELP


class Typed:
    """A pipe to a console, and what it answered."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        reading, self.writing = os.pipe()
        self.console = Console(reading, Bench().dongle, self.answers.append)

    def type(self, data: bytes) -> bool:
        os.write(self.writing, data)
        return self.console.serve(0.0)

    def close(self) -> None:
        os.close(self.console.fileno())
        os.close(self.writing)


@pytest.fixture
def typed() -> Iterator[Typed]:
    found = Typed()
    yield found
    found.close()


def test_a_line_is_carried_out_when_its_end_has_come(typed: Typed) -> None:
    assert typed.type(b"cle")
    assert not typed.answers
    assert typed.type(b"ar\nhelp\n")
    assert [answer.split()[0] for answer in typed.answers] == ["ok:", "ok:"]


def test_a_line_without_end_ends_the_console(typed: Typed) -> None:
    assert not typed.type(b"x" * 2000)
    assert "no more are read" in typed.answers[0]


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=5))
def test_every_line_gets_one_answer_whatever_it_holds(lines: list[bytes]) -> None:
    typed = Typed()
    try:
        if lines:
            typed.type(b"".join(line + b"\n" for line in lines))
    finally:
        typed.close()
    assert len(typed.answers) == len(lines)
    assert not any("\n" in answer for answer in typed.answers)
