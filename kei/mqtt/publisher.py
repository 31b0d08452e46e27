"""The thread that keeps a broker told, for ever: connects, tells, waits, and connects again."""

import contextlib
import random
import socket
import threading
from traceback import format_tb
from typing import TYPE_CHECKING

import structlog

from kei.core.backoff import Backoff
from kei.core.errors import RetryLater
from kei.core.extras import lacking
from kei.core.incidents import Incidents
from kei.mqtt.broken import Closed, TooLong
from kei.mqtt.sources import Sources
from kei.mqtt.speaker import Speaker
from kei.mqtt.status import MqttStatus
from kei.settings.mqtt import Mqtt

if TYPE_CHECKING:
    from kei.mqtt.connection import Connection

log = structlog.stdlib.get_logger("kei.mqtt")

LOOK_EVERY_S = 0.5  # how late a value may be told
AWAY_LOOK_EVERY_S = 5.0  # without a connection: only whether the meter answers
FIRST_WAIT_S, LONGEST_WAIT_S, JITTER = 1.0, 120.0, (0.5, 1.0)
# A connection that has lasted so long is a good one, and ends a fault. It is longer than any wait:
# or else, of two kei with one name, the one would end its fault while the other waits.
STEADY_S = 150.0
BIRTH_SPREAD_S = 5.0  # Home Assistant has just started, and many want to tell it something
BIRTH_TOPIC, BIRTH = "homeassistant/status", b"online"  # by default
LEAVE_LIMIT_S = 0.5


class Publisher:
    """Tells one broker what is now, until it is stopped.

    Args:
        settings: `[mqtt]` of jobs.toml.
        site: name of the site.
        sources: what is told.
        rng: for jitter.
    """

    def __init__(self, settings: Mqtt, site: str, sources: Sources, rng: random.Random) -> None:
        self._settings = settings
        self._sources = sources
        self._clock = sources.clock
        self._rng = rng
        self._client_id = f"{settings.topic.replace('/', '-')}-{site}"
        self._speaker = Speaker(settings, site, sources)
        self._birth_topics = _birth_topics(settings.discovery)
        self._backoff = Backoff(rng, first_s=FIRST_WAIT_S, max_s=LONGEST_WAIT_S, jitter=JITTER)
        self._incidents = Incidents(log, sources.clock)
        self._stopping = threading.Event()
        self._wake, self._waking = socket.socketpair()
        self._wake.setblocking(False)
        self._is_connected = False
        self._since = sources.clock.monotonic()
        self._published = 0

    def run(self) -> None:
        """Keep the broker told until `stop`; never raises, whatever the broker does."""
        try:
            self._run()
        finally:
            if self._stopping.is_set():  # or else it died by a mistake of ours, and is run again
                self._wake.close()
                self._waking.close()

    def _run(self) -> None:
        try:
            # No part of a kei that tells no broker: paho-mqtt is an extra.
            from kei.mqtt.connection import Connection  # noqa: PLC0415
        except ModuleNotFoundError as error:
            self._incidents.raised("mqtt_unavailable", reason=lacking("mqtt", str(error.name)))
            self._stopping.wait()
            return
        self._keep_told(Connection)

    def stop(self) -> None:
        """Make `run` take leave and return soon; any thread."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # it has ended already
            self._waking.send(b"x")

    def _keep_told(self, connect: "type[Connection]") -> None:
        topics = self._speaker.topics
        while not self._stopping.is_set():
            connection = connect(
                self._settings, self._client_id, topics.status, self._birth_topics, self._clock
            )
            try:
                connection.open()
                self._converse(connection)
            except TooLong as error:
                self._birth_topics = ()
                self._note_end(f"{error}; from now on kei does not hear Home Assistant start")
            except Closed as error:
                self._note_end(f"{error}{self._suspicion()}")
            except RetryLater as error:
                self._note_end(str(error))
            except Exception as error:  # noqa: BLE001 - a mistake of ours; the next try goes on
                log.error(  # noqa: TRY400 - a traceback of one line
                    "mqtt_failed",
                    error=repr(error),
                    exception="".join(format_tb(error.__traceback__)),
                )
                self._note_end(repr(error))
            finally:
                connection.close()
            self._pause()

    def status(self) -> MqttStatus:
        """Return how the connection is; any thread."""
        fault = self._incidents.latest()
        return MqttStatus(
            broker=self._settings.address,
            connected=self._is_connected,
            since_s=round(self._clock.monotonic() - self._since, 1),
            published=self._published,
            fault=None if fault is None else fault.why,
            failing_s=None if fault is None else round(fault.since_s, 1),
        )

    def _converse(self, connection: "Connection") -> None:
        """Tell what is new, as long as the broker takes it; RetryLater at the end."""
        while not (connection.is_up or self._stopping.is_set()):
            connection.pump(self._wake, LOOK_EVERY_S)
        if self._stopping.is_set():
            return
        self._note_begin()
        self._speaker.begin()
        birth_at: float | None = None
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            if connection.heard == BIRTH and birth_at is None:
                birth_at = now + self._rng.uniform(0, BIRTH_SPREAD_S)
            connection.heard = None
            if birth_at is not None and now >= birth_at:
                birth_at = None
                self._speaker.introduce()
            if now - self._since > STEADY_S:
                self._backoff.reset()
                self._incidents.ended("mqtt_unavailable")
            self._speaker.look()
            self._send(connection)
            connection.pump(self._wake, LOOK_EVERY_S)
        self._take_leave(connection)

    def _send(self, connection: "Connection") -> None:
        outbox = self._speaker.outbox
        while connection.can_take() and (message := outbox.take()) is not None:
            connection.publish(message)
            self._published += 1
        if not len(outbox) and connection.has_delivered:
            self._speaker.delivered()

    def _take_leave(self, connection: "Connection") -> None:
        """Say that kei goes: the broker would say so only of a connection that is lost."""
        end = self._clock.monotonic() + LEAVE_LIMIT_S
        for message in self._speaker.leave():
            connection.publish(message)
        while not connection.has_delivered and (left_s := end - self._clock.monotonic()) > 0:
            connection.pump(self._waking, left_s)

    def _note_begin(self) -> None:
        self._is_connected, self._since = True, self._clock.monotonic()
        if self._incidents.latest() is None:  # or else its end is told when the connection lasts
            log.info("mqtt_connected", broker=self._settings.address)

    def _suspicion(self) -> str:
        """Return what to look for after a connection that the broker has closed."""
        lasted_s = self._clock.monotonic() - self._since
        if lasted_s > STEADY_S:
            return ""
        return f" after {lasted_s:.0f} s; has another client the id {self._client_id}?"

    def _note_end(self, reason: str) -> None:
        self._speaker.end()
        if self._is_connected:
            self._is_connected, self._since = False, self._clock.monotonic()
        self._incidents.raised(
            "mqtt_unavailable",
            broker=self._settings.address,
            reason=reason,
        )

    def _pause(self) -> None:
        """Wait before the next attempt; meanwhile look whether the meter answers."""
        until = self._clock.monotonic() + self._backoff.after_failure()
        while (left_s := until - self._clock.monotonic()) > 0:
            if self._stopping.wait(self._clock.wait_s(min(left_s, AWAY_LOOK_EVERY_S))):
                return
            self._speaker.look()


def _birth_topics(prefix: str) -> tuple[str, ...]:
    """Return where Home Assistant says that it has started; not every one says it below `prefix`.

    Its default is the same for all, another one has to be set there, besides its prefix.
    """
    return (BIRTH_TOPIC, *{f"{prefix}/status"} - {BIRTH_TOPIC}) if prefix else ()
