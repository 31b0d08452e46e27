"""What a broker is to be told: compares what is now with what it has been told. No I/O of its own.

The values are those of now. On connecting, and when Home Assistant has started, everything is told
anew: energy registers always, other values only if they are young.
"""

import json
import math
from collections.abc import Iterator, Mapping

import structlog

from kei.core.reading import Reading
from kei.echonet.meter_class import PROPERTIES
from kei.meter.expected import cycles_of
from kei.mqtt.costs import Costs
from kei.mqtt.devices import Devices, Scene
from kei.mqtt.discovery import (
    EXPIRE_MIN_S,
    HEALTH_EVERY_S,
    REGISTERS,
    SHOWN,
)
from kei.mqtt.messages import OFFLINE, ONLINE, Message, Outbox, Topics, value_payload
from kei.mqtt.newest import Newest, Series
from kei.mqtt.presence import Presence
from kei.mqtt.sources import MeterNow, Sources
from kei.mqtt.told import Notebook
from kei.settings.broute import Broute
from kei.settings.mqtt import Mqtt

log = structlog.stdlib.get_logger("kei.mqtt")

FRESH_CYCLES = 3  # a live value that is older is none of now
# Home Assistant takes less to listen to an entity that it has just been told, or to delete one.
SUBSCRIBE_S = 3.0
UNKNOWN_CYCLE_S = 60.0  # of a sensor
SENSOR_GONE_S = 7 * 86_400.0  # a board that has been silent for so long was taken away


