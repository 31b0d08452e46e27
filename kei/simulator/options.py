"""What a simulation can be told, on the command line and in a `sim:` port alike."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from kei.errors import ConfigError
from kei.simulator.faults import FaultSpec, parse_fault
from kei.simulator.models import DEFAULT_MODEL, MODELS
from kei.simulator.timing import Timing

SIM_PREFIX = "sim:"
DEFAULT_BROUTE_ID = "00112233445566778899AABBCCDDEEFF"
DEFAULT_BROUTE_PWD = "0123456789AB"  # noqa: S105 - a dummy
_ID_CHARS, _PWD_CHARS = 32, 12
_HEX_DIGITS = frozenset("0123456789ABCDEF")
_MAX_SECONDS = 3600.0
_MIN_SPEED, _MAX_SPEED = 0.001, 100_000


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """A simulation.

    Attributes:
        dongle: a name of `MODELS`.
        broute_id: the meter's true Route-B ID, 32 characters.
        broute_pwd: the meter's true password, 12 characters.
        seed: of the household and everything random.
        latency: seconds from a request to its answer, commands in proportion; None is as real
            ones are, 0 is at once.
        scan_time: seconds of any scan; None is by the formula.
        join_time: seconds of a join that succeeds; None is as real ones are.
        solar: whether the household has panels and sells.
        transcript: file for everything said on the line.
        speed: how much faster than real time the meter's clock and household go.
        household: CSV file of a recorded day, instead of a made-up home.
        faults: what goes wrong.
    """

    dongle: str = DEFAULT_MODEL
    broute_id: str = field(default=DEFAULT_BROUTE_ID, repr=False)
    broute_pwd: str = field(default=DEFAULT_BROUTE_PWD, repr=False)
    seed: int = 0
    latency: float | None = None
    scan_time: float | None = None
    join_time: float | None = None
    solar: bool = False
    transcript: Path | None = None
    speed: float = 1.0
    household: Path | None = None
    faults: tuple[FaultSpec, ...] = ()

    def timing(self) -> Timing:
        """Return the delays that these options mean."""
        return Timing.of(self.latency, self.scan_time, self.join_time, self.speed)


def dongle_name(text: str) -> str:
    """Read `--dongle`.

    Raises:
        ConfigError: no such dongle.
    """
    if text in MODELS:
        return text
    close = get_close_matches(text.upper(), MODELS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"it is one of {', '.join(MODELS)}"
    raise ConfigError([f"unknown dongle '{text}', {hint}"])


def broute_id(text: str) -> str:
    """Read `--broute-id`.

    Raises:
        ConfigError: not 32 hexadecimal digits. The text is not repeated, it is a secret.
    """
    upper = text.upper()
    if len(upper) != _ID_CHARS or not _HEX_DIGITS.issuperset(upper):
        raise ConfigError([f"broute-id: {_ID_CHARS} hexadecimal digits are needed"])
    return upper


def broute_pwd(text: str) -> str:
    """Read `--broute-pwd`.

    Raises:
        ConfigError: not 12 letters and digits. The text is not repeated, it is a secret.
    """
    upper = text.upper()
    if len(upper) != _PWD_CHARS or not (upper.isascii() and upper.isalnum()):
        raise ConfigError([f"broute-pwd: {_PWD_CHARS} letters and digits are needed"])
    return upper


def seed(text: str) -> int:
    """Read `--seed`.

    Raises:
        ConfigError: not a whole number of at most 18 digits.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ConfigError([f"seed: '{text}' is not a whole number"])
    return int(text)


def seconds(name: str, text: str) -> float:
    """Read an option in seconds.

    Raises:
        ConfigError: not a number from 0 to 3600.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MAX_SECONDS:  # not-a-number fails here, too
        raise ConfigError([f"{name}: '{text}' is not a number of seconds from 0 to 3600"])
    return value


def speed(text: str) -> float:
    """Read `--speed`.

    Raises:
        ConfigError: not a number from 0.001 to 100000.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _MIN_SPEED <= value <= _MAX_SPEED:
        raise ConfigError([f"speed: '{text}' is not a factor from {_MIN_SPEED} to {_MAX_SPEED}"])
    return value


