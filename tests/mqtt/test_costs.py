"""What Home Assistant is told of the bill and the price: what is known, and only while it is."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from mqtt_support import Home, by_topic, said
from tariffs import STEPS, tariff

from kei.core.errors import ConfigError, KeiError, StoreError
from kei.meter.figures import Figures, Sum
from kei.mqtt.messages import Message
from kei.mqtt.speaker import SUBSCRIBE_S, Speaker

SITE_CONFIG = "homeassistant/device/kei_site_house-07/config"
COST, PRICE = "kei/house-07/cost", "kei/house-07/price"
MONTH = Sum(start_ms=1_762_700_400_000, until_ms=1_764_000_000_000, cost=Decimal(3456))
KNOWN = Figures(period=MONTH, price=Decimal("33.98"))
Make = Callable[..., Home]


@pytest.fixture
def kei(home: Make) -> Home:
    found = home()
    found.config = replace(found.config, tariff=tariff(STEPS))
    found.figures = KNOWN
    return found


def a_minute_later(kei: Home, speaker: Speaker) -> dict[str, Message]:
    kei.clock.advance(61)
    return by_topic(said(speaker))


def components(told: dict[str, Message]) -> dict[str, Any]:
    found = json.loads(told[SITE_CONFIG].payload)["cmps"]
    assert isinstance(found, dict)
    return found


def test_cost_and_price_are_told_as_home_assistant_wants_them(kei: Home) -> None:
    told = by_topic(said(kei.speaker()))
    cost = json.loads(told[COST].payload)
    assert cost["value"] == 3456
    assert cost.keys() == {"value", "from", "until"}
    assert cost["from"] < cost["until"]
    assert json.loads(told[PRICE].payload) == {"value": 33.98}
    assert not told[COST].retain
    assert not told[PRICE].retain
    parts = components(told)
    of_cost, of_price = parts["cost"], parts["price"]
    assert (of_cost["dev_cla"], of_cost["stat_cla"], of_cost["unit_of_meas"]) == (
        "monetary", "total", "JPY",
    )  # fmt: skip
    assert of_cost["last_reset_value_template"] == "{{ value_json['from'] }}"
    assert (of_price["stat_cla"], of_price["unit_of_meas"]) == ("measurement", "JPY/kWh")
    assert "dev_cla" not in of_price
    assert [each["stat_t"] for each in (of_cost, of_price)] == [COST, PRICE]
    assert [each["exp_aft"] for each in (of_cost, of_price)] == [180, 180]
    assert of_cost["default_entity_id"] == "sensor.house_07_cost"


def test_they_are_looked_up_each_minute(kei: Home) -> None:
    speaker = kei.speaker()
    said(speaker)
    kei.clock.advance(SUBSCRIBE_S)  # then Home Assistant listens, and is told again
    assert json.loads(by_topic(said(speaker))[PRICE].payload) == {"value": 33.98}
    kei.figures = Figures(period=MONTH, price=Decimal(40))
    kei.clock.advance(30)
    assert PRICE not in by_topic(said(speaker))
    kei.clock.advance(31)
    assert json.loads(by_topic(said(speaker))[PRICE].payload) == {"value": 40}


def test_what_is_not_known_is_neither_told_nor_an_entity(kei: Home) -> None:
    kei.figures = Figures(period=MONTH)
    speaker = kei.speaker()
    told = by_topic(said(speaker))
    assert COST in told
    assert PRICE not in told
    assert "price" not in components(told)
    kei.figures = KNOWN
    assert "price" in components(a_minute_later(kei, speaker))


@pytest.mark.parametrize("error", [StoreError("no disk"), ConfigError(["jpholiday is missing"])])
def test_a_disk_that_fails_ends_the_values_but_not_the_entities(kei: Home, error: KeiError) -> None:
    speaker = kei.speaker()
    said(speaker)
    kei.figures = error
    told = a_minute_later(kei, speaker)
    assert not {COST, PRICE, SITE_CONFIG} & told.keys()
    assert "kei/house-07/health" in told
    kei.figures = KNOWN
    assert {COST, PRICE} <= a_minute_later(kei, speaker).keys()


def test_a_clock_that_is_wrong_knows_no_bill(kei: Home) -> None:
    kei.is_time_trusted = False
    speaker = kei.speaker()
    told = by_topic(said(speaker))
    assert not {COST, PRICE} & told.keys()
    kei.is_time_trusted = True
    assert {"cost", "price"} <= components(a_minute_later(kei, speaker)).keys()


@pytest.mark.parametrize("table", ["tariff", "broute"])
def test_without_a_tariff_or_a_meter_the_entities_are_deleted_at_once(
    kei: Home, table: str
) -> None:
    speaker = kei.speaker()
    said(speaker)
    kei.config = replace(kei.config, **{table: None})  # type: ignore[arg-type]
    messages = [each for each in said(speaker) if each.topic == SITE_CONFIG]
    deleting, after = (json.loads(each.payload)["cmps"] for each in messages)
    assert deleting["cost"] == deleting["price"] == {"p": "sensor"}
    assert not {"cost", "price"} & after.keys()
    assert not {COST, PRICE} & a_minute_later(kei, speaker).keys()
