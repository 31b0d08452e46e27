"""The histories of a meter: by day, by half-hours, by minutes."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.errors import Malformed
from kei.echonet.history import (
    HALF_HOUR,
    MINUTE,
    DayHistory,
    Registers,
    Selector,
    decode_day,
    decode_day_history,
    decode_segments,
    decode_selector,
    encode_day,
)

NO_DATA = "FFFFFFFE"
# Of a real meter, 11 days ago.
REAL_DAY = (
    "000B0000F7660000F7680000F76A0000F76C0000F76D0000F76F0000F7700000F7720000F7740000F7760000F777"
    "0000F7790000F77A0000F77C0000F77E0000F7800000F7810000F7830000F7840000F7860000F7880000F7890000"
    "F78B0000F78D0000F78E0000F7900000F7920000F7930000F7950000F7960000F7980000F79A0000F79C0000F79D"
    "0000F79F0000F7A00000F7A20000F7A40000F7A60000F7A70000F7A90000F7AB0000F7AD0000F7AF0000F7B00000"
    "F7B20000F7B40000F7B6"
)
HALF_PAST_TWELVE = datetime.fromisoformat("2024-01-15T12:30:00+09:00")


def test_a_day_of_a_real_meter_is_read() -> None:
    history = decode_day_history(bytes.fromhex(REAL_DAY))
    assert history.days_ago == 11
    assert (len(history.counts), history.counts[0], history.counts[47]) == (48, 0xF766, 0xF7B6)


def test_before_a_day_is_set_there_are_no_values() -> None:
    history = decode_day_history(bytes.fromhex("00FF" + NO_DATA * 48))
    assert history == DayHistory(None, (None,) * 48)
    assert decode_day(b"\xff") is None


def test_half_hours_that_are_not_over_have_no_value() -> None:
    history = decode_day_history(bytes.fromhex("0000" + "0001AB25" * 26 + NO_DATA * 22))
    assert history == DayHistory(0, (0x1AB25,) * 26 + (None,) * 22)


def test_a_selector_of_half_hours_is_written_in_the_meters_time() -> None:
    utc = datetime.fromisoformat("2024-01-15T03:30:00+00:00")
    assert Selector(utc, 3).encode().hex().upper() == "07E8010F0C1E03"
    assert decode_selector(bytes.fromhex("07E8010F0C1E03")) == Selector(HALF_PAST_TWELVE, 3)
    assert decode_selector(bytes.fromhex("FFFFFFFFFFFF01")) is None


def test_half_hours_come_newest_first_in_both_directions() -> None:
    edt = "07E8010F0C1E030001AB250000A5440001AB1F0000A544" + NO_DATA * 2
    selector, found = decode_segments(bytes.fromhex(edt), HALF_HOUR)
    assert selector == Selector(HALF_PAST_TWELVE, 3)
    assert found == (
        Registers(HALF_PAST_TWELVE, 0x1AB25, 0xA544),
        Registers(HALF_PAST_TWELVE - timedelta(minutes=30), 0x1AB1F, 0xA544),
        Registers(HALF_PAST_TWELVE - timedelta(minutes=60), None, None),
    )


def test_minutes_come_newest_first() -> None:
    edt = bytes.fromhex("07E8010F0C220200A6DAA700408E9C00A6DA9E00408E9C")
    _, found = decode_segments(edt, MINUTE)
    assert [(each.at.minute, each.normal) for each in found] == [(34, 10934951), (33, 10934942)]


def test_no_half_hours_before_a_time_is_set() -> None:
    assert decode_segments(bytes.fromhex("FFFFFFFFFFFF01" + NO_DATA * 2), HALF_HOUR) == (None, ())


@pytest.mark.parametrize("days", [-1, 100, 255])
def test_no_day_is_asked_for_that_no_meter_remembers(days: int) -> None:
    with pytest.raises(ValueError, match="remembers"):
        encode_day(days)


@given(st.integers(0, 99))
def test_a_day_that_is_set_is_read_back(days: int) -> None:
    assert decode_day(encode_day(days)) == days


@given(st.binary(max_size=256))
def test_any_bytes_are_read_or_malformed(edt: bytes) -> None:
    for read in (
        decode_day,
        decode_day_history,
        decode_selector,
        lambda data: decode_segments(data, HALF_HOUR),
    ):
        try:
            read(edt)
        except Malformed:
            continue
