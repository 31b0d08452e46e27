"""The dongle and the meter: `[broute]` and `[[broute.requests]]` of jobs.toml."""

from dataclasses import dataclass
from enum import StrEnum

from kei.core.secret import Secret


class Dongle(StrEnum):
    """Kinds of dongle, as `broute.dongle` spells them."""

    AUTO = "auto"
    RL7023_DSS = "RL7023-DSS"
    RL7023_IPS = "RL7023-IPS"
    BP35A1 = "BP35A1"
    BP35C2 = "BP35C2"


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Properties of the meter that are asked for together.

    Attributes:
        epcs: property codes, at least one, each once.
        cycle_s: seconds from one request to the next, 0.1 to 86,400.
    """

    epcs: tuple[int, ...]
    cycle_s: float


@dataclass(frozen=True, slots=True)
class Broute:
    """The dongle and the meter behind it.

    Attributes:
        port: absolute path of the device, or `sim:` with the simulator's options behind it.
        baudrate: bits a second.
        dongle: its kind, or AUTO to find out.
        broute_id: 32 hex digits, upper case.
        broute_pwd: 12 characters of 0-9 A-Z.
        unit: UnitID in the files.
        requests: at least one group.
    """

    port: str
    baudrate: int
    dongle: Dongle
    broute_id: Secret
    broute_pwd: Secret
    unit: str
    requests: tuple[RequestGroup, ...]
