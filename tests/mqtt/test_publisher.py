"""The thread that keeps a broker told outlives what goes wrong in it, and says so once."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from mosquitto import mosquitto
from mqtt_support import LONG, WELCOME, Home, OddBroker, listener, needs_mosquitto
from programs import PATIENCE_S, wait_until
from structlog.testing import capture_logs

from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.mqtt import publisher as module
from kei.mqtt import speaker
from kei.mqtt.connection import Connection
from kei.mqtt.publisher import Publisher
from kei.mqtt.sources import Sources

Make = Callable[..., Home]


@pytest.fixture(autouse=True)
def _no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_LIMIT_S", 0.0)  # an `OddBroker` acknowledges nothing


@contextmanager
def running(
    home: Home, port: int = 9, sources: Sources | None = None, site: str = "house-07"
) -> Iterator[Publisher]:
    assert home.config.mqtt is not None
    settings = replace(home.config.mqtt, host="127.0.0.1", port=port)
    sources = replace(sources or home.sources(), clock=SystemClock())
    publisher = Publisher(settings, site, sources, random.Random(1))
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_without_paho_it_says_what_to_install(home: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kei.mqtt.connection", raising=False)
    monkeypatch.setitem(sys.modules, "paho", None)
    with running(home()) as publisher:
        wait_until(lambda: publisher.status().fault, 5, "the fault")
        lacking = "paho-mqtt is missing; pip install 'kei[mqtt]', then restart kei if it runs"
        assert publisher.status().fault == lacking
        assert not publisher.status().connected


def test_a_broker_that_is_not_there_is_tried_again_and_again(
    home: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
    broker = OddBroker(hangs_up=True)
    with running(home(), broker.port) as publisher:
        wait_until(lambda: broker.connections >= 3, 5, "three tries")
        assert not publisher.status().connected
        assert publisher.status().fault
        broker.greeting, broker.hangs_up = WELCOME, False
        wait_until(lambda: publisher.status().connected, 10, "a connection")
        wait_until(lambda: publisher.status().published > 3, 5, "messages")
        failing_s = publisher.status().failing_s
        assert failing_s is not None, "the connection has to last"
        monkeypatch.setattr(module, "STEADY_S", 0.0)
        wait_until(lambda: publisher.status().fault is None, 5, "the end of the fault")
        assert publisher.status().failing_s is None
    broker.close()


@pytest.mark.parametrize(
    ("discovery", "topics"),
    [
        ("homeassistant", {"homeassistant/status"}),
        ("ha", {"homeassistant/status", "ha/status"}),
        ("", set()),
    ],
)
def test_it_listens_where_home_assistant_says_that_it_has_started(
    home: Make, discovery: str, topics: set[str]
) -> None:
    kei = home()
    assert kei.config.mqtt is not None
    kei.config = replace(kei.config, mqtt=replace(kei.config.mqtt, discovery=discovery))
    broker = OddBroker(WELCOME)
    with running(kei, broker.port):
        wait_until(lambda: broker.connections, 10, "a connection")
        asked = {
            each for each in ("homeassistant/status", "ha/status") if broker.is_asked_for(each)
        }
        assert asked == topics
    broker.close()


@needs_mosquitto
def test_a_real_broker_is_told_again_for_home_assistant_and_keeps_nothing_of_an_old_name(
    home: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BIRTH_SPREAD_S", 0.1)
    monkeypatch.setattr(speaker, "SUBSCRIBE_S", 0.2)
    kei = home()
    kei.clock = SystemClock()  # type: ignore[assignment]  # of the values' ages
    kei.comes("E0", "1.5")
    site = "homeassistant/device/kei_site_house-07/config"
    with mosquitto(tmp_path) as port, listener(port) as ear:
        with running(kei, port):
            ear.wait_for(lambda: len(ear.of("kei/house-07/BR/E0")) > 1, "the value, told twice")
            so_far = len(ear.of(site))
            ear.publish("homeassistant/status", "offline")
            ear.publish("homeassistant/status", "online")
            ear.wait_for(lambda: len(ear.of(site)) > so_far, "the device again")
        ear.wait_for(lambda: ear.of("kei/house-07/status")[-1] == "offline", "the leave")
        with running(kei, port, site="house-08"):
            ear.wait_for(lambda: ear.of("kei/house-07/BR/E0")[-1] == "", "the old topics forgotten")
            ear.wait_for(lambda: ear.of("kei/house-08/BR/E0"), "a value")
        with listener(port) as late:
            late.wait_for(lambda: late.of("kei/house-08/status"), "what is retained")
            assert not [topic for topic, _, _ in late.heard if "house-07" in topic]


def test_after_a_message_that_is_too_long_it_does_not_listen_any_more(
    home: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
    broker = OddBroker(WELCOME + LONG)
    with capture_logs() as lines, running(home(), broker.port):
        wait_until(lambda: lines, 10, "the reason")
        broker.greeting = WELCOME
        assert not broker.is_asked_for("homeassistant/status")
    broker.close()
    (reason,) = (each["reason"] for each in lines if each["event"] == "mqtt_unavailable")
    assert "does not hear Home Assistant start" in reason
    assert "another client" not in reason


def test_two_with_one_name_are_told_so_and_do_not_fill_the_log(
    home: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    broker = OddBroker(WELCOME)
    with capture_logs() as lines, running(home(), broker.port) as publisher:
        wait_until(lambda: publisher.status().connected, 10, "a connection")
        for count in (2, 3):
            broker.drop()
            wait_until(partial(lambda count: broker.connections >= count, count), 10, "the next")
            wait_until(lambda: publisher.status().connected, 10, "another connection")
    broker.close()
    assert [each["event"] for each in lines] == ["mqtt_connected", "mqtt_unavailable"]
    assert "has another client the id kei-house-07?" in str(lines[1]["reason"])


def test_a_mistake_of_ours_ends_no_thread(home: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.01)
    kei = home()
    calls = []

    def newest() -> dict[tuple[str, str], Reading]:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return {}

    broker = OddBroker(WELCOME)
    with running(kei, broker.port, replace(kei.sources(), newest=newest)) as publisher:
        wait_until(lambda: len(calls) > 1 and publisher.status().connected, 10, "another try")
        assert broker.connections == 2
    broker.close()


def test_a_thread_that_died_can_be_started_again(home: Make) -> None:
    kei = home()
    sources = replace(kei.sources(), clock=SystemClock())
    assert kei.config.mqtt is not None
    broker = OddBroker(WELCOME)
    settings = replace(kei.config.mqtt, host="127.0.0.1", port=broker.port)
    publisher = Publisher(settings, "house-07", sources, random.Random(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "__init__", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publisher.run()
    thread = threading.Thread(target=publisher.run)
    thread.start()
    wait_until(lambda: publisher.status().connected, 10, "a connection")
    publisher.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    broker.close()
