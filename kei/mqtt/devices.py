"""Home Assistant's devices: told when they change, and deleted when they are there no more."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from kei.core.clock import Clock
from kei.core.incidents import Incidents
from kei.mqtt.discovery import COSTS, Device, board_component, meter_device, site_device
from kei.mqtt.messages import Message, Topics
from kei.mqtt.newest import Series
from kei.mqtt.told import Notebook

log = structlog.stdlib.get_logger("kei.mqtt")

SENSORS_MAX = 200  # entities; a wrong sketch makes up thousands of series


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to be seen by Home Assistant.

    Attributes:
        meter: MAC address; empty if there is no meter, or it is not known yet.
        is_replaced: whether the meter before is to be deleted, and the next one not told yet.
        unit: UnitID of the meter; None without one.
        cycles_s: how often there is a new value, by SensorIDs of the meter that have one.
        may_come: SensorIDs that the meter has, whether there is a value yet or not.
        boards: series of the serial ports that still come.
        silent: those that came once, and come no more.
        has_ports: whether there is a serial port.
        expire_s: when a value of theirs is over; None where that is not known.
        costs: those of `COSTS` that have been known.
        costs_may_come: whether they may come.
    """

    meter: str
    is_replaced: bool
    unit: str | None
    cycles_s: Mapping[str, float]
    may_come: frozenset[str]
    boards: tuple[Series, ...]
    silent: tuple[Series, ...]
    has_ports: bool
    expire_s: int | None
    costs: frozenset[str]
    costs_may_come: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A device, and which components that it has not may be told again later."""

    device: Device
    may_come: Callable[[str], bool] = field(compare=False)


class Devices:
    """Tells about devices. Used by one thread.

    Args:
        prefix: `discovery` of `[mqtt]`; empty for none at all.
        topics: of this kei.
        notebook: knows what was told.
        clock: for the log.
    """

    def __init__(self, prefix: str, topics: Topics, notebook: Notebook, clock: Clock) -> None:
        self._prefix = prefix
        self._topics = topics
        self._notebook = notebook
        self._incidents = Incidents(log, clock)
        self._seen: Scene | None = None
        self._said: dict[str, Device] = {}

    def introduce(self) -> None:
        """Tell everything anew at the next look."""
        self._seen = None
        self._said = {}

    def look(self, scene: Scene) -> Iterator[Message]:
        """Yield what is to be told of a scene that has changed."""
        if scene == self._seen:
            return
        self._seen = scene
        before = self._notebook.told.devices
        wanted = {each.device.topic(self._prefix): each for each in self._wanted(scene)}
        # Which meter there will be.
        is_unknown = scene.unit is not None and not scene.meter and not scene.is_replaced
        told = {topic: of for topic, of in before.items() if is_unknown and topic not in wanted}
        messages = [
            Message(topic, b"", qos=1, retain=True)
            for topic in sorted(before.keys() - wanted.keys() - told.keys())
        ]
        for topic, each in wanted.items():
            has = {name: str(of["p"]) for name, of in each.device.components.items()}
            missing = {k: v for k, v in before.get(topic, {}).items() if k not in has}
            gone = {name: of for name, of in missing.items() if not each.may_come(name)}
            if gone or each.device != self._said.get(topic):
                messages += each.device.messages(self._prefix, gone)
            told[topic] = {**{k: v for k, v in missing.items() if k not in gone}, **has}
        self._notebook.tell(devices=told)
        self._notebook.keep()  # before the broker is told
        self._said = {topic: each.device for topic, each in wanted.items()}
        yield from messages

    def _wanted(self, scene: Scene) -> Iterator[_Wanted]:
        if not self._prefix:
            return
        if len(scene.boards) > SENSORS_MAX:
            hint = f"Home Assistant is told of the first {SENSORS_MAX}; is a sketch wrong?"
            self._incidents.raised("mqtt_too_many_series", count=len(scene.boards), hint=hint)
        silent = {board_component(*series) for series in scene.silent}
        yield _Wanted(
            site_device(self._topics, scene.boards[:SENSORS_MAX], scene.expire_s, scene.costs),
            lambda name: (
                scene.costs_may_come if name in COSTS else scene.has_ports and name not in silent
            ),
        )
        if scene.unit is not None and scene.meter:
            yield _Wanted(
                meter_device(self._topics, scene.meter, scene.unit, scene.cycles_s),
                lambda name: name in scene.may_come,
            )
