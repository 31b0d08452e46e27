"""`kei simulate`: the simulator as a program of its own."""

import argparse
import contextlib
import os
import select
import signal
import sys
import textwrap
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TextIO

from kei.core import logs
from kei.core.clock import SystemClock
from kei.core.errors import ConfigError
from kei.core.printable import printable
from kei.simulator.board.board import SENSOR_NAMES, simulated_board
from kei.simulator.board.options import OPTIONS as BOARD_OPTIONS
from kei.simulator.board.options import BoardOptions
from kei.simulator.build import build
from kei.simulator.control import HELP, Console
from kei.simulator.option_parser import (
    COMMON_OPTIONS,
    Option,
    add_options,
    build_options,
    given_options,
)
from kei.simulator.options import OPTIONS, SimulatorOptions
from kei.simulator.port.server import Simulator
from kei.simulator.replay.recording import read_recording
from kei.simulator.replay.replay import Difference, Pace, Replay, shown

_REPLAY_OPTIONS = ("--speed", "--latency", "--transcript")

_EPILOG = (
    "While it runs it takes lines on standard input and answers each by one line: "
    f"{HELP.replace('%', '%%')}. Faults given so count from then on; clear calls off those to "
    "come; power sets what the household draws, the registers follow."
)


class _WholeWords(argparse.HelpFormatter):
    """Breaks lines at blanks only: `wrong-tid` is one word."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `kei simulate` to a parser."""
    parser.add_argument(
        "--link", type=Path, required=True, metavar="PATH", help="symbolic link to be opened"
    )
    add_options(parser, (*COMMON_OPTIONS, *OPTIONS))
    parser.add_argument(
        "--sensor",
        action="store_true",
        help=f"instead of a dongle, a board with the sensors {' '.join(SENSOR_NAMES)} that sends "
        "lines of UnitID,SensorID,Value,DataID; --seed, --transcript and what follows go with it",
    )
    add_options(parser, BOARD_OPTIONS)
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="instead of a dongle, play its side of FILE: a transcript of this command or of a "
        "running kei ([log] transcript). The first thing that the client says otherwise is told on "
        "stderr with its line, and ends it with 1; the end of FILE ends it with 0. Credentials and "
        "transaction numbers may differ. Pauses are as recorded, also before lines that the dongle "
        "says of itself, which come at once if the client goes on before; --speed divides pauses, "
        "--latency is the longest. Only --speed, --latency and --transcript go with it",
    )
    parser.epilog = _EPILOG
    parser.formatter_class = _WholeWords


def main(args: argparse.Namespace) -> int:
    """Simulate until INT, TERM or HUP, or play a recording.

    Returns:
        the exit code: 0, or 1 if a recording was not played to its end.

    Raises:
        ConfigError: an option or the recording is wrong, or the link or transcript cannot be made.
        OSError: the terminal failed.
    """
    # Standard output belongs to the one line that says that the port is there.
    logs.configure_stderr(os.environ, "info")
    if args.sensor:
        return _play_board(args)
    if strange := _others(args, (*COMMON_OPTIONS, *OPTIONS)):
        raise ConfigError([f"{', '.join(strange)}: means nothing without --sensor"])
    if args.replay is not None:
        return _play_recording(args)
    options = build_options(args, SimulatorOptions)
    clock = SystemClock()
    dongle = build(options, clock)
    # There is no standard input at all where the parent has closed it.
    console = None if sys.stdin is None else Console(sys.stdin.fileno(), dongle, _answer)
    # Reading from a terminal in the background then fails instead of stopping the process.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)

    def ready() -> None:
        _say_ready(args.link)
        for line in _introduction(options, console):
            _say(sys.stderr, line)

    _run(
        Simulator(
            options, clock=clock, link=args.link, on_ready=ready, device=dongle, console=console
        )
    )
    return 0


def _run(simulator: Simulator) -> None:
    """Serve until a signal, or until the simulator ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: simulator.stop())
    simulator.run()


def _play_recording(args: argparse.Namespace) -> int:
    """Play a recording until its end, a difference, or a signal; return the exit code."""
    allowed = [option for option in (*COMMON_OPTIONS, *OPTIONS) if option.name in _REPLAY_OPTIONS]
    if others := _others(args, allowed):
        only = f"only {', '.join(_REPLAY_OPTIONS)} do"
        raise ConfigError([f"--replay: {', '.join(others)} means nothing with it, {only}"])
    options = build_options(args, SimulatorOptions)
    steps = read_recording(args.replay)
    results: list[Difference | None] = []

    def over(result: Difference | None) -> None:
        results.append(result)
        simulator.stop()

    replay = Replay(steps, Pace(options.speed, options.latency), over)
    ready = partial(_say_ready, args.link)
    simulator = Simulator(options, link=args.link, on_ready=ready, device=replay)
    _run(simulator)
    match results:
        case [Difference(line, expected, got)]:
            ending = f":{line}: expected '{expected}', got '{got}'"
        case _ if replay.is_played:
            ending = ": played to its end"
        case _:
            left = replay.expected
            ending = ": stopped before its end" + (
                f", line {left.line}: '{shown(left.command)}'" if left is not None else ""
            )
    sys.stderr.write(printable(f"{args.replay}{ending}") + "\n")
    return 0 if replay.is_played else 1


def _play_board(args: argparse.Namespace) -> int:
    """Play a board with sensors until a signal; return the exit code."""
    others = _others(args, (*COMMON_OPTIONS, *BOARD_OPTIONS))
    if args.replay is not None:
        others.append("--replay")
    if others:
        raise ConfigError([f"{', '.join(others)}: means nothing with --sensor"])
    options = build_options(args, BoardOptions)
    ready = partial(_say_ready, args.link)
    _run(simulated_board(options, clock=SystemClock(), link=args.link, on_ready=ready))
    return 0


def _others(args: argparse.Namespace, allowed: Collection[Option]) -> list[str]:
    """Return the names of the options that were given and are none of these."""
    return [option.name for option in given_options(args) if option not in allowed]


def _say_ready(link: Path) -> None:
    sys.stdout.write(f"ready {link}\n")
    sys.stdout.flush()


def _introduction(options: SimulatorOptions, console: Console | None) -> list[str]:
    """Return what a person needs to go on: in jobs.toml, and here."""
    lines = [
        f"a virtual {options.dongle} and its meter, which take",
        f'  broute_id  = "{options.broute_id}"',
        f'  broute_pwd = "{options.broute_pwd}"',
    ]
    if console is not None and console.can_be_waited_on:
        lines.append("type help for what can be done to them; Ctrl-C ends it")
    return lines


def _answer(line: str) -> None:
    _say(sys.stdout, line)


def _say(stream: TextIO | None, line: str) -> None:
    """Write a line, unless the stream is closed or nobody reads it."""
    if stream is None:
        return
    with contextlib.suppress(OSError):
        if select.select([], [stream], [], 0)[1]:
            stream.write(printable(line) + "\n")
            stream.flush()
