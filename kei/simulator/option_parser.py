"""Options of a simulation, read by argparse from a command line and from a port alike."""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kei.core.errors import ConfigError
from kei.core.likeness import most_like

T = TypeVar("T")  # the dataclass of the options


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a simulation.

    Attributes:
        name: with its `--`.
        help: what `kei simulate --help` says of it.
        metavar: what its value is called there; a flag has none.
        read: returns the value of its text. Raises ValueError, whose text follows the option's
            name, or `ConfigError` with a complete line. None is a flag, whose value is True.
        field: the field of the options' dataclass that holds its value; empty is its own name.
        repeatable: it may be given any number of times; its value is a tuple.
    """

    name: str
    help: str
    metavar: str | None = None
    read: Callable[[str], object] | None = None
    field: str = ""
    repeatable: bool = False

    @property
    def dest(self) -> str:
        """The field of the options' dataclass that holds its value."""
        return self.field or self.name.removeprefix("--").replace("-", "_")


class _Collect(argparse.Action):
    """Collects values and mistakes in the namespace, as argparse ends with the first mistake.

    Its attribute `given` has the values by option, in the order of the command line, and
    `mistakes` has one line each.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, option: Option) -> None:
        super().__init__(
            option_strings,
            dest,
            nargs=0 if option.read is None else None,
            default=argparse.SUPPRESS,
            metavar=option.metavar,
            help=option.help,
        )
        self._option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        given = vars(namespace).setdefault("given", {})
        mistakes = vars(namespace).setdefault("mistakes", [])
        option, value = self._option, None
        name = option.name.removeprefix("--")
        if option in given and not option.repeatable:
            mistakes.append(f"'{name}' is given twice")
            return
        try:
            value = True if option.read is None else option.read(str(values))
        except ConfigError as error:
            mistakes += error.faults
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
        given[option] = (*given.get(option, ()), value) if option.repeatable else value


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Add options to a parser; `given_options` and `build_options` take what it returns."""
    for option in options:
        parser.add_argument(option.name, action=_Collect, option=option)


def given_options(args: argparse.Namespace) -> dict[Option, object]:
    """Return the values of the options that were given, in the order of the command line."""
    found: dict[Option, object] = getattr(args, "given", {})
    return found


def build_options(args: argparse.Namespace, make: Callable[..., T]) -> T:
    """Return the options that were given, put into the dataclass `make`.

    Raises:
        ConfigError: every mistake, one line each.
    """
    if mistakes := getattr(args, "mistakes", None):
        raise ConfigError(mistakes)
    return make(**{option.dest: value for option, value in given_options(args).items()})


def parse_port(prefix: str, text: str, options: Sequence[Option], make: Callable[..., T]) -> T:
    """Return the options of a port such as `sim:solar,seed=7`, put into the dataclass `make`.

    They are parsed as `--solar` and `--seed=7` on the command line are, but one by one, so that no
    mistake hides another.

    Raises:
        ConfigError: every mistake in it, one line each.
    """
    if not text.startswith(prefix):
        raise ConfigError([f"port '{text}' does not begin with '{prefix}'"])
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_options(parser, options)
    known = [option.name.removeprefix("--") for option in options]
    args = argparse.Namespace(given={}, mistakes=[])
    for item in filter(None, map(str.strip, text.removeprefix(prefix).split(","))):
        name, equals, value = map(str.strip, item.partition("="))
        try:
            _, unknown = parser.parse_known_args([f"--{name}{equals}{value}"], args)
        except argparse.ArgumentError:
            wrong = "takes no value" if equals else f"needs a value: {name}=..."
            args.mistakes.append(f"'{name}' {wrong}")
        else:
            if unknown:
                hint = did_you_mean(name, known, f"known are {', '.join(known)}")
                args.mistakes.append(f"unknown option '{name}', {hint}")
    try:
        return build_options(args, make)
    except ConfigError as error:
        raise ConfigError([f"port '{prefix}...': {line}" for line in error.faults]) from None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint at the known name that is most like this one; `otherwise` if none is."""
    close = most_like(name, known)
    return f"did you mean '{close[0]}'?" if close else otherwise


def seed(text: str) -> int:
    """Read a whole number of at most 18 digits; raises ValueError if it is none."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError(f"'{text}' is not a whole number")
    return int(text)


def number(low: float, high: float, what: str = "number") -> Callable[[str], float]:
    """Return what reads a number of this range; it raises ValueError if it is none."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # not-a-number fails here, too
            raise ValueError(f"'{text}' is not a {what} from {low:g} to {high:g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number of this range; it raises ValueError if it is none."""

    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"'{text}' is not a whole number from {low} to {high}")

    return read


COMMON_OPTIONS = (
    Option("--seed", "which household, and every chance (default: 0)", "N", seed),
    Option("--transcript", "append everything that is said, with its time", "FILE", Path),
)
"""What every simulation can be told."""
