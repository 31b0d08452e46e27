"""What a simulated board with sensors can be told, on the command line and in a port alike."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kei.core.errors import ConfigError
from kei.simulator.option_table import OptionTable
from kei.simulator.options import number, seed

PREFIX = "sim-sensor:"
DEFAULT_BOARD = "A1"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INTERVAL_S = (0.001, 3600.0)  # a thousand lines a second are more than any UART takes


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """A simulated board.

    Attributes:
        board: UnitID of its lines.
        seed: of its values and everything random.
        interval_s: seconds from one line of a sensor to its next.
        repeats: percentage of lines that are heard again, as radio networks do it.
        noise: percentage of lines with foreign bytes in them.
        outliers: percentage of values that are far off.
        wrong: percentage of lines that are no lines of this kind.
        lf: whether a line ends with LF alone instead of CR LF.
        no_id: whether lines are sent without a DataID.
        transcript: file for everything that is sent.
    """

    board: str = DEFAULT_BOARD
    seed: int = 0
    interval_s: float = 5.0
    repeats: float = 0.0
    noise: float = 0.0
    outliers: float = 0.0
    wrong: float = 0.0
    lf: bool = False
    no_id: bool = False
    transcript: Path | None = None


def _board(text: str) -> str:
    if _ID.fullmatch(text):
        return text
    raise ConfigError([f"board: '{text}' is no UnitID; use ASCII letters, digits, - and _"])


def _percent(name: str) -> Callable[[BoardOptions, str], BoardOptions]:
    def put(options: BoardOptions, text: str) -> BoardOptions:
        value = number(name, text.removesuffix("%"), 0, 100)
        return replace(options, **{name: value})  # type: ignore[arg-type]  # names of floats only

    return put


_SETTINGS: dict[str, Callable[[BoardOptions, str], BoardOptions]] = {
    "board": lambda options, text: replace(options, board=_board(text)),
    "seed": lambda options, text: replace(options, seed=seed(text)),
    "interval": lambda options, text: replace(
        options, interval_s=number("interval", text, *_INTERVAL_S)
    ),
    "repeats": _percent("repeats"),
    "noise": _percent("noise"),
    "outliers": _percent("outliers"),
    "wrong": _percent("wrong"),
    "transcript": lambda options, text: replace(options, transcript=Path(text)),
}

_FLAGS: dict[str, Callable[[BoardOptions], BoardOptions]] = {
    "lf": lambda options: replace(options, lf=True),
    "no-id": lambda options: replace(options, no_id=True),
}

TABLE = OptionTable(_SETTINGS, _FLAGS)


def parse_sensor_port(text: str) -> BoardOptions:
    """Read a port such as `sim-sensor:seed=7,noise=2,no-id`.

    Raises:
        ConfigError: every mistake in it, one line each.
    """
    return TABLE.parse_port(PREFIX, text, BoardOptions())
