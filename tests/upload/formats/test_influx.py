"""Line protocol, read back by a small parser of its own."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from any_rows import many_rows
from hypothesis import given
from hypothesis import strategies as st
from upload_support import ORIGIN, TARGET, reading_row

from kei.core.reading import Reading, Summary, plain
from kei.core.secret import Secret
from kei.store.rows import Row
from kei.upload.formats.influx import InfluxFormat, tag_text
from kei.upload.health import Health

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

FORM = InfluxFormat(replace(TARGET, upload_key=None), replace(ORIGIN, source="raspi"))


def split(text: str, at: str) -> list[str]:
    """Split at a character that no backslash stands before."""
    return re.split(rf"(?<!\\){at}", text)


def parse(line: str) -> tuple[str, dict[str, str], dict[str, str], int]:
    """Read a line as InfluxDB does: measurement, tags, fields, time."""
    key, fields, time = split(line, " ")
    measurement, *tags = split(key, ",")
    pairs = (split(tag, "=") for tag in tags)
    unescaped = {name: re.sub(r"\\([,= ])", r"\1", text) for name, text in pairs}
    return measurement, unescaped, dict(field.split("=") for field in fields.split(",")), int(time)


def lines_of(form: InfluxFormat, rows: list[Row]) -> list[str]:
    batch = form.batch(rows, 100_000)
    assert batch is not None
    text = batch.body.decode()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def test_a_reading_as_the_contract_has_it() -> None:
    row = Row(1, Reading(1_700_000_000_000, "BR", "E7", Decimal(512), "x"))
    assert lines_of(FORM, [row]) == ["kei,source=raspi,unit=BR,sensor=E7 value=512 1700000000000"]


def test_a_summary_as_the_contract_has_it() -> None:
    summary = Summary(1_700_000_400_000, "BR", "E7", Decimal("1.5"), Decimal(1), Decimal(2), 60)
    assert lines_of(FORM, [Row(1, summary)]) == [
        "kei_summary,source=raspi,unit=BR,sensor=E7 average=1.5,min=1,max=2,count=60 1700000400000"
    ]


@given(rows=many_rows, source=st.text(max_size=20))
def test_every_row_can_be_read_back(rows: list[Row], source: str) -> None:
    lines = lines_of(InfluxFormat(TARGET, replace(ORIGIN, source=source)), rows)
    for row, line in zip(rows, lines, strict=True):
        measurement, tags, fields, time_ms = parse(line)
        item = row.item
        assert (tags["unit"], tags["sensor"]) == (item.unit, item.sensor)
        if isinstance(item, Reading):
            assert (measurement, time_ms) == ("kei", item.time_ms)
            assert fields == {"value": plain(item.value)}
        else:
            assert (measurement, time_ms) == ("kei_summary", item.start_ms)
            assert list(fields) == ["average", "min", "max", "count"]


@given(
    text=st.text(
        st.characters(exclude_characters="\\", exclude_categories=("C", "Z"))
        | st.sampled_from(" ,=")
    )
)
def test_a_tag_survives_escaping(text: str) -> None:
    _, tags, _, _ = parse(f"kei,source={tag_text(text)} value=1 0")
    assert tags["source"] == text


@given(rows=many_rows)
def test_no_number_is_ever_an_integer_of_influx(rows: list[Row]) -> None:
    for line in lines_of(FORM, rows):
        fields = parse(line)[2]
        assert all(re.fullmatch(r"-?\d+(\.\d+)?", number) for number in fields.values())


def test_what_no_server_agrees_on_is_replaced() -> None:
    assert tag_text("a\\b\nc") == "a_b_c"


def test_an_empty_source_gives_no_tag() -> None:
    [line] = lines_of(InfluxFormat(TARGET, replace(ORIGIN, source="")), [reading_row(1)])
    assert line.startswith("kei,unit=BR,")


def test_the_key_is_a_token() -> None:
    target = replace(TARGET, upload_key=Secret("user:pw"))
    batch = InfluxFormat(target, ORIGIN).batch([reading_row(1)], 1000)
    assert batch is not None
    assert batch.headers["Authorization"] == "Token user:pw"


HEALTH = Health("1.2.3", {"session_up": 1, "lqi": None, "rssi_dbm": -42.4}, 1_700_000_000_000)


def test_health_as_the_contract_has_it() -> None:
    line = b"kei_health,source=raspi,version=1.2.3 session_up=1,rssi_dbm=-42.4 1700000000000\n"
    assert FORM.with_health(None, HEALTH).body == line
    batch = FORM.batch([reading_row(1)], 1000)
    assert batch is not None
    both = FORM.with_health(batch, HEALTH)
    assert both == replace(batch, body=batch.body + line)


def test_health_of_a_kei_with_a_wrong_clock_has_the_time_of_the_server() -> None:
    assert FORM.with_health(None, replace(HEALTH, time_ms=None)).body.endswith(b"rssi_dbm=-42.4\n")
