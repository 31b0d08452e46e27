"""A simulated board: seeded, as bad as it is told to be, and read by the real reader."""

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from programs import running, wait_until

from kei.core.errors import ConfigError
from kei.core.reading import Reading
from kei.sensors.counters import LineCounters
from kei.sensors.line_parser import Reason
from kei.sensors.silence import Silence
from kei.sensors.stream import Stream
from kei.settings.serial import LineEnd, PortSettings, SensorSettings
from kei.simulator.board.board import SENSOR_NAMES, Board
from kei.simulator.board.options import OPTIONS, BoardOptions, parse_sensor_port
from kei.simulator.option_parser import COMMON_OPTIONS


def sent(options: str, seconds: int = 3000) -> list[bytes]:
    """What a board sends, second by second."""
    clock = FakeClock(1_795_395_600_000, TOKYO)
    board = Board(parse_sensor_port(f"sim-sensor:{options}"), clock)
    pieces = []
    for _ in range(seconds):
        pieces.append(board.poll(clock.monotonic()))
        clock.advance(1)
    return pieces


def understood(pieces: Iterable[bytes]) -> tuple[list[Reading], dict[str, int]]:
    """What kei makes of it: readings, and what was left out by reason."""
    clock = FakeClock()
    counters = LineCounters("sim", clock)
    settings = SensorSettings("sim", PortSettings(9600), "ascii", LineEnd.LF, None, ())
    stream = Stream(settings, clock, counters, Silence("sim", None, (), clock))
    readings = [reading for piece in pieces for reading in stream.feed(piece)]
    return readings, counters.counts()[1]


def test_a_board_sends_each_sensor_in_its_interval() -> None:
    readings, rejected = understood(sent("interval=10", seconds=100))
    assert Counter(reading.sensor for reading in readings) == dict.fromkeys(SENSOR_NAMES, 10)
    assert {reading.unit for reading in readings} == {"A1"}
    assert [int(reading.data_id) for reading in readings] == list(range(40))
    assert rejected == {}


def test_the_same_seed_sends_the_same_and_another_does_not() -> None:
    options = "noise=5,repeats=5,outliers=5,wrong=5,seed="
    assert sent(options + "7") == sent(options + "7")
    assert sent(options + "7") != sent(options + "8")


def test_values_are_plausible_with_the_decimals_of_each_sensor() -> None:
    readings, _ = understood(sent("board=B-2"))
    for sensor, places, low, high in (
        ("T1", 2, -20, 45),
        ("H1", 1, 0, 100),
        ("P1", 1, 950, 1050),
        ("L1", 0, 0, 120_000),
    ):
        values = [reading.value for reading in readings if reading.sensor == sensor]
        assert all(low <= value <= high for value in values)
        assert all(value.as_tuple().exponent == -places for value in values)
    assert {reading.unit for reading in readings} == {"B-2"}


@pytest.mark.parametrize(
    ("option", "reasons"),
    [
        ("repeats=20", {Reason.REPEAT}),
        (
            "wrong=20",
            {Reason.VALUE, Reason.FIELDS, Reason.ID, Reason.TOO_LONG},
        ),
    ],
)
def test_a_percentage_of_lines_is_bad_in_its_way(option: str, reasons: set[Reason]) -> None:
    readings, rejected = understood(sent(f"interval=1,{option}"))
    assert set(rejected) == {reason.value for reason in reasons}
    share = sum(rejected.values()) / (len(readings) + sum(rejected.values()))
    assert 0.15 < share < 0.35  # a repeated line comes up to three times


def test_noise_damages_its_share_of_lines_only() -> None:
    total = 4 * 3000
    readings, rejected = understood(sent("interval=1,noise=10"))
    assert 0.87 * total < len(readings) < 0.93 * total
    assert {"encoding", "characters"} <= set(rejected)


def test_outliers_are_well_formed_and_far_off() -> None:
    readings, rejected = understood(sent("interval=1,outliers=10"))
    assert rejected == {}
    far = [r for r in readings if r.sensor == "P1" and not 900 < r.value < 1100]
    assert 200 < len(far) < 400


def test_lines_may_lack_a_data_id_and_a_carriage_return() -> None:
    data = b"".join(sent("no-id,lf", seconds=60))
    assert b"\r" not in data
    assert {line.count(b",") for line in data.splitlines()} == {2}


def test_a_board_that_was_stopped_does_not_make_up_for_its_lines() -> None:
    clock = FakeClock()
    board = Board(BoardOptions(interval_s=1), clock)
    board.poll(clock.monotonic())
    clock.advance(100_000)
    assert board.poll(clock.monotonic()).count(b"\n") == len(SENSOR_NAMES)


def test_every_mistake_in_a_port_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sensor_port("sim-sensor:nois=5,board=A 1,wrong=200,lf=1,interval=0")
    assert caught.value.faults == [
        "port 'sim-sensor:...': unknown option 'nois', did you mean 'noise'?",
        "port 'sim-sensor:...': board: 'A 1' is no UnitID; use ASCII letters, digits, - and _",
        "port 'sim-sensor:...': wrong: '200' is not a number from 0 to 100",
        "port 'sim-sensor:...': 'lf' takes no value",
        "port 'sim-sensor:...': interval: '0' is not a number from 0.001 to 3600",
    ]


@pytest.mark.usefixtures("unmeasured")  # a property
@given(
    st.lists(
        st.tuples(
            st.sampled_from([option.name[2:] for option in (*COMMON_OPTIONS, *OPTIONS)])
            | st.text(max_size=5),
            st.none() | st.text(max_size=8) | st.integers(0, 200).map(str),
        ),
        max_size=4,
    )
)
def test_any_text_is_read_or_refused(items: list[tuple[str, str | None]]) -> None:
    text = ",".join(name if value is None else f"{name}={value}" for name, value in items)
    try:
        options = parse_sensor_port(f"sim-sensor:{text}")
    except ConfigError:
        return
    assert isinstance(options, BoardOptions)


def test_a_board_on_the_command_line_can_be_read(tmp_path: Path) -> None:
    link = tmp_path / "board"
    with running("simulate", "--sensor", "--link", str(link), "--interval", "0.05") as board:
        board.wait_for(lambda: f"ready {link}" in board.lines, 10, "ready")
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        got = bytearray()

        def three_lines() -> bool:
            got.extend(os.read(fd, 4096))
            return got.count(b"\n") >= 3

        wait_until(three_lines, 10, "three lines")
        os.close(fd)
        assert got.startswith(b"A1,")
        assert board.stop(signal.SIGINT) == 0
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sensor", "--solar"], "--solar: means nothing with --sensor"),
        (["--sensor", "--replay", "x"], "--replay: means nothing with --sensor"),
        (["--noise", "3"], "--noise: means nothing without --sensor"),
        (["--sensor", "--noise", "300"], "noise: '300' is not a number from 0 to 100"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Path, options: list[str], message: str
) -> None:
    with running("simulate", "--link", str(tmp_path / "board"), *options) as kei:
        assert kei.wait() == 2
    assert [line for line in kei.errors if message in line]
