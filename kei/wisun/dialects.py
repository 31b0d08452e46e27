"""What differs between dongles, as data: one row a dongle."""

from dataclasses import dataclass
from enum import Enum, auto


class Grammar(Enum):
    """What a dongle speaks."""

    SKSTACK = auto()
    J11 = auto()


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of dongle speaks, and which variant of SKSTACK-IP if it speaks that.

    Attributes:
        name: as in `broute.dongle`.
        grammar: what it speaks.
        side: dual-stack firmware: SKSCAN and SKSENDTO take a side argument (0 = B route).
        lqi_register: SA2 = 1 adds the LQI of each frame to ERXUDP.
        payload_mode: has ROPT; received payloads may come as raw bytes.
    """

    name: str
    grammar: Grammar = Grammar.SKSTACK
    side: bool = False
    lqi_register: bool = False
    payload_mode: bool = False


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("RL7023-DSS", side=True, lqi_register=True),
        Dialect("RL7023-IPS"),
        Dialect("BP35A1", payload_mode=True),
        Dialect("BP35C2", side=True, lqi_register=True, payload_mode=True),
        Dialect("J11", Grammar.J11),
    )
}


def recognise(*, dual: bool, payload_mode: bool) -> Dialect:
    """Return the dialect of a dongle that speaks SKSTACK-IP and has these features.

    Args:
        dual: EINFO ends with a side digit instead of `FFFE`.
        payload_mode: ROPT was answered with OK.
    """
    for dialect in DIALECTS.values():
        features = (dialect.grammar, dialect.side, dialect.payload_mode)
        if features == (Grammar.SKSTACK, dual, payload_mode):
            return dialect
    raise AssertionError("the table has a row for each combination")
