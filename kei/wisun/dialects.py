"""What differs between dongles that speak SKSTACK-IP, as data: one row a dongle."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """The variant of SKSTACK-IP that one kind of dongle has.

    Attributes:
        name: as in `broute.dongle`.
        side: dual-stack firmware: SKSCAN and SKSENDTO take a side argument (0 = B route).
        lqi_register: SA2 = 1 adds the LQI of each frame to ERXUDP.
        payload_mode: has ROPT; received payloads may come as raw bytes.
    """

    name: str
    side: bool
    lqi_register: bool
    payload_mode: bool


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("RL7023-DSS", side=True, lqi_register=True, payload_mode=False),
        Dialect("RL7023-IPS", side=False, lqi_register=False, payload_mode=False),
        Dialect("BP35A1", side=False, lqi_register=False, payload_mode=True),
        Dialect("BP35C2", side=True, lqi_register=True, payload_mode=True),
    )
}


def recognise(*, dual: bool, payload_mode: bool) -> Dialect:
    """Return the dialect of a dongle with these features.

    Args:
        dual: EINFO ends with a side digit instead of `FFFE`.
        payload_mode: ROPT was answered with OK.
    """
    for dialect in DIALECTS.values():
        if (dialect.side, dialect.payload_mode) == (dual, payload_mode):
            return dialect
    raise AssertionError("the table has a row for each combination")
