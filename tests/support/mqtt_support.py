"""A kei in the words of `kei.mqtt`, a client of brokers, and servers that seem to be some."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal

import paho.mqtt.client as mqtt
import pytest
from fakes import FakeClock
from mosquitto import MOSQUITTO
from paho.mqtt.enums import CallbackAPIVersion
from programs import wait_until

from kei.core.reading import Reading
from kei.meter.figures import Figures
from kei.mqtt.messages import Message
from kei.mqtt.sources import MeterNow, Sources
from kei.mqtt.speaker import Speaker
from kei.settings.config import Config
from kei.upload.health import Health
from kei.wisun.interfaces import SessionStatus

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
METER, OTHER_METER = "001D129012345678", "001D129087654321"
JOINED = SessionStatus("JOINED", True, 1.0, None, None, None, None, 200, -60.0, 1, 0, 0, 0)


class Memory(dict[str, str]):
    """A memory that is a dictionary."""

    def get_state(self, key: str) -> str | None:
        return self.get(key)

    def set_state(self, key: str, value: str) -> None:
        self[key] = value


@dataclass
class Home:
    """What the running kei tells, as a test wants it."""

    config: Config
    clock: FakeClock = field(default_factory=FakeClock)
    newest: dict[tuple[str, str], Reading] = field(default_factory=dict)
    recorded: list[Reading] = field(default_factory=list)
    meter: MeterNow | None = field(default_factory=lambda: MeterNow(METER, 0.0, None, JOINED))
    problems: tuple[str, ...] = ()
    figures: Figures | Exception = field(default_factory=Figures)
    is_time_trusted: bool = True
    memory: Memory = field(default_factory=Memory)

    def sources(self) -> Sources:
        return Sources(
            config=lambda: self.config,
            newest=self._newest,
            recorded=lambda: self.recorded,
            meter=lambda: self.meter,
            health=lambda: Health("1.2.3", {"rssi_dbm": -60.0, "cpu_celsius": None}, None),
            problems=lambda: self.problems,
            figures=self._figures,
            may_tell_time=lambda: self.is_time_trusted,
            memory=self.memory,
            clock=self.clock,
        )

    def _newest(self) -> dict[tuple[str, str], Reading]:
        return self.newest.copy()

    def _figures(self) -> Figures:
        if isinstance(self.figures, Exception):
            raise self.figures
        return self.figures

    def reading(self, sensor: str, value: str, unit: str = "BR", age_s: float = 0) -> Reading:
        """A value of some seconds ago, which is not put anywhere."""
        time_ms = self.clock.now_ms() - round(age_s * 1000)
        monotonic_ms = round((self.clock.monotonic() - age_s) * 1000)
        return Reading(time_ms, unit, sensor, Decimal(value), "x", monotonic_ms)

    def comes(self, sensor: str, value: str, unit: str = "BR", age_s: float = 0) -> None:
        """A value comes."""
        self.newest[unit, sensor] = self.reading(sensor, value, unit, age_s)

    def answers(self) -> None:
        """The meter answers a request."""
        self.session(answered=self.meter_there.session.answered + 1)

    def session(self, **changes: object) -> None:
        """The session becomes another."""
        there = self.meter_there
        self.meter = replace(there, session=replace(there.session, **changes))  # type: ignore[arg-type]

    @property
    def meter_there(self) -> MeterNow:
        assert self.meter is not None
        return self.meter

    def speaker(self) -> Speaker:
        """One that a broker has just taken."""
        assert self.config.mqtt is not None
        speaker = Speaker(self.config.mqtt, self.config.site.name, self.sources())
        speaker.begin()
        return speaker


def said(speaker: Speaker) -> list[Message]:
    """What the broker gets at this moment."""
    speaker.look()
    found = []
    while (message := speaker.outbox.take()) is not None:
        found.append(message)
    speaker.delivered()
    return found


def by_topic(messages: Sequence[Message]) -> dict[str, Message]:
    """The last message of each topic."""
    return {message.topic: message for message in messages}


class Listener:
    """Another client of a broker, which hears everything. Also publishes.

    Attributes:
        heard: topic, payload and whether it came as retained, in order.
    """

    def __init__(self, port: int, **login: str) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _, __, message: self.heard.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("#", 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, 1)

    def of(self, topic: str) -> list[str]:
        """The payloads of a topic so far."""
        return [payload for where, payload, _ in list(self.heard) if where == topic]

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, 20, f"{what}; heard {[h[0] for h in self.heard][-20:]}")


@contextmanager
def listener(port: int, **login: str) -> Iterator[Listener]:
    """A listener that is gone at the end."""
    made = Listener(port, **login)
    try:
        yield made
    finally:
        made.close()


WELCOME = b"\x20\x02\x00\x00"  # CONNACK of MQTT 3.1.1: accepted
REFUSED = b"\x20\x02\x00\x05"  # not authorised
LONG = b"\x30\xff\xff\xff\x7f" + bytes(100)  # a PUBLISH of 256 MB, and its beginning


class OddBroker:
    """A server that takes connections and says what a test wants; reads only if told to.

    Attributes:
        greeting: is sent to each connection at once.
        reads: whether what comes is read.
        connections: how many have come.
        heard: what was read from each.
    """

    def __init__(
        self, greeting: bytes = b"", *, reads: bool = True, hangs_up: bool = False
    ) -> None:
        self.greeting = greeting
        self.reads = reads
        self.hangs_up = hangs_up
        self.connections = 0
        self.heard: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.heard.append(b"")
                self._open.append(connection)
                threading.Thread(
                    target=self._behave, args=(connection, self.connections), daemon=True
                ).start()
                self.connections += 1

    def _behave(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if not self.reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.sendall(self.greeting)
            if self.hangs_up:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                return
            while self.reads and (data := connection.recv(4096)):
                self.heard[number] += data

    def is_asked_for(self, topic: str) -> bool:
        """Whether the last connection has subscribed to a topic; to be asked when values come."""
        wait_until(lambda: b"/health{" in self.heard[-1], 10, "values")
        text = topic.encode()
        return len(text).to_bytes(2) + text + b"\x00" in self.heard[-1]

    def drop(self) -> None:
        """End every connection."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()
        self._thread.join(5)
