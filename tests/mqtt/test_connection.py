"""A connection to what only seems to be a broker ends soon, with a reason, and takes no memory."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeClock
from mqtt_support import LONG, REFUSED, WELCOME, OddBroker
from programs import wait_until

from kei.core.clock import SystemClock
from kei.mqtt import connection as module
from kei.mqtt.broken import Broken
from kei.mqtt.connection import Connection
from kei.mqtt.messages import Message
from kei.settings.mqtt import Mqtt


@pytest.fixture
def wake() -> Iterator[socket.socket]:
    there, here = socket.socketpair()
    with there, here:
        yield there


def reason_of(broker: OddBroker, wake: socket.socket, *publishes: Message) -> str:
    """Why a connection has ended."""
    connection = Connection(settings(broker.port), "me", "me/status", ["ha/status"], SystemClock())
    left = list(publishes)
    try:
        connection.open()
        while True:
            if left and connection.can_take():
                connection.publish(left.pop())
            connection.pump(wake, 0.05)
    except Broken as error:
        return str(error)
    finally:
        connection.close()


def pump_for_ever(connection: Connection, wake: socket.socket) -> None:
    while True:
        connection.pump(wake, 1)


def settings(port: int, **changes: object) -> Mqtt:
    plain = Mqtt(host="127.0.0.1", port=port)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20, "speak MQTT"),
        (b"\x20\x00", "speak MQTT"),
        (b"\x20\x02\x00\x63", "Unspecified error"),
        (b"\xf0\xff\xff\xff\xff\xff", "speak MQTT"),
        (WELCOME + b"\x30\x03\x00\x63aa", "speak MQTT"),
        (WELCOME + b"\x90\x01\x00", "speak MQTT"),
        (WELCOME + LONG, "a packet of 268435455 bytes"),
        (REFUSED, "Not authorized: see user and password of [mqtt]"),
    ],
)
def test_garbage_ends_a_connection_with_a_reason(
    wake: socket.socket, greeting: bytes, why: str
) -> None:
    broker = OddBroker(greeting)
    try:
        assert why in reason_of(broker, wake)
    finally:
        broker.close()


def test_a_server_that_hangs_up_or_is_not_there_is_told_so(wake: socket.socket) -> None:
    broker = OddBroker(hangs_up=True)
    told = reason_of(broker, wake)
    assert "closed" in told or "reset" in told.lower() or "lost" in told.lower()
    broker.close()
    assert reason_of(broker, wake) == "Connection refused"


def test_a_port_that_closes_at_once_may_be_one_for_tls(wake: socket.socket) -> None:
    broker = OddBroker(reads=False)
    connection = Connection(settings(broker.port), "me", "me/status", (), SystemClock())
    try:
        connection.open()
        wait_until(lambda: broker.connections, 10, "the connection")
        broker.drop()
        with pytest.raises(Broken, match="at once: see port and tls"):
            pump_for_ever(connection, wake)
    finally:
        connection.close()
        broker.close()


@pytest.mark.parametrize(
    ("limit", "greeting", "message", "why"),
    [
        ("WELCOME_LIMIT_S", b"", None, "does not answer"),
        ("WELCOME_LIMIT_S", WELCOME[:3], None, "does not answer"),
        ("ACK_LIMIT_S", WELCOME, Message("t", b"1", qos=1), "does not acknowledge"),
    ],
)
def test_a_broker_that_hangs_is_left_after_a_limit(
    wake: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    greeting: bytes,
    message: Message | None,
    why: str,
) -> None:
    monkeypatch.setattr(module, limit, 0.1)
    broker = OddBroker(greeting)
    try:
        assert why in reason_of(broker, wake, *([message] if message else []))
    finally:
        broker.close()


def test_nothing_is_taken_for_a_broker_that_does_not_read(wake: socket.socket) -> None:
    broker = OddBroker(WELCOME, reads=False)
    connection = Connection(settings(broker.port), "me", "me/status", (), FakeClock())
    try:
        connection.open()
        while not connection.is_up:
            connection.pump(wake, 1)
        count = 0
        while connection.can_take():
            connection.publish(Message("t", bytes(100_000)))
            count += 1
            assert count < 1000
        connection.pump(wake, 0)
        assert not connection.can_take()
        assert not connection.has_delivered
    finally:
        connection.close()
        broker.close()


# paho-mqtt leaves a socket whose handshake has failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_to_a_server_without_it_says_so(wake: socket.socket) -> None:
    broker = OddBroker(WELCOME * 10)
    connection = Connection(settings(broker.port, tls=True), "me", "me/status", (), SystemClock())
    try:
        with pytest.raises(Broken, match="no TLS"):
            connection.open()
    finally:
        connection.close()
        broker.close()


@pytest.mark.parametrize(
    ("text", "why"), [(None, "No such file or directory"), ("x", "no certificate in it")]
)
def test_a_ca_file_that_has_gone_or_is_broken_is_named(
    tmp_path: Path, text: str | None, why: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    if text is not None:
        ca_file.write_text(text)
    chosen = settings(1, tls=True, ca_file=ca_file)
    connection = Connection(chosen, "me", "me/status", (), SystemClock())
    with pytest.raises(Broken, match=f"^ca_file {ca_file}: {why}$"):
        connection.open()
