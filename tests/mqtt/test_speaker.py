"""What a broker is told, by the rules of Home Assistant and of the contract."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from mqtt_support import METER, OTHER_METER, Home, by_topic, said
from programs import BROUTE_ID

from kei.core.errors import StoreError
from kei.mqtt.messages import Message
from kei.mqtt.sources import MeterNow
from kei.mqtt.speaker import Speaker

Make = Callable[..., Home]
METER_CONFIG = f"homeassistant/device/kei_{METER.lower()}/config"
SITE_CONFIG = "homeassistant/device/kei_site_house-07/config"
BASE = "kei/house-07"


def document(message: Message) -> dict[str, Any]:
    found = json.loads(message.payload)
    assert isinstance(found, dict)
    return found


def everything(home: Home) -> Speaker:
    for sensor, value in (("E7", "512"), ("E8R", "3.5"), ("E8T", "-0.4"), ("E0", "100.1")):
        home.comes(sensor, value)
    home.comes("E3", "0.3")
    return home.speaker()


def test_values_are_json_with_their_time_and_only_registers_are_retained(home: Make) -> None:
    kei = home()
    told = by_topic(said(everything(kei)))
    power, energy = told[f"{BASE}/BR/E7"], told[f"{BASE}/BR/E0"]
    assert (power.qos, power.retain, energy.qos, energy.retain) == (0, False, 1, True)
    assert document(power)["value"] == 512
    assert document(energy) == {"value": 100.1, "time": document(power)["time"]}
    time = datetime.fromisoformat(document(power)["time"])
    assert time.utcoffset() is not None
    assert round(time.timestamp() * 1000) == kei.clock.now_ms()
    assert told[f"{BASE}/status"].payload == b"online"
    assert told[f"{BASE}/status"].retain


def test_the_device_of_the_meter_is_what_home_assistant_wants(home: Make) -> None:
    told = by_topic(said(everything(home())))[METER_CONFIG]
    device = document(told)
    assert (told.qos, told.retain) == (1, True)
    assert device["dev"]["ids"] == [f"kei_{METER.lower()}"]
    assert device["o"]["name"] == "kei"
    assert [each["t"] for each in device["avty"]] == [f"{BASE}/status", f"{BASE}/meter/status"]
    assert device["avty_mode"] == "all"
    parts = device["cmps"]
    assert list(parts) == ["E0", "E3", "E7", "E8R", "E8T", "signal"]
    assert {
        name: (each["dev_cla"], each["stat_cla"], each["unit_of_meas"])
        for name, each in parts.items()
    } == {
        "E0": ("energy", "total_increasing", "kWh"),
        "E3": ("energy", "total_increasing", "kWh"),
        "E7": ("power", "measurement", "W"),
        "E8R": ("current", "measurement", "A"),
        "E8T": ("current", "measurement", "A"),
        "signal": ("signal_strength", "measurement", "dBm"),
    }
    assert {name: each.get("exp_aft") for name, each in parts.items()} == {
        "E0": None,
        "E3": None,
        "E7": 60,
        "E8R": 60,
        "E8T": 60,
        "signal": 180,
    }
    assert parts["signal"]["ent_cat"] == "diagnostic"
    assert len({each["unique_id"] for each in parts.values()}) == len(parts)
    for each in parts.values():
        assert each["p"] == "sensor"
        assert re.fullmatch(r"[A-Za-z0-9_-]+", each["unique_id"])
        assert re.fullmatch(r"[a-z0-9_]+", each["object_id"])
        assert each["default_entity_id"] == f"sensor.{each['object_id']}"
    assert BROUTE_ID.lower() not in told.payload.decode().lower()


def test_the_device_of_a_site_has_what_its_boards_send_and_problems(home: Make) -> None:
    kei = home('[site]\nname = "a.b"\n[[serial]]\nport = "/dev/x"\nstale_after = "10m"\n[mqtt]\n')
    kei.meter = None
    kei.comes("1_T", "20.5", unit="A")
    kei.comes("T", "21", unit="A_1")
    told = by_topic(said(kei.speaker()))
    device = document(told["homeassistant/device/kei_site-a-_b/config"])
    assert [each["t"] for each in device["avty"]] == ["kei/a.b/status"]
    assert list(device["cmps"]) == ["problem", "A_1_T", "A-u1_T"]
    assert device["cmps"]["problem"]["p"] == "binary_sensor"
    assert device["cmps"]["problem"]["dev_cla"] == "problem"
    assert device["cmps"]["A_1_T"]["stat_t"] == "kei/a.b/A/1_T"
    assert device["cmps"]["A_1_T"]["exp_aft"] == 600
    assert document(told["kei/a.b/A/1_T"])["value"] == 20.5
    assert not told["kei/a.b/A/1_T"].retain


def test_on_connecting_old_live_values_are_left_out_and_registers_told(home: Make) -> None:
    kei = home()
    kei.recorded = [kei.reading("E0", "99.9", age_s=86_400), kei.reading("E7", "7", age_s=86_400)]
    kei.comes("E8R", "1.0", age_s=31)
    kei.comes("E8T", "1.1", age_s=29)
    told = by_topic(said(kei.speaker()))
    assert f"{BASE}/BR/E0" in told
    assert f"{BASE}/BR/E8T" in told
    assert f"{BASE}/BR/E7" not in told
    assert f"{BASE}/BR/E8R" not in told
    assert {"E0", "E7", "E8R", "E8T"} < document(told[METER_CONFIG])["cmps"].keys()


@pytest.mark.parametrize(("age_s", "is_trusted"), [(5, False), (-3600, True)])
def test_a_live_value_of_an_earlier_kei_is_not_told_by_a_clock_that_is_or_was_wrong(
    home: Make, age_s: float, *, is_trusted: bool
) -> None:
    kei = home()
    kei.is_time_trusted = is_trusted
    kei.recorded = [
        replace(kei.reading(sensor, "7", age_s=age_s), monotonic_ms=None) for sensor in ("E7", "E0")
    ]
    told = by_topic(said(kei.speaker()))
    assert f"{BASE}/BR/E0" in told
    assert f"{BASE}/BR/E7" not in told


def test_by_a_clock_that_is_wrong_no_board_has_gone(home: Make) -> None:
    kei = home('[site]\nname = "house-07"\n[[serial]]\nport = "/dev/x"\n[mqtt]\n')
    kei.meter, kei.is_time_trusted = None, False
    recorded = kei.reading("T1", "20", unit="A1", age_s=30 * 86_400)
    kei.recorded = [replace(recorded, monotonic_ms=None)]
    told = by_topic(said(kei.speaker()))
    assert "A1_T1" in document(told[SITE_CONFIG])["cmps"]
    assert "kei/house-07/A1/T1" not in told


def test_no_board_speaks_for_the_meter(home: Make) -> None:
    kei = home()
    kei.comes("status", "1", unit="meter")
    assert by_topic(said(kei.speaker()))[f"{BASE}/meter/status"].payload == b"online"


def test_values_are_told_once_and_what_a_slow_broker_misses_is_not_kept(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    kei.clock.advance(5)
    said(speaker)  # again, as a device was told
    assert said(speaker) == []
    for watt in range(100):
        kei.clock.advance(1)
        kei.comes("E7", str(watt))
        speaker.look()
    power = [each for each in said(speaker) if each.topic == f"{BASE}/BR/E7"]
    assert [document(each)["value"] for each in power] == [99]


def test_who_starts_to_listen_after_a_device_was_told_hears_its_values(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    kei.clock.advance(3)
    assert {f"{BASE}/BR/E7", f"{BASE}/BR/E0", f"{BASE}/health"} <= by_topic(said(speaker)).keys()


def test_home_assistant_that_starts_gets_all_of_it_again(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    kei.clock.advance(25)
    said(speaker)
    speaker.introduce()
    told = by_topic(said(speaker))
    expected = {METER_CONFIG, SITE_CONFIG, f"{BASE}/BR/E7", f"{BASE}/BR/E0", f"{BASE}/health"}
    assert expected | {f"{BASE}/meter/status"} <= told.keys()


def test_a_clock_that_is_likely_wrong_tells_no_time(home: Make) -> None:
    kei = home()
    kei.is_time_trusted = False
    assert document(by_topic(said(everything(kei)))[f"{BASE}/BR/E7"])["time"] is None


def test_health_is_told_each_minute_and_not_retained(home: Make) -> None:
    kei = home()
    kei.problems = ("stale_readings: too old: E7 (5 min)",)
    speaker = kei.speaker()
    message = by_topic(said(speaker))[f"{BASE}/health"]
    assert not message.retain
    assert document(message) == {
        "version": "1.2.3",
        "rssi_dbm": -60.0,
        "cpu_celsius": None,
        "problems": ["stale_readings: too old: E7 (5 min)"],
    }
    told = []
    for _ in range(180):
        kei.clock.advance(1)
        told += [each for each in said(speaker) if each.topic == f"{BASE}/health"]
    assert len(told) == 3  # the first of them 3 s after the device was told


@pytest.mark.parametrize(("cycle_s", "limit_s"), [(1, 15), (10, 30), (300, 45)])
def test_a_meter_that_does_not_answer_is_offline_in_time(
    home: Make, cycle_s: int, limit_s: int
) -> None:
    kei = home()
    assert kei.config.broute is not None
    groups = (replace(kei.config.broute.requests[0], cycle_s=float(cycle_s)),)
    kei.config = replace(kei.config, broute=replace(kei.config.broute, requests=groups))
    speaker = kei.speaker()
    topic = f"{BASE}/meter/status"
    assert by_topic(said(speaker))[topic].payload == b"online"
    kei.clock.advance(limit_s + 1)
    if 3 * cycle_s > limit_s:
        assert topic not in by_topic(said(speaker)), "it was not asked meanwhile"
        kei.session(missed=1)
    assert by_topic(said(speaker))[topic].payload == b"offline"
    kei.answers()
    assert by_topic(said(speaker))[topic].payload == b"online"
    kei.session(joined=False)
    kei.clock.advance(limit_s - 1)
    assert topic not in by_topic(said(speaker))
    kei.clock.advance(2)
    assert by_topic(said(speaker))[topic].payload == b"offline"


def test_what_the_meter_cannot_be_asked_is_no_fastest_request(home: Make) -> None:
    kei = home()
    kei.meter = replace(kei.meter_there, readable=frozenset({0xE0, 0xE3}))  # each five minutes
    speaker = kei.speaker()
    said(speaker)
    kei.clock.advance(899)
    assert f"{BASE}/meter/status" not in by_topic(said(speaker))
    kei.clock.advance(2)
    assert by_topic(said(speaker))[f"{BASE}/meter/status"].payload == b"offline"


def test_a_property_that_is_asked_no_more_is_deleted_with_what_was_retained(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    assert kei.config.broute is not None
    *others, energy = kei.config.broute.requests
    groups = (*others, replace(energy, epcs=(0xE0,)))
    kei.config = replace(kei.config, broute=replace(kei.config.broute, requests=groups))
    told = said(speaker)
    deleting, after = (document(each)["cmps"] for each in told if each.topic == METER_CONFIG)
    assert deleting["E3"] == {"p": "sensor"}
    assert "E3" not in after
    assert "E0" in deleting
    assert "E0" in after
    assert f"{BASE}/BR/E3" not in by_topic(told), "Home Assistant still listens"
    kei.clock.advance(3)
    told = said(speaker)
    (forgotten,) = (each for each in told if each.topic == f"{BASE}/BR/E3")
    assert (forgotten.payload, forgotten.retain) == (b"", True)


def test_what_is_to_be_deleted_is_deleted_after_a_lost_connection_and_a_kill(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    assert kei.config.broute is not None
    *others, energy = kei.config.broute.requests
    groups = (*others, replace(energy, epcs=(0xE0,)))
    kei.config = replace(kei.config, broute=replace(kei.config.broute, requests=groups))
    speaker.look()  # and the broker gets nothing of it
    speaker.end()
    speaker.begin()
    for telling in (speaker, kei.speaker()):
        telling.look()
        told = []
        while (message := telling.outbox.take()) is not None:
            told.append(message)
        deleting = next(each for each in told if each.topic == METER_CONFIG)
        assert document(deleting)["cmps"]["E3"] == {"p": "sensor"}
        kei.clock.advance(3)
        telling.look()
        told = []
        while (message := telling.outbox.take()) is not None:
            told.append(message)
        assert by_topic(told)[f"{BASE}/BR/E3"].payload == b""


def test_what_the_meter_lacks_after_a_restart_is_deleted_then(home: Make) -> None:
    kei = home()
    said(everything(kei))
    kei.meter = MeterNow(METER, 0.0, frozenset({0xE0, 0xE7, 0xE8}), kei.meter_there.session)
    told = [each for each in said(kei.speaker()) if each.topic == METER_CONFIG]
    assert document(told[0])["cmps"]["E3"] == {"p": "sensor"}
    assert "E3" not in document(told[1])["cmps"]


def test_a_value_that_has_not_come_yet_after_a_restart_deletes_nothing(home: Make) -> None:
    kei = home()
    said(everything(kei))
    kei.newest.clear()
    told = [each for each in said(kei.speaker()) if each.topic == METER_CONFIG]
    assert len(told) == 1
    kei.comes("E3", "0.4")
    speaker = kei.speaker()
    (config,) = (each for each in said(speaker) if each.topic == METER_CONFIG)
    assert list(document(config)["cmps"]) == ["E3", "signal"]
    kei.meter = replace(kei.meter_there, readable=frozenset({0xE3}))
    told = [each for each in said(speaker) if each.topic == METER_CONFIG]
    assert document(told[0])["cmps"]["E7"] == {"p": "sensor"}, (
        "it was told before, and only not known meanwhile"
    )


@pytest.mark.parametrize("restarted", [False, True])
def test_another_meter_is_another_device_and_nothing_of_the_old_one_is_told(
    home: Make, *, restarted: bool
) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    if restarted:
        kei.recorded, kei.newest = list(kei.newest.values()), {}
        speaker = kei.speaker()
    kei.clock.advance(100)
    kei.meter = MeterNow(OTHER_METER, kei.clock.monotonic(), None, kei.meter_there.session)
    kei.clock.advance(1)
    kei.comes("E0", "0.2")
    told = said(speaker)
    config = f"homeassistant/device/kei_{OTHER_METER.lower()}/config"
    assert by_topic(told)[METER_CONFIG].payload == b""
    assert not {config, f"{BASE}/BR/E0", f"{BASE}/BR/E3"} & by_topic(told).keys()
    kei.clock.advance(3)
    told = said(speaker)
    assert list(document(by_topic(told)[config])["cmps"]) == ["E0", "signal"]
    order = [each.topic for each in told]
    assert order.index(f"{BASE}/BR/E0") < order.index(config)
    assert document(by_topic(told)[f"{BASE}/BR/E0"])["value"] == 0.2
    assert by_topic(told)[f"{BASE}/BR/E3"].payload == b""
    kei.clock.advance(5)
    assert f"{BASE}/BR/E3" not in by_topic(said(speaker))


def test_a_stamped_value_of_the_meter_before_is_not_told_of_the_next(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    kei.newest["BR", "EA"] = replace(kei.reading("EA", "100.5"), monotonic_ms=None)
    assert f"{BASE}/BR/EA" in by_topic(said(speaker))
    kei.clock.advance(100)
    kei.meter = MeterNow(OTHER_METER, kei.clock.monotonic(), None, kei.meter_there.session)
    said(speaker)
    kei.clock.advance(3)
    assert by_topic(said(speaker))[f"{BASE}/BR/EA"].payload == b""
    kei.newest["BR", "EA"] = replace(kei.reading("EA", "0.5"), monotonic_ms=None)
    assert document(by_topic(said(speaker))[f"{BASE}/BR/EA"])["value"] == 0.5


def test_what_the_next_meter_has_measured_while_the_broker_was_away_is_told(home: Make) -> None:
    kei = home()
    speaker = everything(kei)
    said(speaker)
    speaker.end()
    kei.clock.advance(100)
    kei.meter = MeterNow(OTHER_METER, kei.clock.monotonic(), None, kei.meter_there.session)
    kei.clock.advance(3600)
    kei.newest["BR", "EA"] = replace(kei.reading("EA", "0.5"), monotonic_ms=None)
    speaker.begin()
    said(speaker)
    kei.clock.advance(3)
    assert document(by_topic(said(speaker))[f"{BASE}/BR/EA"])["value"] == 0.5


def test_a_meter_that_is_not_joined_yet_is_the_one_of_before(home: Make) -> None:
    kei = home()
    said(everything(kei))
    kei.meter = MeterNow("", 0.0, None, replace(kei.meter_there.session, joined=False, answered=0))
    told = by_topic(said(kei.speaker()))
    assert "E7" in document(told[METER_CONFIG])["cmps"]
    assert told[f"{BASE}/meter/status"].payload == b"offline"


def test_without_a_meter_any_more_the_broker_forgets_it(home: Make) -> None:
    kei = home()
    said(everything(kei))
    kei.config = replace(kei.config, broute=None)
    kei.meter = None
    speaker = kei.speaker()
    told = by_topic(said(speaker))
    kei.clock.advance(3)
    told |= by_topic(said(speaker))
    for topic in (METER_CONFIG, f"{BASE}/meter/status", f"{BASE}/BR/E0", f"{BASE}/BR/E3"):
        assert (told[topic].payload, told[topic].retain) == (b"", True)


def test_another_name_or_prefix_leaves_nothing_behind(home: Make) -> None:
    kei = home()
    said(everything(kei))
    assert kei.config.mqtt is not None
    kei.config = replace(
        kei.config,
        site=replace(kei.config.site, name="house-08"),
        mqtt=replace(kei.config.mqtt, discovery=""),
    )
    speaker = kei.speaker()
    told = by_topic(said(speaker))
    kei.clock.advance(3)
    told |= by_topic(said(speaker))
    gone = {topic for topic, message in told.items() if message.payload == b"" and message.retain}
    left = {METER_CONFIG, SITE_CONFIG, f"{BASE}/status", f"{BASE}/meter/status"}
    assert gone == left | {f"{BASE}/BR/E0", f"{BASE}/BR/E3"}
    assert f"{BASE.replace('7', '8')}/BR/E0" in told


def test_a_board_that_was_taken_away_is_deleted_after_a_week(home: Make) -> None:
    kei = home('[site]\nname = "house-07"\n[[serial]]\nport = "/dev/x"\n[mqtt]\n')
    kei.meter = None
    kei.comes("T1", "20", unit="A1")
    speaker = kei.speaker()
    assert "A1_T1" in document(by_topic(said(speaker))[SITE_CONFIG])["cmps"]
    kei.clock.advance(7 * 86_400 - 1)
    assert SITE_CONFIG not in by_topic(said(speaker))
    kei.clock.advance(2)
    told = [each for each in said(speaker) if each.topic == SITE_CONFIG]
    assert [document(each)["cmps"].get("A1_T1") for each in told] == [{"p": "sensor"}, None]


def test_a_half_hour_value_of_before_never_follows_a_newer_one(home: Make) -> None:
    kei = home()
    stamped = replace(kei.reading("EA", "100.5"), monotonic_ms=None)
    kei.recorded = [stamped]
    kei.newest["BR", "EA"] = replace(
        stamped, time_ms=stamped.time_ms - 1_800_000, value=stamped.value - 1
    )
    assert document(by_topic(said(kei.speaker()))[f"{BASE}/BR/EA"])["value"] == 100.5


def test_a_disk_that_cannot_be_read_keeps_nothing_from_being_told(home: Make) -> None:
    kei = home()
    speaker = everything(kei)

    def fails() -> list[Any]:
        raise StoreError("damaged")

    sources = replace(kei.sources(), recorded=fails)
    assert kei.config.mqtt is not None
    speaker = Speaker(kei.config.mqtt, "house-07", sources)
    speaker.begin()
    assert f"{BASE}/BR/E7" in by_topic(said(speaker))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"meter": 1}', '{"meter": "", "devices": 1, "retained": []}']
)
def test_a_memory_that_is_damaged_is_none(home: Make, text: str) -> None:
    kei = home()
    kei.memory["mqtt.told"] = text
    assert METER_CONFIG in by_topic(said(everything(kei)))


def test_of_too_many_series_only_some_become_entities(home: Make) -> None:
    kei = home('[site]\nname = "house-07"\n[[serial]]\nport = "/dev/x"\n[mqtt]\n')
    kei.meter = None
    for number in range(300):
        kei.comes(f"T{number}", "1", unit="A1")
    told = by_topic(said(kei.speaker()))
    assert len(document(told[SITE_CONFIG])["cmps"]) == 200 + 1
    assert f"{BASE}/A1/T299" in told
