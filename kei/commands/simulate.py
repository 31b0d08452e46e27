"""`kei simulate`: the simulator as a program of its own."""

import argparse
import contextlib
import logging
import os
import select
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import structlog

from kei.core.clock import Clock, SystemClock
from kei.core.errors import ConfigError
from kei.simulator.board import options as board_options
from kei.simulator.board.board import SENSOR_NAMES, simulated_board
from kei.simulator.board.options import DEFAULT_BOARD, BoardOptions
from kei.simulator.build import build
from kei.simulator.control import HELP, Console
from kei.simulator.dongle.models import DEFAULT_MODEL, MODELS
from kei.simulator.faults import FaultKind
from kei.simulator.options import TABLE, SimulatorOptions
from kei.simulator.port.server import Device, Simulator
from kei.simulator.replay.recording import read_recording
from kei.simulator.replay.replay import Difference, Pace, Replay, shown

_HELP = {
    "dongle": ("MODEL", f"{', '.join(MODELS)} (default: {DEFAULT_MODEL})"),
    "broute-id": ("ID", "the meter's Route-B ID (default: a dummy)"),
    "broute-pwd": ("PWD", "the meter's password (default: a dummy)"),
    "seed": ("N", "which household, and every chance (default: 0)"),
    "latency": ("SECONDS", "from request to answer, commands in proportion (default: realistic)"),
    "scan-time": ("SECONDS", "of every scan (default: by the duration asked for)"),
    "join-time": ("SECONDS", "of a join that succeeds (default: realistic)"),
    "speed": ("FACTOR", "of the meter's clock, so that days pass in minutes (default: 1)"),
    "household": ("FILE", "CSV of a recorded day (measured_at, instant_watt), played every day"),
    "unit": ("KWH", "of the meter's registers: 1, 0.1, 0.01 ... (default: 0.1)"),
    "coefficient": ("N", "that its registers are to be multiplied by (default: 1)"),
    "digits": ("N", "of its registers, which then begin at zero again (default: 6)"),
    "lacks": ("EPC+EPC", "properties that it does not have, such as D3+E3+E4+EB+EC+ED"),
    "installed": ("DAYS", "ago that it was put up, its registers at zero (default: long ago)"),
    "clock-skew": ("SECONDS", "that its clock is ahead; negative for behind (default: 0)"),
    "transcript": ("FILE", "append everything that is said, with its time"),
    "fault": (
        "SPEC",
        "make something go wrong, any number of times: KIND@N or KIND@N-M (the Nth SKSENDTO; scan "
        "or join for the kinds named so), KIND@tSECONDS, KIND:COUNT, KIND%%PERCENT; kinds: "
        + " ".join(FaultKind),
    ),
    "solar": ("", "panels on the roof, so that power also flows back"),
    "next-gen": ("", "a meter of Release R, with one-minute values (unit 0.001, 8 digits)"),
    "two-wire": ("", "one phase of two wires: no current of the T phase"),
    "confirmed": ("", "half-hour values as INFC, said again until they are confirmed"),
}

_BOARD_HELP = {
    "board": ("UNIT", f"UnitID of its lines (default: {DEFAULT_BOARD})"),
    "interval": ("SECONDS", "from one line of a sensor to its next (default: 5)"),
    "repeats": ("PERCENT", "of lines that are heard again"),
    "noise": ("PERCENT", "of lines with foreign bytes in them"),
    "outliers": ("PERCENT", "of values that are far off"),
    "wrong": ("PERCENT", "of lines that are no lines of this kind"),
    "lf": ("", "lines end with LF alone instead of CR LF"),
    "no-id": ("", "lines have no DataID"),
}

_FOR_REPLAY = ("speed", "latency", "transcript")