class Speaker:
    """Finds the messages for one broker. Used by one thread.

    Args:
        settings: `[mqtt]` of jobs.toml.
        site: name of the site.
        sources: what the running kei tells.

    Attributes:
        topics: of this kei.
        outbox: the messages that wait to be sent.
    """

    def __init__(self, settings: Mqtt, site: str, sources: Sources) -> None:
        self.topics = Topics(settings.topic, site)
        self.outbox = Outbox()
        self._sources = sources
        self._clock = sources.clock
        self._newest = Newest(sources)
        self._notebook = Notebook(sources.memory)
        self._devices = Devices(settings.discovery, self.topics, self._notebook, sources.clock)
        self._costs = Costs(sources)
        self._presence = Presence(sources.clock)
        self._is_connected = False
        self._replaced_by = ""  # MAC address of a meter that is no device yet
        self._others: frozenset[str] = frozenset()  # topics to be forgotten
        self._forget_at = -math.inf
        self._said: dict[Series, Reading] = {}
        self._said_meter_status: bytes | None = None
        self._health_at = -math.inf
        self._was_joined = False  # when health was told last
        self._again_at = math.inf  # when values are told again, as a device was told

    def begin(self) -> None:
        """Tell a broker that has just taken us everything."""
        self._is_connected = True
        self.introduce()
        self._retain(self.topics.status, ONLINE)

    def introduce(self) -> None:
        """Tell everything anew, as somebody has come who knows nothing."""
        self._said.clear()
        self._said_meter_status = None
        self._health_at = -math.inf
        self._devices.introduce()

    def end(self) -> None:
        """Let nothing wait, as the connection has ended."""
        self.outbox = Outbox()
        self._notebook.lost()
        self._is_connected = False

    def leave(self) -> Iterator[Message]:
        """Yield what is to be said before the connection is closed."""
        if self._said_meter_status is not None:
            yield Message(self.topics.meter_status, OFFLINE, qos=1, retain=True)
        yield Message(self.topics.status, OFFLINE, qos=1, retain=True)

    def delivered(self) -> None:
        """Remember what the broker has, as it has got everything. To be called then."""
        self._notebook.delivered()

    def look(self) -> None:
        """Look what is new; with a connection, put it into the outbox. To be called often."""
        broute, meter = self._sources.config().broute, self._sources.meter()
        is_there = broute is not None and meter is not None and self._is_there(meter, broute)
        if not self._is_connected:
            return
        self._notice_another(meter, broute)
        asked = {} if broute is None else _asked(broute, meter)
        self._forget_others(broute, asked)
        if broute is not None:
            self._tell_meter_status(ONLINE if is_there else OFFLINE)
        self._costs.look()
        values = self._newest.of(None if broute is None else broute.unit)
        now = self._clock.monotonic()
        for message in self._devices.look(self._scene(broute, asked, values)):
            self.outbox.put(message)
            self._again_at = now + SUBSCRIBE_S
        if now >= self._again_at:
            self._again_at = math.inf
            self._said.clear()
            self._health_at = -math.inf
        self._tell_values(broute, asked, values)
        self._tell_health(is_joined=meter is not None and meter.session.joined)

    def _is_there(self, meter: MeterNow, broute: Broute) -> bool:
        cycles_s = (
            group.cycle_s
            for group in broute.requests
            if meter.readable is None or not meter.readable.isdisjoint(group.epcs)
        )
        fastest_s = min(cycles_s, default=UNKNOWN_CYCLE_S)
        return self._presence.look(meter.session, fastest_s)

    def _notice_another(self, meter: MeterNow | None, broute: Broute | None) -> None:
        """Forget what another meter has said, if there is another one now."""
        told = self._notebook.told
        if meter is None or broute is None or meter.address in ("", told.meter, self._replaced_by):
            return
        if not told.meter:
            self._notebook.tell(meter=meter.address)
            return
        self._replaced_by = meter.address
        self._newest.meter_replaced(broute.unit, meter.met_at)
        log.info("mqtt_meter_replaced", hint="Home Assistant gets another device for it")

    def _is_replacing(self, broute: Broute | None) -> bool:
        """Tell whether what the broker has of the meter before is not forgotten yet."""
        return broute is not None and self._replaced_by not in ("", self._notebook.told.meter)

    def _forget_others(self, broute: Broute | None, asked: Mapping[str, float]) -> None:
        """Have the broker forget what is no topic of ours any more, when nobody listens to it.

        Home Assistant would complain of an empty value, so that the entity is deleted before. Only
        when the values of a meter are forgotten, the next one becomes a device.
        """
        ours = {self.topics.status}
        is_replacing = self._is_replacing(broute)
        if broute is not None:
            registers = frozenset() if is_replacing else REGISTERS & asked.keys()
            series = (self.topics.series(broute.unit, each) for each in registers)
            ours |= {self.topics.meter_status, *series}
        now, retained = self._clock.monotonic(), self._notebook.told.retained
        others = retained - ours
        if others != self._others:
            self._others, self._forget_at = others, now + SUBSCRIBE_S
        if others and now < self._forget_at:
            return
        for topic in sorted(others):
            self.outbox.put(Message(topic, b"", qos=1, retain=True, step="forget"))
        if broute is None or is_replacing:
            self._notebook.tell(meter=self._replaced_by if is_replacing else "")
            self._replaced_by = ""
        if others:
            self._notebook.tell(retained=retained - others)

    def _retain(self, topic: str, payload: bytes) -> None:
        self.outbox.put(Message(topic, payload, qos=1, retain=True))
        retained = self._notebook.told.retained
        if topic not in retained:
            self._notebook.tell(retained=retained | {topic})

    def _tell_meter_status(self, status: bytes) -> None:
        if status != self._said_meter_status:
            self._said_meter_status = status
            self._retain(self.topics.meter_status, status)

    def _tell_values(
        self, broute: Broute | None, asked: Mapping[str, float], values: Mapping[Series, Reading]
    ) -> None:
        cycles_s, unit = cycles_of(broute), broute.unit if broute else None
        with_time = self._sources.may_tell_time()
        for series, reading in values.items():
            is_register = series[0] == unit and series[1] in REGISTERS
            if self._said.get(series) == reading or (is_register and self._is_replacing(broute)):
                continue
            self._said[series] = reading
            topic = self.topics.series(*series)
            payload = value_payload(reading, self._clock.zone, with_time=with_time)
            if is_register:
                if series[1] in asked:
                    self._retain(topic, payload)
            elif self._newest.is_young(
                reading, FRESH_CYCLES * cycles_s.get(series, UNKNOWN_CYCLE_S), if_unknown=False
            ):
                self.outbox.put(Message(topic, payload))

    def _tell_health(self, *, is_joined: bool) -> None:
        now = self._clock.monotonic()
        if now - self._health_at < HEALTH_EVERY_S and is_joined == self._was_joined:
            return
        self._health_at, self._was_joined = now, is_joined
        health = self._sources.health()
        problems = list(self._sources.problems())
        document = {"version": health.version, **health.numbers, "problems": problems}
        payload = json.dumps(document, ensure_ascii=False).encode()
        self.outbox.put(Message(self.topics.health, payload))
        for name, cost in self._costs.payloads.items():
            self.outbox.put(Message(self.topics.of_costs(name), cost))

    def _scene(
        self, broute: Broute | None, asked: Mapping[str, float], values: Mapping[Series, Reading]
    ) -> Scene:
        ports, unit = self._sources.config().serial, None if broute is None else broute.unit
        of_boards = sorted(series for series in values if series[0] != unit)
        come = tuple(
            series
            for series in of_boards
            if ports and self._newest.is_young(values[series], SENSOR_GONE_S, if_unknown=True)
        )
        stale_s = [port.stale_after_s for port in ports if port.stale_after_s is not None]
        is_known = bool(ports) and len(stale_s) == len(ports)
        return Scene(
            meter="" if self._is_replacing(broute) else self._notebook.told.meter,
            is_replaced=self._is_replacing(broute),
            unit=unit,
            cycles_s={each: cycle_s for each, cycle_s in asked.items() if (unit, each) in values},
            may_come=frozenset(asked),
            boards=come,
            silent=tuple(series for series in of_boards if series not in come),
            has_ports=bool(ports),
            expire_s=round(max(EXPIRE_MIN_S, *stale_s)) if is_known else None,
            costs=self._costs.seen,
            costs_may_come=self._costs.may_come,
        )


def _asked(broute: Broute, meter: MeterNow | None) -> dict[str, float]:
    """Return how often there is a new value of what a meter is asked for, or sends by itself.

    Only of SensorIDs that become entities, and that this meter has.
    """
    cycles_s = {sensor: cycle_s for (_, sensor), cycle_s in cycles_of(broute).items()}
    readable = meter.readable if meter else None
    return {
        sensor: cycle_s
        for epc, row in PROPERTIES.items()
        if readable is None or epc in readable
        for sensor in row.sensors
        if sensor in SHOWN and (cycle_s := cycles_s.get(sensor, row.measured_every_s)) is not None
    }