Setting = Callable[[SimulatorOptions, str], SimulatorOptions]
"""Puts the text of one option into the options; raises `ConfigError`."""

SETTINGS: dict[str, Setting] = {
    "dongle": lambda options, text: replace(options, dongle=dongle_name(text)),
    "broute-id": lambda options, text: replace(options, broute_id=broute_id(text)),
    "broute-pwd": lambda options, text: replace(options, broute_pwd=broute_pwd(text)),
    "seed": lambda options, text: replace(options, seed=seed(text)),
    "latency": lambda options, text: replace(options, latency=seconds("latency", text)),
    "scan-time": lambda options, text: replace(options, scan_time=seconds("scan-time", text)),
    "join-time": lambda options, text: replace(options, join_time=seconds("join-time", text)),
    "speed": lambda options, text: replace(options, speed=speed(text)),
    "household": lambda options, text: replace(options, household=Path(text)),
    "transcript": lambda options, text: replace(options, transcript=Path(text)),
    "fault": lambda options, text: replace(options, faults=(*options.faults, parse_fault(text))),
}
"""Every option with a value, by its name on the command line; `fault` may be given many times."""

FLAGS: dict[str, Callable[[SimulatorOptions], SimulatorOptions]] = {
    "solar": lambda options: replace(options, solar=True),
}
"""Every option without a value."""


def apply(options: SimulatorOptions, items: Iterable[tuple[str, str | None]]) -> SimulatorOptions:
    """Return the options with settings put in.

    Args:
        options: what to start from.
        items: names and texts; None where an option was given without a value.

    Raises:
        ConfigError: every mistake in them, one line each.
    """
    mistakes: list[str] = []
    seen: set[str] = set()
    for name, text in items:
        try:
            if name in seen and name != "fault":
                raise ConfigError([f"'{name}' is given twice"])
            options = _put(options, name, text)
        except ConfigError as error:
            mistakes += error.faults
        seen.add(name)
    if mistakes:
        raise ConfigError(mistakes)
    return options


def _put(options: SimulatorOptions, name: str, text: str | None) -> SimulatorOptions:
    if name in FLAGS:
        if text is not None:
            raise ConfigError([f"'{name}' takes no value"])
        return FLAGS[name](options)
    if name in SETTINGS:
        if text is None:
            raise ConfigError([f"'{name}' needs a value: {name}=..."])
        return SETTINGS[name](options, text)
    known = [*SETTINGS, *FLAGS]
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
    raise ConfigError([f"unknown option '{name}', {hint}"])


def parse_sim_port(
    text: str, true_id: str = DEFAULT_BROUTE_ID, true_pwd: str = DEFAULT_BROUTE_PWD
) -> SimulatorOptions:
    """Read a port such as `sim:solar,seed=7,dongle=BP35C2,fault=drop%5`.

    Args:
        text: the port, `sim:` and options separated by commas.
        true_id: the meter's Route-B ID unless the port gives another.
        true_pwd: the meter's password unless the port gives another.

    Raises:
        ConfigError: every mistake in it, one line each.
    """
    if not text.startswith(SIM_PREFIX):
        raise ConfigError([f"port '{text}' does not begin with '{SIM_PREFIX}'"])
    options = SimulatorOptions(broute_id=true_id.upper(), broute_pwd=true_pwd.upper())
    items = []
    for item in filter(None, map(str.strip, text.removeprefix(SIM_PREFIX).split(","))):
        name, equals, value = item.partition("=")
        items.append((name.strip(), value.strip() if equals else None))
    try:
        return apply(options, items)
    except ConfigError as error:
        raise ConfigError([f"port '{SIM_PREFIX}...': {line}" for line in error.faults]) from None
