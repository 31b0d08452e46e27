"""Options of the simulated board with sensors, on a command line and in a port alike."""

import re
from dataclasses import dataclass
from pathlib import Path

from kei.settings.serial import SIMULATED_SENSORS
from kei.simulator.option_parser import COMMON_OPTIONS, Option, number, parse_port

DEFAULT_BOARD = "A1"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INTERVAL_S = (0.001, 3600.0)  # a thousand lines a second are more than any UART takes


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """The options of one simulated board; repeats, noise, outliers and wrong in percent."""

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
    raise ValueError(f"'{text}' is no UnitID; use ASCII letters, digits, - and _")


def _percent(text: str) -> float:
    return number(0, 100)(text.removesuffix("%"))


OPTIONS = (
    Option("--board", f"UnitID of its lines (default: {DEFAULT_BOARD})", "UNIT", _board),
    Option(
        "--interval",
        "from one line of a sensor to its next (default: 5)",
        "SECONDS",
        number(*_INTERVAL_S),
        field="interval_s",
    ),
    Option("--repeats", "of lines that are heard again", "PERCENT", _percent),
    Option("--noise", "of lines with foreign bytes in them", "PERCENT", _percent),
    Option("--outliers", "of values that are far off", "PERCENT", _percent),
    Option("--wrong", "of lines that are no lines of this kind", "PERCENT", _percent),
    Option("--lf", "lines end with LF alone instead of CR LF"),
    Option("--no-id", "lines have no DataID"),
)
"""What the simulated board can be told, besides `COMMON_OPTIONS`."""


def parse_sensor_port(text: str) -> BoardOptions:
    """Read a port such as `sim-sensor:seed=7,noise=2,no-id`.

    Raises:
        ConfigError: every mistake in it, one line each.
    """
    return parse_port(SIMULATED_SENSORS, text, (*COMMON_OPTIONS, *OPTIONS), BoardOptions)
