"""What a probe has found out, and how it is printed: as text for people, as JSON for programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from kei.commands.probe.items import Item, item, scale_of
from kei.commands.probe.questions import Got, Missing
from kei.core.errors import Malformed
from kei.core.reading import plain
from kei.echonet.frame import property_map
from kei.echonet.meter_class import Absent, Value
from kei.echonet.superclass import (
    EPC_ANNOUNCED,
    EPC_MAKER,
    EPC_READABLE,
    EPC_SERIAL_NUMBER,
    EPC_SETTABLE,
    EPC_VERSION,
    MAKERS,
    describe,
)
from kei.wisun.interfaces import Dongle, Network
from kei.wisun.skstack import rssi_dbm

Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json] | None"

_MAPS = {EPC_ANNOUNCED: "announce", EPC_SETTABLE: "set", EPC_READABLE: "get"}
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """Dongle, network and meter.

    Attributes:
        dongle: what is on the port.
        network: where the meter was found.
        lqi: of the last frame from the meter; of its beacon where the dongle does not tell.
        items: every property that was asked for, by EPC in ascending order.
    """

    dongle: Dongle
    network: Network
    lqi: int
    items: tuple[Item, ...]

    @staticmethod
    def of(dongle: Dongle, network: Network, lqi: int | None, got: Mapping[int, Got]) -> "Found":
        """Decode what the meter said.

        Args:
            dongle: what is on the port.
            network: where the meter was found.
            lqi: of the last frame, 0..255; None where the dongle does not tell.
            got: what became of each property.
        """
        scale = scale_of(got)
        items = tuple(item(epc, got[epc], scale) for epc in sorted(got))
        return Found(dongle, network, network.lqi if lqi is None else lqi, items)

    def to_json(self) -> str:
        """Return one JSON object in one line, ended with LF."""
        maker = self._data(EPC_MAKER)
        everything: dict[str, Json] = {
            "dongle": {
                "model": self.dongle.dialect.name,
                "firmware": self.dongle.firmware,
                "product": self.dongle.product or None,
            },
            "network": {
                "channel": self.network.channel,
                "pan_id": f"{self.network.pan_id:04X}",
                "meter": self.network.mac,
            },
            "signal": {"lqi": self.lqi, "rssi_dbm": rssi_dbm(self.lqi)},
            "meter": {
                "maker": maker.hex().upper() if maker else None,
                "maker_name": MAKERS.get(int.from_bytes(maker, "big")) if maker else None,
                "serial_number": self._described(EPC_SERIAL_NUMBER),
                "standard_version": self._described(EPC_VERSION),
            },
            "property_maps": {name: self._map(epc) for epc, name in _MAPS.items()},
            "properties": {f"{found.epc:02X}": _json(found) for found in self.items},
        }
        return json.dumps(everything, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        """Return a page for people, every line ended with LF."""
        return "".join(f"{line.rstrip()}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        product = f" ({self.dongle.product})" if self.dongle.product else ""
        head = {
            "dongle": f"{self.dongle.dialect.name}, firmware {self.dongle.firmware}{product}",
            "channel": str(self.network.channel),
            "PAN ID": f"{self.network.pan_id:04X}",
            "signal": f"LQI {self.lqi}, {rssi_dbm(self.lqi)} dBm",
            "meter": self.network.mac,
            "maker": self._described(EPC_MAKER) or _UNKNOWN,
            "serial no.": self._described(EPC_SERIAL_NUMBER) or _UNKNOWN,
            "standard": self._described(EPC_VERSION) or _UNKNOWN,
            "announces": self._described(EPC_ANNOUNCED) or _UNKNOWN,
            "settable": self._described(EPC_SETTABLE) or _UNKNOWN,
            "readable": self._described(EPC_READABLE) or _UNKNOWN,
        }
        for name, text in head.items():
            yield f"{name:10}  {text}"
        yield ""
        shown = [found for found in self.items if found.epc not in _MAPS]
        width = max((len(found.name) for found in shown), default=0)
        for found in shown:
            yield f"{found.epc:02X}  {found.name:{width}}  {found.text}"

    def _data(self, epc: int) -> bytes | None:
        for found in self.items:
            if found.epc == epc and not isinstance(found.edt, Missing):
                return found.edt
        return None

    def _described(self, epc: int) -> str | None:
        edt = self._data(epc)
        return None if edt is None else describe(epc, edt)

    def _map(self, epc: int) -> Json:
        edt = self._data(epc)
        try:
            return None if edt is None else [f"{code:02X}" for code in sorted(property_map(edt))]
        except Malformed:
            return None


def _json(found: Item) -> Json:
    given = not isinstance(found.edt, Missing)
    shown: dict[str, Json] = {
        "name": found.name or None,
        "text": found.text if given else None,
        "raw": None if isinstance(found.edt, Missing) else found.edt.hex().upper(),
    }
    if isinstance(found.edt, Missing):
        shown["missing"] = found.edt.value
    if found.values:
        shown["values"] = [_json_value(value, found.unit) for value in found.values]
    return shown


def _json_value(value: Value, unit: str) -> Json:
    shown: dict[str, Json] = {"sensor": value.sensor, "unit": unit or None}
    if isinstance(value.value, Absent):
        shown |= {"value": None, "absent": value.value.value}
    else:
        shown["value"] = _json_number(value.value)
    if value.at is not None:
        shown["at"] = value.at.isoformat()
    return shown


def _json_number(value: Decimal) -> int | float:
    # A double has 15 digits; the largest register has 8, and most coefficients are 1.
    text = plain(value)
    return float(text) if "." in text else int(text)