_EPILOG = (
    "While it runs it takes lines on standard input and answers each by one line: "
    f"{HELP.replace('%', '%%')}. Incidents given so count from then on; clear calls off those to "
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
    for name in TABLE.settings:
        metavar, text = _HELP[name]
        parser.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=text)
    for name in TABLE.flags:
        parser.add_argument(f"--{name}", action="store_true", help=_HELP[name][1])
    parser.add_argument(
        "--sensor",
        action="store_true",
        help=f"instead of a dongle, a board with the sensors {' '.join(SENSOR_NAMES)} that sends "
        "lines of UnitID,SensorID,Value,DataID; --seed, --transcript and what follows go with it",
    )
    for name, (metavar, text) in _BOARD_HELP.items():
        if metavar:
            parser.add_argument(
                f"--{name}", action="append", default=[], metavar=metavar, help=text
            )
        else:
            parser.add_argument(f"--{name}", action="store_true", help=text)
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
    level = logging.DEBUG if "DEBUG" in os.environ else logging.INFO
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if args.sensor:
        return _board(args)
    if strange := [f"--{name}" for name, _ in _given(args) if name in _BOARD_HELP]:
        raise ConfigError([f"{', '.join(strange)}: means nothing without --sensor"])
    if args.replay is not None:
        return _replay(args)
    options = TABLE.apply(SimulatorOptions(), _given(args))
    clock = SystemClock()
    dongle = build(options, clock)
    # There is no standard input at all where the parent has closed it.
    console = None if sys.stdin is None else Console(sys.stdin.fileno(), dongle, _answer)
    # Reading from a terminal in the background then fails instead of stopping the process.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    _run(_simulator(args.link, options, clock, dongle, console))
    return 0


def _simulator(
    link: Path, options: SimulatorOptions, clock: Clock, device: Device, console: Console | None
) -> Simulator:
    return Simulator(
        options,
        clock=clock,
        link=link,
        on_ready=lambda: _say_ready(link),
        device=device,
        console=console,
    )


def _run(simulator: Simulator) -> None:
    """Serve until a signal, or until the simulator ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: simulator.stop())
    simulator.run()


def _replay(args: argparse.Namespace) -> int:
    """Play a recording until its end, a difference, or a signal; return the exit code."""
    given = list(_given(args))
    if others := [f"--{name}" for name, _ in given if name not in _FOR_REPLAY]:
        allowed = ", ".join(f"--{name}" for name in _FOR_REPLAY)
        raise ConfigError(
            [f"--replay: {', '.join(others)} means nothing with it, only {allowed} do"]
        )
    options = TABLE.apply(SimulatorOptions(), given)
    steps = read_recording(args.replay)
    results: list[Difference | None] = []

    def over(result: Difference | None) -> None:
        results.append(result)
        simulator.stop()

    replay = Replay(steps, Pace(options.speed, options.latency), over)
    simulator = _simulator(args.link, options, SystemClock(), replay, None)
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
    sys.stderr.write(f"{args.replay}{ending}\n")
    return 0 if replay.is_played else 1


def _board(args: argparse.Namespace) -> int:
    """Play a board with sensors until a signal; return the exit code."""
    given = list(_given(args))
    table = board_options.TABLE
    others = [f"--{name}" for name, _ in given if name not in {*table.settings, *table.flags}]
    if args.replay is not None:
        others.append("--replay")
    if others:
        raise ConfigError([f"{', '.join(others)}: means nothing with --sensor"])
    options = table.apply(BoardOptions(), given)
    clock = SystemClock()
    _run(
        simulated_board(
            options, clock=clock, link=args.link, on_ready=lambda: _say_ready(args.link)
        )
    )
    return 0


def _given(args: argparse.Namespace) -> Iterator[tuple[str, str | None]]:
    values = vars(args)
    for name in [*_HELP, *_BOARD_HELP]:
        value = values[name.replace("-", "_")]
        if isinstance(value, list):
            yield from ((name, text) for text in value)
        elif value:
            yield name, None


def _say_ready(link: Path) -> None:
    sys.stdout.write(f"ready {link}\n")
    sys.stdout.flush()


def _answer(line: str) -> None:
    """Say a line to whoever sent one, unless nobody listens or what was said is piling up."""
    with contextlib.suppress(OSError):
        if select.select([], [sys.stdout], [], 0)[1]:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
