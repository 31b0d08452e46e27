"""What Home Assistant is told about devices: its device discovery (2024.11 and later).

Two devices: the meter, which is known by its MAC address, and this kei with the boards on its
serial ports, known by the name of the site. Entity ids come from the site's name, so that
automations and statistics go on when a meter is replaced.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kei import __version__
from kei.echonet.meter_class import EPC_ENERGY_UNIT, PROPERTIES, UNIT_OF_SENSOR
from kei.mqtt.messages import Message, Topics

SENSOR, BINARY_SENSOR = "sensor", "binary_sensor"
SIGNAL, PROBLEM = "signal", "problem"  # components that are no series
COST, PRICE = "cost", "price"  # and these, whose topics have the same names
EXPIRE_CYCLES, EXPIRE_MIN_S = 3, 60.0
HEALTH_EVERY_S = 60.0

# By unit of measure: device class, state class.
_CLASSES = {
    "W": ("power", "measurement"),
    "A": ("current", "measurement"),
    "kWh": ("energy", "total_increasing"),
}
# By SensorID: the name that people see, and that of the entity id.
_NAMES = {
    "E7": ("電力", "power"),
    "E8R": ("電流 R相", "current_r"),
    "E8T": ("電流 T相", "current_t"),
    "E0": ("買電量", "energy_bought"),
    "E3": ("売電量", "energy_sold"),
    "EA": ("買電量 (30分値)", "energy_bought_half_hour"),
    "EB": ("売電量 (30分値)", "energy_sold_half_hour"),
}
_VALUE = "{{ value_json.value }}"
_PROBLEM = "{{ 'ON' if value_json.problems else 'OFF' }}"
_PROBLEMS = "{{ {'problems': value_json.problems} | tojson }}"
_SIGNAL = "{{ value_json.rssi_dbm }}"

COSTS: Mapping[str, Mapping[str, str]] = {
    COST: {
        "name": "電気料金 (今回の請求)",
        "dev_cla": "monetary",
        "stat_cla": "total",
        "unit_of_meas": "JPY",
        "last_reset_value_template": "{{ value_json['from'] }}",
    },
    PRICE: {"name": "電力単価", "stat_cla": "measurement", "unit_of_meas": "JPY/kWh"},
}
"""What is told of the components that say what electricity costs."""

REGISTERS = frozenset(
    sensor
    for epc, row in PROPERTIES.items()
    if row.number.unit == "kWh" and epc != EPC_ENERGY_UNIT
    for sensor in row.sensors
)
"""SensorIDs of energy registers, which are true until the next value comes."""

SHOWN = frozenset(
    sensor
    for epc, row in PROPERTIES.items()
    if row.number.unit in _CLASSES and epc != EPC_ENERGY_UNIT
    for sensor in row.sensors
)
"""SensorIDs of the meter that become entities: the others are constants of it."""

Components = Mapping[str, Mapping[str, object]]
"""What Home Assistant is told about each entity of a device, by a name that stays the same."""


@dataclass(frozen=True, slots=True)
class Device:
    """What Home Assistant knows as one device.

    Attributes:
        id: ASCII letters, digits, - and _.
        about: its name and the like.
        availability: topics that all have to say `online`.
        components: its entities.
    """

    id: str
    about: Mapping[str, object]
    availability: tuple[str, ...]
    components: Components

    def topic(self, prefix: str) -> str:
        """Return where its configuration is published."""
        return f"{prefix}/device/{self.id}/config"

    def messages(self, prefix: str, gone: Mapping[str, str]) -> Iterable[Message]:
        """Yield its configuration; before that, one that deletes what there is no more.

        Args:
            prefix: `discovery` of `[mqtt]`.
            gone: platforms of components that were told before, by their names.
        """
        if gone:
            without = {name: {"p": platform} for name, platform in gone.items()}
            yield self._message(prefix, {**self.components, **without}, f"without {sorted(gone)}")
        yield self._message(prefix, self.components)

    def _message(self, prefix: str, components: Components, step: str = "") -> Message:
        document = {
            "dev": {"ids": [self.id], **self.about},
            "o": {"name": "kei", "sw": __version__},
            "avty": [{"t": topic} for topic in self.availability],
            "avty_mode": "all",
            "cmps": components,
        }
        payload = json.dumps(document, ensure_ascii=False).encode()
        return Message(self.topic(prefix), payload, qos=1, retain=True, step=step)


def expire_s(cycle_s: float) -> int:
    """Return after how long Home Assistant is to know a value of this cycle no more, seconds."""
    return round(max(EXPIRE_MIN_S, EXPIRE_CYCLES * cycle_s))


def meter_device(topics: Topics, address: str, unit: str, cycles_s: Mapping[str, float]) -> Device:
    """Return the device of a meter.

    Args:
        topics: of this kei.
        address: the meter's MAC address.
        unit: its UnitID.
        cycles_s: how often there is a new value, of each series that is an entity.
    """
    own = f"kei_{re.sub(r'[^a-z0-9]', '_', address.lower())}"
    components: dict[str, Mapping[str, object]] = {}
    for sensor, cycle_s in cycles_s.items():
        of = UNIT_OF_SENSOR[sensor] or ""
        name, entity = _NAMES.get(sensor, (sensor, sensor.lower()))
        device_class, state_class = _CLASSES[of]
        components[sensor] = {
            "p": SENSOR,
            "unique_id": f"{own}_{sensor}",
            "name": name,
            "dev_cla": device_class,
            "stat_cla": state_class,
            "unit_of_meas": of,
            "stat_t": topics.series(unit, sensor),
            "val_tpl": _VALUE,
            "qos": int(sensor in REGISTERS),
            **_entity_ids(SENSOR, topics.site, entity),
            **({} if sensor in REGISTERS else {"exp_aft": expire_s(cycle_s)}),
        }
    components[SIGNAL] = {
        "p": SENSOR,
        "unique_id": f"{own}_{SIGNAL}",
        "name": "電波強度",
        "dev_cla": "signal_strength",
        "stat_cla": "measurement",
        "unit_of_meas": "dBm",
        "ent_cat": "diagnostic",
        "stat_t": topics.health,
        "val_tpl": _SIGNAL,
        "exp_aft": expire_s(HEALTH_EVERY_S),
        **_entity_ids(SENSOR, topics.site, SIGNAL),
    }
    about = {"name": f"スマートメーター {topics.site}", "via_device": _site_id(topics)}
    return Device(own, about, (topics.status, topics.meter_status), components)


def board_component(unit: str, sensor: str) -> str:
    """Return the component of a series of a serial port: another one for each series.

    The first _ ends the UnitID, which has none of its own then.
    """
    return f"{unit.replace('-', '--').replace('_', '-u')}_{sensor}"


def site_device(
    topics: Topics,
    series: Iterable[tuple[str, str]],
    board_expire_s: int | None,
    costs: Collection[str],
) -> Device:
    """Return the device of this kei, with the series of its serial ports, and what power costs.

    That is computed of what was recorded, and true while the meter does not answer.

    Args:
        topics: of this kei.
        series: UnitID and SensorID of each.
        board_expire_s: after how long a value of these is over; None where nobody knows.
        costs: those of `COSTS` that have been known.
    """
    own = _site_id(topics)
    components: dict[str, Mapping[str, object]] = {
        PROBLEM: {
            "p": BINARY_SENSOR,
            "unique_id": f"{own}_{PROBLEM}",
            "name": "異常",
            "dev_cla": "problem",
            "ent_cat": "diagnostic",
            "stat_t": topics.health,
            "val_tpl": _PROBLEM,
            "json_attr_t": topics.health,
            "json_attr_tpl": _PROBLEMS,
            "exp_aft": expire_s(HEALTH_EVERY_S),
            **_entity_ids(BINARY_SENSOR, topics.site, PROBLEM),
        }
    }
    for name, about in COSTS.items():
        if name in costs:
            components[name] = {
                "p": SENSOR,
                "unique_id": f"{own}_{name}",
                "stat_t": topics.of_costs(name),
                "val_tpl": _VALUE,
                "exp_aft": expire_s(HEALTH_EVERY_S),
                **about,
                **_entity_ids(SENSOR, topics.site, name),
            }
    for unit, sensor in series:
        name = board_component(unit, sensor)
        components[name] = {
            "p": SENSOR,
            "unique_id": f"{own}_{name}",
            "name": f"{unit} {sensor}",
            "stat_cla": "measurement",
            "stat_t": topics.series(unit, sensor),
            "val_tpl": _VALUE,
            **_entity_ids(SENSOR, topics.site, f"{unit}_{sensor}"),
            **({} if board_expire_s is None else {"exp_aft": board_expire_s}),
        }
    return Device(
        own, {"name": f"kei {topics.site}", "sw": __version__}, (topics.status,), components
    )


def _site_id(topics: Topics) -> str:
    """Return an id that no other name of a site has: names may have dots, ids may not."""
    site = topics.site
    if "." not in site:
        return f"kei_site_{site}"
    return f"kei_site-{site.replace('-', '--').replace('.', '-_')}"


def _entity_ids(platform: str, site: str, name: str) -> dict[str, str]:
    """Return what names the entity: for Home Assistant before 2025.10, and for later ones."""
    text = re.sub(r"[^a-z0-9]+", "_", f"{site}_{name}".lower()).strip("_")
    return {"object_id": text, "default_entity_id": f"{platform}.{text}"}
