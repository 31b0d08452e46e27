"""What differs between the simulated dongles, as data: a new dongle is a new row of `MODELS`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DongleModel:
    """A row of the table.

    Attributes:
        name: as in `--dongle`.
        version: the answer of `SKVER`.
        app_version: the answer of `SKAPPVER`.
        dual: dual stack (B route and HAN): lines and commands carry a side.
        product_commands: knows ROPT, WOPT, RUART and WUART, and writes binary ERXUDP data until
            told otherwise; the others always write hexadecimal.
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


# A 1.5.2 build refused a duration above 10; the manual of 1.2.10 documents 14.
_LONGEST_SCAN_DUAL, _LONGEST_SCAN_SINGLE = 10, 14

DEFAULT_MODEL = "RL7023-DSS"

MODELS: dict[str, DongleModel] = {
    model.name: model
    for model in (
        DongleModel(
            DEFAULT_MODEL,
            version="1.5.2",
            app_version="rev15",
            dual=True,
            product_commands=False,
            longest_scan=_LONGEST_SCAN_DUAL,
        ),
        DongleModel(
            "RL7023-IPS",
            version="1.2.10",
            app_version="rev26e",
            dual=False,
            product_commands=False,
            longest_scan=_LONGEST_SCAN_SINGLE,
        ),
        DongleModel(
            "BP35A1",
            version="1.2.10",
            app_version="rev26e",
            dual=False,
            product_commands=True,
            longest_scan=_LONGEST_SCAN_SINGLE,
            tcp_remnants=True,
        ),
        DongleModel(
            "BP35C2",
            version="1.5.2",
            app_version="rev15",
            dual=True,
            product_commands=True,
            longest_scan=_LONGEST_SCAN_DUAL,
        ),
    )
}
