"""What differs between the simulated dongles, as data: a new dongle is a new row of `MODELS`."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class DongleModel:
    """A row of the table.

    Attributes:
        name: as in `--dongle`.
        version: the answer of `SKVER`.
        app_version: the answer of `SKAPPVER`.
        dual: dual stack (B route and HAN): lines and commands carry a side.
        product_commands: knows ROPT, WOPT, RUART and WUART.
        takes_sa2: has a register SA2 though it is single-stack, in which no LQI is told.
        binary: writes binary ERXUDP data until told otherwise.
        longest_scan: the greatest duration of SKSCAN.
        tcp_remnants: SKTABLE E and the energy scan print remnants of the TCP edition (BP35A1
            1.2.10).
    """

    name: str
    version: str
    app_version: str
    dual: bool
    product_commands: bool
    longest_scan: int
    tcp_remnants: bool = False
    binary: bool = False
    takes_sa2: bool = False


DEFAULT_MODEL = "RL7023-DSS"
LONGEST_SCAN = 14  # as the manual of 1.2.10 documents
_DUAL = DongleModel(
    DEFAULT_MODEL,
    version="1.5.2",
    app_version="rev15",
    dual=True,
    product_commands=False,
    longest_scan=10,  # a 1.5.2 build refused a longer one
)
_SINGLE = DongleModel(
    "RL7023-IPS",
    version="1.2.10",
    app_version="rev26e",
    dual=False,
    product_commands=False,
    longest_scan=LONGEST_SCAN,
)

MODELS: dict[str, DongleModel] = {
    model.name: model
    for model in (
        _DUAL,
        _SINGLE,
        replace(_SINGLE, name="BP35A1", product_commands=True, tcp_remnants=True, binary=True),
        replace(_DUAL, name="BP35C2", product_commands=True, binary=True),
    )
}
