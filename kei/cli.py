"""The command line: commands, their arguments, and exit codes. No logic."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from kei import __version__
from kei.commands.times import joined
from kei.core import clock
from kei.core.errors import ConfigError, KeiError
from kei.core.heap import keep_small
from kei.core.printable import printable
from kei.core.signals import SignalQueue

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


# Where argparse repeats what may be the value of a mistyped or misplaced option: a secret, say.
_REPEATED = re.compile(
    r"(?<=^argument COMMAND: invalid choice): .*(?= \(choose)"
    r"|(?<=^ambiguous option: )(?P<name>[^=]*)=.*(?= could match )",
    re.DOTALL,
)


class _Parser(argparse.ArgumentParser):
    """Prints a usage error in one line, without the values of options."""

    def error(self, message: str) -> NoReturn:
        safe = printable(_REPEATED.sub(lambda found: found["name"] or "", message))
        self.exit(EXIT_USAGE, f"{self.prog}: {safe}; try {self.prog} --help\n")


def build_parser(*, simulate: bool) -> argparse.ArgumentParser:
    """Return the parser of `kei` and its commands.

    Args:
        simulate: whether with the options of `kei simulate`; they load the whole simulator, which
            takes long on a small machine.
    """
    parser = _Parser(
        prog="kei",
        description="Logs the Japanese smart meter (Wi-SUN B route), day and night.",
        epilog="Without a command: run until a signal, as jobs.toml says.",
    )
    parser.add_argument("--version", action="version", version=f"kei {__version__}")
    _add_jobs(parser, default=Path("jobs.toml"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    check = commands.add_parser(
        "check", help="validate jobs.toml, show what would be scheduled, touch no device"
    )
    _add_jobs(check, default=argparse.SUPPRESS)
    check.add_argument(
        "--probe-ports",
        action="store_true",
        help="also open each port, and say what to do if that fails",
    )
    check.add_argument(
        "--no-secrets",
        action="store_true",
        help="do not read the files that hold secrets: for a user who may not",
    )
    probe = commands.add_parser(
        "probe", help="join the meter once, print what dongle and meter are and can do, and leave"
    )
    status = commands.add_parser("status", help="what the running kei is doing")
    for command in (probe, status):
        _add_jobs(command, default=argparse.SUPPRESS)
        command.add_argument("--json", action="store_true", help="one JSON object for machines")
    _add_export(commands.add_parser("export", help="what was recorded, as lines on stdout"))
    _add_energy(commands.add_parser("energy", help="kWh bought and sold by hours, days or months"))
    _add_bill(commands.add_parser("bill", help="what the billing period costs, line by line"))
    _add_dead_letters(
        commands.add_parser("dead-letters", help="what upload servers refused for good")
    )
    _add_backup(commands.add_parser("backup", help="copy the database, also while kei runs"))
    _add_restore(commands.add_parser("restore", help="put such a copy back, while kei is stopped"))
    _add_import(
        commands.add_parser("import", help="take daily text files into the database, kei stopped")
    )
    simulator = commands.add_parser(
        "simulate", help="a virtual dongle with a smart meter behind it, on a pseudo terminal"
    )
    if simulate:
        from kei.commands.simulate import add_arguments  # noqa: PLC0415

        add_arguments(simulator)
    return parser


def _add_jobs(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--jobs",
        type=Path,
        metavar="FILE",
        default=default,
        help="the configuration (default: jobs.toml in this folder)",
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_jobs(parser, default=argparse.SUPPRESS)
    _add_range(parser, is_required=False)
    parser.add_argument(
        "--pending",
        action="store_true",
        help="instead of a range, the readings that have no line yet: they wait for the clock, or "
        "for a text file that can be written",
    )
    parser.add_argument("--unit", metavar="U", help="only this UnitID")
    parser.add_argument("--sensor", metavar="S", help="only this SensorID")
    parser.add_argument(
        "--summary", action="store_true", help="averages, least and largest values of each window"
    )
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv")


def _add_range(parser: argparse.ArgumentParser, *, is_required: bool) -> None:
    day = "a day (2026-11-23, today, yesterday, -7d) or a time (2026-11-23T07:30)"
    parser.add_argument("--from", dest="begin", metavar="D", required=is_required, help=day)
    parser.add_argument(
        "--to", dest="end", metavar="D", required=is_required, help="a day is included"
    )


def _add_energy(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Computes energy from the registers that the meter stamps at :00 and :30. Half-hours"
        " without one are counted and named, never guessed. kei may run meanwhile, or be stopped."
        " The last week, for example: kei energy --from -6d --to today"
    )
    _add_jobs(parser, default=argparse.SUPPRESS)
    _add_range(parser, is_required=True)
    parser.add_argument("--by", choices=("half-hour", "hour", "day", "month"), default="day")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")


def _add_bill(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Computes the bill of a period by [tariff] of jobs.toml, from the registers that the meter"
        " stamps at :00 and :30; with a forecast for the period that is running."
    )
    _add_jobs(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "--month",
        metavar="YYYY-MM",
        help="the billing month: that of the day behind the last (default: the running one)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _add_dead_letters(parser: argparse.ArgumentParser) -> None:
    _add_jobs(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "retry", "drop"),
        default="list",
        help="show them (default), have them sent once more, or forget them",
    )
    parser.add_argument("--target", metavar="NAME", help="only those of this [[upload]]")
    parser.add_argument(
        "--id", type=int, action="append", default=[], metavar="N", help="only this one; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="list one JSON object a line")


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes one consistent, checked file with all that the database holds. kei may run, and "
        "whoever may read the data may do it. The rows of the last minutes may be in the text "
        "files only."
    )
    _add_jobs(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the copy; an older one of this name is replaced"
    )


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Puts a copy that `kei backup` has written in the place of the database. kei has to be "
        "stopped. The database that is there now is kept beside it, under a name with the time. "
        "At its next start kei adds what only the text files have."
    )
    _add_jobs(parser, default=argparse.SUPPRESS)
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy; it stays as it is")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Adds the lines of daily text files, those of keilog as well, to the database, nothing "
        "twice: lines that it has already are recognised. kei has to be stopped. The files stay "
        "as they are."
    )
    _add_jobs(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "files",
        type=Path,
        metavar="FILE",
        nargs="+",
        help="YYYYMMDD-*.txt, also compressed (.gz); no averages (sum*.txt), which kei computes",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments; those of the process if None.

    Returns:
        the exit code: 0 ended as asked, 2 usage or configuration error, 1 anything else.
    """
    signals = SignalQueue()
    args = _parsed(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args, signals)
    except ConfigError as error:
        _to_stderr(*error.faults)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_OK
    except BrokenPipeError:
        # The reader of our output has gone: not an error, but Python must not flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (KeiError, OSError) as error:
        if "DEBUG" in os.environ:
            raise
        _to_stderr(f"kei: {error}")
        return EXIT_FAILED


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; the parser, 0.2 MB, does not live as long as the command."""
    parser = build_parser(simulate="simulate" in words)
    args, unknown = parser.parse_known_args(joined(words))
    if unknown:
        if args.command is not None:
            parser.prog += f" {args.command}"
        parser.error(f"unrecognized arguments{_option_names(unknown)}")
    return args


def _option_names(words: Sequence[str]) -> str:
    """Return the options among some arguments without their values, to be put behind a message."""
    options = (word.partition("=")[0] for word in words if word.startswith("-"))
    names = [name if name.startswith("--") else name[:2] for name in options]
    return f": {' '.join(names)}" if names else ""


def _dispatch(args: argparse.Namespace, signals: SignalQueue) -> int:
    # Each command imports what it needs: a Raspberry Pi takes seconds to load everything.
    match args.command:
        case "simulate":
            from kei.commands.simulate import main as simulate  # noqa: PLC0415

            return simulate(args)
        case "probe":
            signals.install()
            return _probe(args.jobs, signals, as_json=args.json)
        case "status":
            return _status(args.jobs, as_json=args.json)
        case str(name):
            return _COMMANDS[name](args)
        case _:
            keep_small()
            signals.install()
            return _run(args.jobs, signals)


def _run(path: Path, signals: SignalQueue) -> int:
    from kei.app.runner import Runner  # noqa: PLC0415

    Runner(path, environ=os.environ, clock=clock.SystemClock(), signals=signals).run()
    return EXIT_OK


def _check(args: argparse.Namespace) -> int:
    from kei.commands.check import check  # noqa: PLC0415

    are_good = True
    for found in check(
        args.jobs,
        environ=os.environ,
        clock=clock.SystemClock(),
        with_secrets=not args.no_secrets,
        probe_ports=args.probe_ports,
    ):
        _to_stdout(found.line + "\n")
        are_good &= found.is_good
    return EXIT_OK if are_good else EXIT_FAILED


def _probe(path: Path, signals: SignalQueue, *, as_json: bool) -> int:
    from kei.commands.probe import probe  # noqa: PLC0415

    if sys.stderr.isatty():
        _to_stderr("looking for the meter: one to two minutes, five at most; Ctrl-C ends it")
    found = probe(
        path, environ=os.environ, clock=clock.SystemClock(), signals=signals, tell=_to_stderr
    )
    if found is not None:  # None: ended by a signal
        _to_stdout(found.to_json() if as_json else found.to_text())
    return EXIT_OK


def _dead_letters(args: argparse.Namespace) -> int:
    from kei.commands.dead_letters import Action, carry_out  # noqa: PLC0415
    from kei.store.dead_letters import Filter  # noqa: PLC0415

    action, selected = Action(args.action), Filter(args.target, tuple(args.id))
    for line in carry_out(
        args.jobs,
        action,
        selected,
        as_json=args.json,
        environ=os.environ,
        clock=clock.SystemClock(),
    ):
        _to_stdout(line)
    return EXIT_OK


def _backup(args: argparse.Namespace) -> int:
    from kei.commands.backup import back_up, restore  # noqa: PLC0415
    from kei.commands.progress import ProgressLine  # noqa: PLC0415

    system_clock = clock.SystemClock()
    line = ProgressLine(sys.stderr, system_clock)
    work = back_up if args.command == "backup" else restore
    for said in work(args.jobs, args.file, line, environ=os.environ, clock=system_clock):
        _to_stdout(said)
    return EXIT_OK


def _import(args: argparse.Namespace) -> int:
    from kei.commands.import_text import import_files  # noqa: PLC0415
    from kei.commands.progress import ProgressLine  # noqa: PLC0415

    system_clock = clock.SystemClock()
    line = ProgressLine(sys.stderr, system_clock)
    are_good = True
    for said in import_files(args.jobs, args.files, line, environ=os.environ, clock=system_clock):
        if said.is_good:
            _to_stdout(said.line)
        else:
            _to_stderr(said.line.removesuffix("\n"))
        are_good &= said.is_good
    return EXIT_OK if are_good else EXIT_FAILED


def _status(path: Path, *, as_json: bool) -> int:
    from kei.commands.status import status_in_time  # noqa: PLC0415

    found = status_in_time(path, environ=os.environ, clock=clock.SystemClock())
    _to_stdout(found.to_json() if as_json else found.to_text())
    _to_stderr(*found.mistakes)
    if found.mistakes:
        return EXIT_USAGE
    return EXIT_OK if found.is_well else EXIT_FAILED


def _export(args: argparse.Namespace) -> int:
    from kei.commands.export import Form, Selection, export  # noqa: PLC0415

    selection = Selection(
        args.begin,
        args.end,
        args.unit,
        args.sensor,
        summary=args.summary,
        pending=args.pending,
        form=Form(args.format),
    )
    sys.stdout.writelines(
        export(args.jobs, selection, environ=os.environ, clock=clock.SystemClock(), tell=_to_stderr)
    )
    sys.stdout.flush()
    return EXIT_OK


def _energy(args: argparse.Namespace) -> int:
    from kei.commands.energy import Form, Selection, energy  # noqa: PLC0415
    from kei.commands.energy_table import screen_of  # noqa: PLC0415
    from kei.energy.periods import By  # noqa: PLC0415

    selection = Selection(
        args.begin, args.end, By(args.by), Form(args.format), screen_of(sys.stdout)
    )
    sys.stdout.writelines(
        energy(args.jobs, selection, environ=os.environ, clock=clock.SystemClock(), tell=_to_stderr)
    )
    sys.stdout.flush()
    return EXIT_OK


def _bill(args: argparse.Namespace) -> int:
    from kei.commands.bill import Form, bill  # noqa: PLC0415

    for line in bill(
        args.jobs, args.month, Form(args.format), environ=os.environ, clock=clock.SystemClock()
    ):
        _to_stdout(line)
    return EXIT_OK


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "check": _check,
    "export": _export,
    "energy": _energy,
    "bill": _bill,
    "dead-letters": _dead_letters,
    "backup": _backup,
    "restore": _backup,
    "import": _import,
}


def _to_stdout(text: str) -> None:
    """Write lines for people; what a dongle, a server or a file name says steers no terminal.

    What the locale cannot write, such as the Japanese name of a plan, is escaped, as on stderr.
    """
    encoding = sys.stdout.encoding
    shown = printable(text, keep="\n").encode(encoding, "backslashreplace")
    sys.stdout.write(shown.decode(encoding))


def _to_stderr(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(printable(line) + "\n")
