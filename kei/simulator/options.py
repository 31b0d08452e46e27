"""What a simulation can be told, on the command line and in a `sim:` port alike."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from kei.core.errors import ConfigError
from kei.echonet.meter_class import COEFFICIENT_MAX, ENERGY_UNITS, EPC_COEFFICIENT
from kei.simulator.dongle.models import DEFAULT_MODEL, MODELS
from kei.simulator.dongle.timing import Timing
from kei.simulator.faults import FaultSpec, parse_fault
from kei.simulator.household.profile import SECONDS_PER_DAY
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.option_table import OptionTable

SIM_PREFIX = "sim:"
DEFAULT_BROUTE_ID = "00112233445566778899AABBCCDDEEFF"
DEFAULT_BROUTE_PWD = "0123456789AB"  # noqa: S105 - a dummy
_ID_CHARS, _PWD_CHARS = 32, 12
_HEX_DIGITS = frozenset("0123456789ABCDEF")
_MAX_SECONDS = 3600.0
_MIN_SPEED, _MAX_SPEED = 0.001, 100_000
_PROPERTY_MAPS = frozenset({0x9D, 0x9E, 0x9F})  # of the super class, required of every device
_MAX_SKEW_S = 366 * 86_400


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
        meter: what kind of meter it is, but for what follows.
        unit: of its registers, the code of EPC E1; None is usual for its kind.
        coefficient: EPC D3; None as above.
        digits: EPC D7; None as above.
        installed_days: how long before the start the meter was put up; None is long ago.
        clock_skew: how far the meter's clock is ahead, seconds.
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
    meter: MeterType = field(default_factory=MeterType)
    unit: int | None = None
    coefficient: int | None = None
    digits: int | None = None
    installed_days: float | None = None
    clock_skew: float = 0.0
    faults: tuple[FaultSpec, ...] = ()

    def meter_type(self, start_s: float) -> MeterType:
        """Return the meter for a start at this local second."""
        kind = self.meter.counting_as(
            unit=self.unit, coefficient=self.coefficient, digits=self.digits
        )
        if self.installed_days is None:
            return kind
        return replace(kind, installed_s=int(start_s - self.installed_days * SECONDS_PER_DAY))

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


def number(name: str, text: str, low: float, high: float) -> float:
    """Read an option that is a number in a range.

    Raises:
        ConfigError: no number, or out of range.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ConfigError([f"{name}: '{text}' is not a number from {low:g} to {high:g}"])
    return value


def whole(name: str, text: str, low: int, high: int) -> int:
    """Read an option that is a whole number in a range.

    Raises:
        ConfigError: none, or out of range.
    """
    if text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high:
        return int(text)
    raise ConfigError([f"{name}: '{text}' is not a whole number from {low} to {high}"])


def unit(text: str) -> int:
    """Read `--unit`, kWh, as the code of EPC E1.

    Raises:
        ConfigError: not a unit that a meter can have.
    """
    for code, size in ENERGY_UNITS.items():
        if text in {str(size), f"{size:f}"}:
            return code
    known = ", ".join(str(size) for size in sorted(ENERGY_UNITS.values()))
    raise ConfigError([f"unit: '{text}' is none of {known} (kWh)"])


def lacks(text: str) -> frozenset[int]:
    """Read `--lacks`: property codes, joined by `+`.

    Raises:
        ConfigError: one of them is no property code, or one that every meter has.
    """
    codes = re.split(r"[+,]", text.upper())
    if wrong := [code for code in codes if not re.fullmatch(r"[89A-F][0-9A-F]", code)]:
        raise ConfigError([f"lacks: '{wrong[0]}' is no property code; write D3+E3+E4"])
    found = frozenset(int(code, 16) for code in codes)
    if maps := found & _PROPERTY_MAPS:
        hint = "which tells what else it has; leave it out"
        raise ConfigError([f"lacks: every meter has {min(maps):02X}, {hint}"])
    return found


def _check(options: SimulatorOptions) -> None:
    if EPC_COEFFICIENT in options.meter.lacks and options.coefficient not in {None, 1}:
        hint = "leave out one of the two"
        raise ConfigError([f"lacks: D3 does not go with a coefficient other than 1; {hint}"])


def _meter(options: SimulatorOptions, change: Callable[[MeterType], MeterType]) -> SimulatorOptions:
    return replace(options, meter=change(options.meter))


Setting = Callable[[SimulatorOptions, str], SimulatorOptions]
"""Puts the text of one option into the options; raises `ConfigError`."""

_SETTINGS: dict[str, Setting] = {
    "dongle": lambda options, text: replace(options, dongle=dongle_name(text)),
    "broute-id": lambda options, text: replace(options, broute_id=broute_id(text)),
    "broute-pwd": lambda options, text: replace(options, broute_pwd=broute_pwd(text)),
    "seed": lambda options, text: replace(options, seed=seed(text)),
    "latency": lambda options, text: replace(options, latency=seconds("latency", text)),
    "scan-time": lambda options, text: replace(options, scan_time=seconds("scan-time", text)),
    "join-time": lambda options, text: replace(options, join_time=seconds("join-time", text)),
    "speed": lambda options, text: replace(options, speed=speed(text)),
    "household": lambda options, text: replace(options, household=Path(text)),
    "unit": lambda options, text: replace(options, unit=unit(text)),
    "coefficient": lambda options, text: replace(
        options, coefficient=whole("coefficient", text, 1, COEFFICIENT_MAX)
    ),
    "digits": lambda options, text: replace(options, digits=whole("digits", text, 1, 8)),
    "lacks": lambda options, text: _meter(options, lambda kind: replace(kind, lacks=lacks(text))),
    "installed": lambda options, text: replace(
        options, installed_days=number("installed", text, 0, 36_500)
    ),
    "clock-skew": lambda options, text: replace(
        options, clock_skew=number("clock-skew", text, -_MAX_SKEW_S, _MAX_SKEW_S)
    ),
    "transcript": lambda options, text: replace(options, transcript=Path(text)),
    "fault": lambda options, text: replace(options, faults=(*options.faults, parse_fault(text))),
}

_FLAGS: dict[str, Callable[[SimulatorOptions], SimulatorOptions]] = {
    "solar": lambda options: replace(options, solar=True),
    "next-gen": lambda options: _meter(options, lambda kind: replace(kind, next_gen=True)),
    "two-wire": lambda options: _meter(options, lambda kind: replace(kind, two_wire=True)),
    "confirmed": lambda options: _meter(options, lambda kind: replace(kind, confirmed=True)),
}

TABLE = OptionTable(_SETTINGS, _FLAGS, repeatable=frozenset({"fault"}), check=_check)


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
    start = SimulatorOptions(broute_id=true_id.upper(), broute_pwd=true_pwd.upper())
    return TABLE.parse_port(SIM_PREFIX, text, start)
