"""Options of the simulated dongle, its meter and its household.

A new option is a row of `OPTIONS` and the field of `SimulatorOptions` that holds its value;
`kei simulate` and the ports of jobs.toml then know it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kei.core.errors import ConfigError
from kei.echonet.meter_class import COEFFICIENT_MAX, ENERGY_UNITS, EPC_COEFFICIENT
from kei.echonet.superclass import EPC_ANNOUNCED, EPC_READABLE, EPC_SETTABLE
from kei.settings.broute import EXAMPLE_ID, EXAMPLE_PWD, SIMULATED_PORT
from kei.simulator.air.timing import Timing
from kei.simulator.faults import (
    J11_ONLY,
    FaultKind,
    FaultSpec,
    check_happens_to_skstack,
    parse_fault,
)
from kei.simulator.household.profile import SECONDS_PER_DAY
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import DAYS_KEPT
from kei.simulator.option_parser import (
    COMMON_OPTIONS,
    Option,
    did_you_mean,
    number,
    parse_port,
    whole,
)
from kei.simulator.skstack.models import DEFAULT_MODEL, LONGEST_SCAN, MODELS

DEFAULT_BROUTE_ID, DEFAULT_BROUTE_PWD = EXAMPLE_ID, EXAMPLE_PWD
J11 = "J11"  # the one that does not speak SKSTACK-IP
DONGLES = (*MODELS, J11)
BINARY = "binary"
PAYLOADS = (BINARY, "ascii")  # of ERXUDP; WOPT 00 and 01
_ID_CHARS, _PWD_CHARS = 32, 12
_HEX_DIGITS = frozenset("0123456789ABCDEF")
_SERIAL_NUMBERS = 10**9  # that differ
_MAX_SKEW_S = 366 * SECONDS_PER_DAY
ONLY_WITH = {
    "longest_scan": tuple(MODELS),
    "payload": tuple(name for name, model in MODELS.items() if model.product_commands),
    "takes_sa2": tuple(name for name, model in MODELS.items() if not model.dual),
    "strict_sums": (J11,),
}
"""The dongles with which an option means anything, by its field; one that is missing: with all."""
_PROPERTY_MAPS = frozenset({EPC_ANNOUNCED, EPC_SETTABLE, EPC_READABLE})  # of every device


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """The options of one simulation; None is as real dongles and meters are.

    Times are in seconds but for `installed_days`; `unit` is the code of EPC E1.

    Raises:
        ConfigError: options that do not go together.
    """

    dongle: str = DEFAULT_MODEL
    broute_id: str = field(default=DEFAULT_BROUTE_ID, repr=False)
    broute_pwd: str = field(default=DEFAULT_BROUTE_PWD, repr=False)
    seed: int = 0
    latency: float | None = None
    scan_time: float | None = None
    join_time: float | None = None
    longest_scan: int | None = None
    payload: str | None = None
    heard_from: int = 0
    solar: bool = False
    transcript: Path | None = None
    speed: float = 1.0
    household: Path | None = None
    next_gen: bool = False
    two_wire: bool = False
    confirmed: bool = False
    unit: int | None = None
    coefficient: int | None = None
    digits: int | None = None
    lacks: frozenset[int] = frozenset()
    installed_days: float | None = None
    clock_skew: float = 0.0
    remembers: int = DAYS_KEPT
    foreign_sets: int = 0
    strict_sums: bool = False
    takes_sa2: bool = False
    faults: tuple[FaultSpec, ...] = ()

    def __post_init__(self) -> None:
        if EPC_COEFFICIENT in self.lacks and self.coefficient not in {None, 1}:
            hint = "leave out one of the two"
            raise ConfigError([f"lacks: D3 does not go with a coefficient other than 1; {hint}"])
        if wrong := list(self._meaningless()):
            raise ConfigError(wrong)

    def _meaningless(self) -> Iterator[str]:
        """Yield a line for each option that means nothing with this dongle."""
        for name, dongles in ONLY_WITH.items():
            is_given = getattr(self, name) not in {None, False}
            if is_given and self.dongle not in dongles:
                only = f"only with {', '.join(dongles)}"
                option = name.replace("_", "-")
                yield f"{option}: means nothing with {self.dongle}, {only}; leave it out"
        if self.dongle != J11:
            for kind in sorted({spec.kind for spec in self.faults}):
                try:
                    check_happens_to_skstack(kind)
                except ConfigError as error:
                    yield from error.faults

    def meter_type(self, start_s: float) -> MeterType:
        """Return the type of the meter for a start at this local second."""
        days = self.installed_days
        return MeterType(
            serial_number=f"KEI{(self.seed + 1) % _SERIAL_NUMBERS:09}",
            next_gen=self.next_gen,
            two_wire=self.two_wire,
            confirmed=self.confirmed,
            unit=self.unit,
            coefficient=self.coefficient,
            digits=self.digits,
            lacks=self.lacks,
            installed_s=None if days is None else int(start_s - days * SECONDS_PER_DAY),
            remembers=self.remembers,
            foreign_sets=self.foreign_sets,
        )

    def timing(self) -> Timing:
        """Return the delays that these options mean."""
        return Timing.of(self.latency, self.scan_time, self.join_time, self.speed)


def _dongle(text: str) -> str:
    if text in DONGLES:
        return text
    hint = did_you_mean(text.upper(), DONGLES, f"it is one of {', '.join(DONGLES)}")
    raise ConfigError([f"unknown dongle '{text}', {hint}"])


def _payload(text: str) -> str:
    if text not in PAYLOADS:
        raise ValueError(f"'{text}' is none of {', '.join(PAYLOADS)}")
    return text


def _id(text: str) -> str:
    upper = text.upper()
    if len(upper) != _ID_CHARS or not _HEX_DIGITS.issuperset(upper):
        raise ValueError(f"{_ID_CHARS} hexadecimal digits are needed")  # a secret: not repeated
    return upper


def _pwd(text: str) -> str:
    upper = text.upper()
    if len(upper) != _PWD_CHARS or not (upper.isascii() and upper.isalnum()):
        raise ValueError(f"{_PWD_CHARS} letters and digits are needed")  # a secret: not repeated
    return upper


def _unit(text: str) -> int:
    """Read a size in kWh; return the code of EPC E1."""
    for code, size in ENERGY_UNITS.items():
        if text in {str(size), f"{size:f}"}:
            return code
    known = ", ".join(str(size) for size in sorted(ENERGY_UNITS.values()))
    raise ValueError(f"'{text}' is none of {known} (kWh)")


def _lacks(text: str) -> frozenset[int]:
    """Read property codes, joined by `+`."""
    codes = re.split(r"[+,]", text.upper())
    if wrong := [code for code in codes if not re.fullmatch(r"[89A-F][0-9A-F]", code)]:
        raise ValueError(f"'{wrong[0]}' is no property code; write D3+E3+E4")
    found = frozenset(int(code, 16) for code in codes)
    if maps := found & _PROPERTY_MAPS:
        hint = "which tells what else it has; leave it out"
        raise ValueError(f"every meter has {min(maps):02X}, {hint}")
    return found


_FAULTS = (
    "make something go wrong, any number of times: KIND@N or KIND@N-M (the Nth datagram; scan or "
    "join for the kinds named so), KIND@tSECONDS, KIND:COUNT, KIND%%PERCENT; kinds: "
    f"{' '.join(kind for kind in FaultKind if kind not in J11_ONLY)}; of a J11 only: "
    f"{' '.join(kind for kind in FaultKind if kind in J11_ONLY)}"
)
_SKEW = number(-_MAX_SKEW_S, _MAX_SKEW_S)
_SECONDS = number(0, 3600, "number of seconds")
_FACTOR = number(0.001, 100_000, "factor")

OPTIONS = (
    Option("--dongle", f"{', '.join(DONGLES)} (default: {DEFAULT_MODEL})", "MODEL", _dongle),
    Option("--broute-id", "the meter's Route-B ID (default: a dummy)", "ID", _id),
    Option("--broute-pwd", "the meter's password (default: a dummy)", "PWD", _pwd),
    Option(
        "--latency",
        "from request to answer, commands in proportion (default: realistic)",
        "SECONDS",
        _SECONDS,
    ),
    Option(
        "--scan-time", "of every scan (default: by the duration asked for)", "SECONDS", _SECONDS
    ),
    Option("--join-time", "of a join that succeeds (default: realistic)", "SECONDS", _SECONDS),
    Option(
        "--longest-scan",
        "that an SKSTACK-IP dongle takes, a longer one is ER06 (default: by its kind)",
        "DURATION",
        whole(1, LONGEST_SCAN),
    ),
    Option(
        "--payload",
        "in which BP35A1 and BP35C2 begin to write received data: binary or ascii (default: "
        "binary)",
        "MODE",
        _payload,
    ),
    Option(
        "--heard-from",
        "of a scan, the least that hears the meter (default: any)",
        "DURATION",
        whole(0, LONGEST_SCAN),
    ),
    Option(
        "--speed",
        "of the meter's clock, so that days pass in minutes (default: 1)",
        "FACTOR",
        _FACTOR,
    ),
    Option(
        "--household",
        "CSV of a recorded day (measured_at, instant_watt), played every day",
        "FILE",
        Path,
    ),
    Option("--unit", "of the meter's registers: 1, 0.1, 0.01 ... (default: 0.1)", "KWH", _unit),
    Option(
        "--coefficient",
        "that its registers are to be multiplied by (default: 1)",
        "N",
        whole(1, COEFFICIENT_MAX),
    ),
    Option(
        "--digits",
        "of its registers, which then begin at zero again (default: 6)",
        "N",
        whole(1, 8),
    ),
    Option(
        "--lacks", "properties that it does not have, such as D3+E3+E4+EB+EC+ED", "EPC+EPC", _lacks
    ),
    Option(
        "--installed",
        "ago that it was put up, its registers at zero (default: long ago)",
        "DAYS",
        number(0, 36_500),
        field="installed_days",
    ),
    Option(
        "--clock-skew",
        "that its clock is ahead; negative for behind (default: 0)",
        "SECONDS",
        _SKEW,
    ),
    Option(
        "--remembers",
        "before today that its history has (default: 99)",
        "DAYS",
        whole(0, DAYS_KEPT),
    ),
    Option(
        "--foreign-sets",
        "so many questions about its histories, then others set another day (default: never)",
        "N",
        whole(2, 1000),
    ),
    Option("--fault", _FAULTS, "SPEC", parse_fault, field="faults", repeatable=True),
    Option("--takes-sa2", "a single-stack dongle that takes register SA2, which momonga sets"),
    Option("--strict-sums", "a J11 that refuses frames whose sums are 0, as drivers may send them"),
    Option("--solar", "panels on the roof, so that power also flows back"),
    Option("--next-gen", "a meter of Release R, with one-minute values (unit 0.001, 8 digits)"),
    Option("--two-wire", "one phase of two wires: no current of the T phase"),
    Option("--confirmed", "half-hour values as INFC, said again until they are confirmed"),
)
"""What the simulated dongle can be told, besides `COMMON_OPTIONS`."""


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
    credentials = {"broute_id": true_id.upper(), "broute_pwd": true_pwd.upper()}
    return parse_port(
        SIMULATED_PORT,
        text,
        (*COMMON_OPTIONS, *OPTIONS),
        lambda **given: SimulatorOptions(**(credentials | given)),
    )
