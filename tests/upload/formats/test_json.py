"""The JSON body: times with offset, numbers with their exact digits."""

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from any_rows import many_rows
from hypothesis import given
from upload_support import ORIGIN, TARGET, reading_row

from kei.core.clock import epoch_ms
from kei.core.reading import Reading, Summary, plain
from kei.core.secret import Secret
from kei.store.rows import Row
from kei.upload.formats.json import JsonFormat
from kei.upload.health import Health

FORM = JsonFormat(replace(TARGET, upload_key=Secret("key")), replace(ORIGIN, source='a "host"'))


def body_of(rows: list[Row]) -> str:
    batch = FORM.batch(rows, 100_000)
    assert batch is not None
    return batch.body.decode()


def test_a_reading_as_the_contract_has_it() -> None:
    row = Row(1, Reading(1_700_000_000_000, "BR", "E7", Decimal(512), "x"))
    assert json.loads(body_of([row])) == {
        "source": 'a "host"',
        "readings": [
            {
                "time": "2023-11-15T07:13:20+09:00",
                "unit": "BR",
                "sensor": "E7",
                "value": 512,
                "id": "x",
            }
        ],
    }


def test_a_summary_as_the_contract_has_it() -> None:
    summary = Summary(1_700_000_400_000, "BR", "E7", Decimal("1.5"), Decimal(1), Decimal(2), 60)
    assert json.loads(body_of([Row(1, summary)])) == {
        "source": 'a "host"',
        "summaries": [
            {
                "time": "2023-11-15T07:20:00+09:00",
                "unit": "BR",
                "sensor": "E7",
                "average": 1.5,
                "min": 1,
                "max": 2,
                "count": 60,
            }
        ],
    }


def test_numbers_keep_the_digits_of_the_files() -> None:
    row = Row(1, Reading(0, "BR", "E0", Decimal("12345678901234567.1000"), "x"))
    assert '"value":12345678901234567.1000,' in body_of([row])


def test_milliseconds_are_written_when_there_are_any() -> None:
    row = Row(1, Reading(1_700_000_000_007, "A1", "T1", Decimal(1), "0"))
    assert '"2023-11-15T07:13:20.007+09:00"' in body_of([row])


@pytest.mark.usefixtures("unmeasured")  # a property
@given(rows=many_rows)
def test_every_row_can_be_read_back(rows: list[Row]) -> None:
    document = json.loads(body_of(rows), parse_float=Decimal, parse_int=Decimal)
    [items] = [document[name] for name in ("readings", "summaries") if name in document]
    for row, item in zip(rows, items, strict=True):
        time_ms = epoch_ms(datetime.fromisoformat(item["time"]))
        if isinstance(row.item, Reading):
            assert time_ms == row.item.time_ms
            assert plain(item["value"]) == plain(row.item.value)
        else:
            assert time_ms == row.item.start_ms
            numbers = [item["average"], item["min"], item["max"], item["count"]]
            assert numbers == [
                row.item.average,
                row.item.minimum,
                row.item.maximum,
                row.item.count,
            ]


def test_the_key_is_a_bearer_token() -> None:
    batch = FORM.batch([reading_row(1)], 1000)
    assert batch is not None
    assert batch.headers["Authorization"] == "Bearer key"


def test_without_a_key_nothing_is_claimed() -> None:
    batch = JsonFormat(replace(TARGET, upload_key=None), ORIGIN).batch([reading_row(1)], 1000)
    assert batch is not None
    assert "Authorization" not in batch.headers


def test_health_as_the_contract_has_it() -> None:
    health = Health("1.2.3", {"session_up": 1, "lqi": None, "rssi_dbm": -42.4}, 1)
    told = {"version": "1.2.3", "session_up": 1, "rssi_dbm": -42.4}
    form = JsonFormat(TARGET, ORIGIN)
    assert json.loads(form.with_health(None, health).body) == {"source": "host", "health": told}
    batch = form.batch([reading_row(1)], 1000)
    assert batch is not None
    both = form.with_health(batch, health)
    assert json.loads(both.body) == json.loads(batch.body) | {"health": told}
    assert both.headers["Idempotency-Key"] == batch.headers["Idempotency-Key"]
