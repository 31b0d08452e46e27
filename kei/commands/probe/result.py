"""The result of a probe, as text for people and as JSON for programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from kei.commands.probe.questions import Got, Missing
from kei.core.errors import Malformed
from kei.core.printable import printable, printable_json
from kei.core.reading import plain
from kei.echonet.frame import property_map
from kei.echonet.meter_class import (
    COEFFICIENT_WHERE_ABSENT,
    EPC_COEFFICIENT,
    EPC_ENERGY_UNIT,
    PROPERTIES,
    UNRECORDED,
    Absent,
    Scale,
    Value,
    decode,
    scale_number,
)
from kei.echonet.superclass import (
    EPC_ANNOUNCED,
    EPC_MAKER,
    EPC_READABLE,
    EPC_SERIAL_NUMBER,
    EPC_SETTABLE,
    EPC_VERSION,
    MAKERS,
    SUPER_PROPERTIES,
    describe,
)
from kei.wisun.interfaces import Dongle
from kei.wisun.network import Network
from kei.wisun.quality import rssi_dbm

Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json] | None"

_MAPS = {EPC_ANNOUNCED: "announce", EPC_SETTABLE: "set", EPC_READABLE: "get"}
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Item:
    """One property of the meter.

    Attributes:
        epc: the property code.
        name: what it is, in English; empty where kei does not know.
        edt: its data, or why there are none.
        text: what it says, for people; its data in hex where kei cannot decode them.
        values: the numbers in it, where kei records it.
        unit: of these numbers; None where they have none.
    """

    epc: int
    name: str
    edt: Got
    text: str
    values: tuple[Value, ...] = ()
    unit: str | None = None

    @staticmethod
    def of(epc: int, edt: Got, scale: Scale | None) -> "Item":
        """Decode what the meter said of one property; any bytes are safe.

        The scale is that of the meter's energy values; None where it is not known.
        """
        name = _name(epc)
        if isinstance(edt, Missing):
            return Item(epc, name, edt, edt.value)
        values: tuple[Value, ...] = ()
        unit = None
        try:
            if epc in SUPER_PROPERTIES:
                text = describe(epc, edt)
            elif epc in UNRECORDED:
                text = UNRECORDED[epc].describe(edt, scale)
            elif epc not in PROPERTIES:
                text = _hex(edt)
            elif PROPERTIES[epc].number.needs_scale and scale is None:
                text = f"{_hex(edt)} (its unit is not known)"
            else:
                values, unit = decode(epc, edt, scale), PROPERTIES[epc].number.unit
                text = _numbers(values, unit)
        except Malformed as error:
            text = f"{_hex(edt)} ({error})"
        return Item(epc, name, edt, text, values, unit)

    def to_json(self) -> Json:
        """Return the property as the JSON object of its EPC."""
        given = None if isinstance(self.edt, Missing) else self.edt
        shown: dict[str, Json] = {
            "name": self.name or None,
            "text": None if given is None else self.text,
            "raw": None if given is None else _hex(given),
        }
        if isinstance(self.edt, Missing):
            shown["missing"] = self.edt.value
        if self.values:
            shown["values"] = [_json_value(value, self.unit) for value in self.values]
        return shown


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Dongle, network and meter.

    Attributes:
        dongle: what is on the port.
        network: where the meter was found.
        lqi: of the last frame from the meter; of its beacon where the dongle does not tell.
        items: every property that was asked for, by EPC in ascending order.
    """

    dongle: Dongle
    network: Network
    lqi: float
    items: Mapping[int, Item]

    @staticmethod
    def of(
        dongle: Dongle,
        network: Network,
        lqi: float | None,
        got: Mapping[int, Got],
        energy_unit: Decimal | None = None,
    ) -> "ProbeResult":
        """Decode what the meter said.

        Args:
            dongle: what is on the port.
            network: where the meter was found.
            lqi: None where the dongle does not tell it of a frame.
            got: what became of each property.
            energy_unit: kWh of one count of a meter without E1, where jobs.toml has it.
        """
        scale = scale_of(got, energy_unit)
        items = {epc: Item.of(epc, got[epc], scale) for epc in sorted(got)}
        return ProbeResult(dongle, network, network.lqi if lqi is None else lqi, items)

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
            "signal": {"lqi": round(self.lqi), "rssi_dbm": rssi_dbm(self.lqi)},
            "meter": {
                "maker": maker.hex().upper() if maker else None,
                "maker_name": MAKERS.get(int.from_bytes(maker, "big")) if maker else None,
                "serial_number": self._described(EPC_SERIAL_NUMBER),
                "standard_version": self._described(EPC_VERSION),
            },
            "property_maps": {name: self._map(epc) for epc, name in _MAPS.items()},
            "properties": {f"{epc:02X}": item.to_json() for epc, item in self.items.items()},
        }
        return printable_json(json.dumps(everything, ensure_ascii=False)) + "\n"

    def to_text(self) -> str:
        """Return a page for people, every line ended with LF."""
        return "".join(f"{printable(line.rstrip())}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        product = f" ({self.dongle.product})" if self.dongle.product else ""
        head = {
            "dongle": f"{self.dongle.dialect.name}, firmware {self.dongle.firmware}{product}",
            "channel": str(self.network.channel),
            "PAN ID": f"{self.network.pan_id:04X}",
            "signal": f"LQI {self.lqi:.0f}, {rssi_dbm(self.lqi)} dBm",
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
        shown = [item for epc, item in self.items.items() if epc not in _MAPS]
        width = max((len(item.name) for item in shown), default=0)
        for item in shown:
            yield f"{item.epc:02X}  {item.name:{width}}  {item.text}"

    def _data(self, epc: int) -> bytes | None:
        edt = self.items[epc].edt if epc in self.items else None
        return None if isinstance(edt, Missing) else edt

    def _described(self, epc: int) -> str | None:
        edt = self._data(epc)
        return None if edt is None else describe(epc, edt)

    def _map(self, epc: int) -> Json:
        edt = self._data(epc)
        try:
            return None if edt is None else [f"{code:02X}" for code in sorted(property_map(edt))]
        except Malformed:
            return None


def scale_of(got: Mapping[int, Got], energy_unit: Decimal | None = None) -> Scale | None:
    """Return what turns counts into kWh; None where the meter has not told.

    The unit is `energy_unit` of jobs.toml where the meter has none.
    """
    unit = _scale_number(got, EPC_ENERGY_UNIT)
    if got.get(EPC_ENERGY_UNIT, Missing.REFUSED) is Missing.REFUSED:
        unit = energy_unit
    coefficient = _scale_number(got, EPC_COEFFICIENT)
    if got.get(EPC_COEFFICIENT, Missing.REFUSED) is Missing.REFUSED:
        coefficient = Decimal(COEFFICIENT_WHERE_ABSENT)
    return None if unit is None or coefficient is None else Scale(int(coefficient), unit)


def _scale_number(got: Mapping[int, Got], epc: int) -> Decimal | None:
    edt = got.get(epc, Missing.REFUSED)
    return None if isinstance(edt, Missing) else scale_number(epc, edt)


def _name(epc: int) -> str:
    for table in (PROPERTIES, UNRECORDED, SUPER_PROPERTIES):
        if epc in table:
            return table[epc].name
    return ""


def _hex(edt: bytes) -> str:
    return edt.hex().upper()


def _numbers(values: tuple[Value, ...], unit: str | None) -> str:
    texts = []
    for value in values:
        if isinstance(value.value, Absent):
            text = value.value.value.replace("_", " ")
        else:
            text = f"{plain(value.value)} {unit or ''}".rstrip()
            text += f" at {value.at:%Y-%m-%d %H:%M:%S}" if value.at is not None else ""
        texts.append(f"{value.sensor} {text}" if len(values) > 1 else text)
    return ", ".join(texts)


def _json_value(value: Value, unit: str | None) -> Json:
    shown: dict[str, Json] = {"sensor": value.sensor, "unit": unit}
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
