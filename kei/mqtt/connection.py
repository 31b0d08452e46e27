"""One connection to a broker: the only module that knows paho-mqtt.

Each connection has a client of its own, so that nothing of an earlier one is sent after it. Nothing
waits in it but what the socket does not take at once and a few messages that the broker has not
acknowledged: whoever publishes asks `can_take` before.
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from kei.core.clock import Clock
from kei.mqtt.broken import Broken, Closed, TooLong
from kei.mqtt.messages import OFFLINE, Message
from kei.settings.mqtt import Mqtt

CONNECT_LIMIT_S = 10.0  # for TCP, and as much for TLS; a name look-up has the limits of the system
WELCOME_LIMIT_S = 10.0  # for the broker's word that it takes us
KEEPALIVE_S = 30  # a broker that says nothing for twice as long is gone
ACK_LIMIT_S = 30.0  # as long a broker may take to acknowledge a message
UNACKNOWLEDGED_MAX = 20  # messages; a broker must take as many (paho's own limit)
# What a broker has to say is short; the rest of its packets is not worth a small machine's memory.
PACKET_MAX_BYTES, RECEIVE_BUFFER_BYTES = 65_536, 16_384
CLOSED = "the broker has closed the connection"
CLOSED_AT_ONCE = f"{CLOSED} at once: see port and tls of [mqtt]"  # as a port for TLS does
HINTS = {
    "Bad user name or password": "see user and password of [mqtt]",
    "Not authorized": "see user and password of [mqtt], and what the broker lets this user do",
    "Server unavailable": "the broker is starting, or has too many clients",
}


class Connection:
    """A connection to a broker. Used by one thread.

    Args:
        settings: `[mqtt]` of jobs.toml.
        client_id: by which the broker tells clients apart; never of the B route.
        will: topic that the broker says `offline` on when the connection is lost.
        listen: topics to subscribe to.
        clock: monotonic time.

    Attributes:
        is_up: whether the broker has taken us.
        heard: what came last on a topic that is listened to; the reader sets it to None.
    """

    def __init__(
        self, settings: Mqtt, client_id: str, will: str, listen: Collection[str], clock: Clock
    ) -> None:
        self._settings = settings
        self._listen = listen
        self._clock = clock
        self._begun = clock.monotonic()
        self._refused = ""
        self._unacknowledged: dict[int, float] = {}  # by message id: since when
        self.is_up = False
        self.heard: bytes | None = None
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=True, protocol=mqtt.MQTTv311
        )
        client.connect_timeout = CONNECT_LIMIT_S
        client.max_inflight_messages_set(UNACKNOWLEDGED_MAX)
        client.will_set(will, OFFLINE, qos=1, retain=True)
        if settings.user:
            password = settings.password
            client.username_pw_set(settings.user, password.reveal() if password else None)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = _bound_buffer

    def open(self) -> None:
        """Connect, and say who we are; the broker's answer comes by `pump`.

        Raises:
            Broken: there is no connection.
        """
        settings = self._settings
        try:
            if settings.tls:
                self._client.tls_set_context(_trusting(settings.ca_file))
            code = self._client.connect(settings.host, settings.port, KEEPALIVE_S)
        except (OSError, ValueError) as error:  # the latter: a host that cannot be looked up
            raise Broken(_reason(error)) from None
        self._check(code)
        self._begun = self._clock.monotonic()

    def pump(self, wake: socket.socket, limit_s: float) -> None:
        """Send and receive what there is; wait if there is nothing.

        Args:
            wake: ends the wait when something can be read from it.
            limit_s: the longest wait, seconds.

        Raises:
            Broken: the connection has ended.
        """
        client, sock = self._client, self._client.socket()
        if sock is None:
            raise self._closed()
        poll = select.poll()
        writing = select.POLLOUT if client.want_write() else 0
        poll.register(sock, select.POLLIN | writing)
        poll.register(wake, select.POLLIN)
        undecoded = isinstance(sock, ssl.SSLSocket) and sock.pending()
        ready = dict(poll.poll(0 if undecoded else self._clock.wait_s(limit_s) * 1000))
        events = ready.get(sock.fileno(), 0)
        try:
            if undecoded or events & ~select.POLLOUT:
                self._check(client.loop_read())
                self._check_packet()
            if events & select.POLLOUT:
                self._check(client.loop_write())
            self._check(client.loop_misc())
        except Broken:
            raise
        except Exception as error:  # noqa: BLE001 - paho's parser; the bytes are the broker's
            raise Broken(f"the broker does not speak MQTT ({type(error).__name__})") from None
        self._check_patience()

    def can_take(self) -> bool:
        """Tell whether another message would be sent at once."""
        is_free = len(self._unacknowledged) < UNACKNOWLEDGED_MAX
        return self.is_up and is_free and not self._client.want_write()

    @property
    def has_delivered(self) -> bool:
        """Whether everything that was published has been sent, and acknowledged where it is to."""
        return self.is_up and not self._unacknowledged and not self._client.want_write()

    def publish(self, message: Message) -> None:
        """Send a message, or as much of it as the socket takes; see `can_take`. Raises Broken."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        self._check(info.rc)
        if message.qos:
            self._unacknowledged[info.mid] = self._clock.monotonic()

    def close(self) -> None:
        """Take leave if that is possible at once, and close the socket."""
        with contextlib.suppress(Exception):  # of a connection that nobody needs any more
            self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _check(self, code: MQTTErrorCode) -> None:
        if code is MQTTErrorCode.MQTT_ERR_SUCCESS:
            return
        told = {
            MQTTErrorCode.MQTT_ERR_KEEPALIVE: "the broker has fallen silent",
            MQTTErrorCode.MQTT_ERR_PROTOCOL: "the broker does not speak MQTT",
        }
        if code is MQTTErrorCode.MQTT_ERR_CONN_LOST:
            raise self._closed()
        raise Broken(self._refused or told.get(code, mqtt.error_string(code).rstrip(".")))

    def _closed(self) -> Broken:
        if self._refused:
            return Broken(self._refused)
        return Closed(CLOSED) if self.is_up else Broken(CLOSED_AT_ONCE)

    def _check_packet(self) -> None:
        length = self._client._in_packet["remaining_length"]  # which paho does not bound
        if length > PACKET_MAX_BYTES:
            raise TooLong(f"the broker sends a packet of {length} bytes")

    def _check_patience(self) -> None:
        now = self._clock.monotonic()
        if self._refused:
            raise Broken(self._refused)
        if not self.is_up and now - self._begun > WELCOME_LIMIT_S:
            raise Broken("the broker does not answer")
        if any(now - since > ACK_LIMIT_S for since in self._unacknowledged.values()):
            raise Broken("the broker does not acknowledge what it is sent")

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: Any,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            hint = HINTS.get(str(reason))
            self._refused = f"{reason}: {hint}" if hint else str(reason)
            return
        self.is_up = True
        for topic in self._listen:
            client.subscribe(topic, qos=0)

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic in self._listen and not message.retain:
            self.heard = bytes(message.payload)

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: Any,
        mid: int,
        _reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._unacknowledged.pop(mid, None)


def _bound_buffer(_client: mqtt.Client, _userdata: Any, sock: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return what checks the broker's certificate, by those of a file, or of this machine."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # as SSLError is
        text = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise Broken(f"ca_file {ca_file}: {text}") from None


def _reason(error: Exception) -> str:
    """Return why there is no connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate refused: {error.verify_message}"
        case TimeoutError():
            return "timed out"
        case ssl.SSLError():
            return f"no TLS: {error.reason or error.strerror or 'the broker does not speak it'}"
        case OSError(strerror=str(text)):
            return text
    return str(error) or type(error).__name__
