"""The table of class 0x0288: values, units, and the codes that mean 'no value'."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.errors import Malformed
from kei.core.reading import plain
from kei.echonet.meter_class import (
    ENERGY_UNITS,
    PROPERTIES,
    TIME_STAMP_BYTES,
    UNIT_OF_SENSOR,
    UNRECORDED,
    Absent,
    Scale,
    Value,
    decode,
)

TENTH = Scale(1, Decimal("0.1"))
WATT_HOUR = Scale(1, Decimal("0.001"))
HALF_PAST_TWELVE = datetime.fromisoformat("2024-01-15T12:30:00+09:00")


def shown(epc: int, edt: str, scale: Scale | None = TENTH) -> list[tuple[str, str]]:
    """The values as they stand in the files; the reason where there is none."""
    return [
        (v.sensor, v.value.value if isinstance(v.value, Absent) else plain(v.value))
        for v in decode(epc, bytes.fromhex(edt), scale)
    ]


@pytest.mark.parametrize(
    ("epc", "edt", "values"),
    [
        (0xD3, "00000001", [("D3", "1")]),
        (0xD3, "000F423F", [("D3", "999999")]),
        (0xD3, "000F4240", [("D3", "out_of_range")]),
        (0xD7, "06", [("D7", "6")]),
        (0xD7, "09", [("D7", "out_of_range")]),
        (0xD7, "00", [("D7", "out_of_range")]),
        (0xE1, "00", [("E1", "1")]),
        (0xE1, "01", [("E1", "0.1")]),
        (0xE1, "04", [("E1", "0.0001")]),
        (0xE1, "0D", [("E1", "10000")]),
        (0xE1, "05", [("E1", "out_of_range")]),
        (0xE0, "0001AB25", [("E0", "10934.9")]),
        (0xE0, "05F5E0FF", [("E0", "9999999.9")]),
        (0xE0, "05F5E100", [("E0", "out_of_range")]),
        (0xE0, "FFFFFFFE", [("E0", "no_data")]),
        (0xE3, "0000A544", [("E3", "4230.8")]),
        (0xE7, "000001F8", [("E7", "504")]),
        (0xE7, "FFFFFA2F", [("E7", "-1489")]),
        (0xE7, "00000000", [("E7", "0")]),
        (0xE7, "80000001", [("E7", "-2147483647")]),
        (0xE7, "7FFFFFFD", [("E7", "2147483645")]),
        (0xE7, "7FFFFFFE", [("E7", "no_data")]),
        (0xE7, "7FFFFFFF", [("E7", "overflow")]),
        (0xE7, "80000000", [("E7", "underflow")]),
        (0xE8, "FFBAFFB0", [("E8R", "-7.0"), ("E8T", "-8.0")]),
        (0xE8, "00147FFE", [("E8R", "2.0"), ("E8T", "no_data")]),
        (0xE8, "7FFF8000", [("E8R", "overflow"), ("E8T", "underflow")]),
    ],
)
def test_values_of_the_table(epc: int, edt: str, values: list[tuple[str, str]]) -> None:
    assert shown(epc, edt) == values


def test_every_property_stands_once_and_its_data_are_as_long_as_its_numbers() -> None:
    assert not set(PROPERTIES) & set(UNRECORDED)
    assert len(UNIT_OF_SENSOR) == sum(len(row.sensors) for row in PROPERTIES.values())
    for row in PROPERTIES.values():
        stamp = TIME_STAMP_BYTES if row.measured_every_s else 0
        assert (row.size - stamp) % len(row.sensors) == 0


def test_energy_is_count_times_coefficient_times_unit() -> None:
    assert shown(0xE0, "00036493", Scale(1, Decimal("0.01"))) == [("E0", "2223.55")]
    assert shown(0xE0, "00000007", Scale(30, Decimal(10))) == [("E0", "2100")]


def test_half_hour_energy_carries_the_time_of_the_meter() -> None:
    edt = bytes.fromhex("07E8010F0C1E000001AB25")
    assert decode(0xEA, edt, TENTH) == (Value("EA", Decimal("10934.9"), HALF_PAST_TWELVE),)


def test_energy_of_a_minute_has_both_directions_with_the_time_of_the_meter() -> None:
    edt, at = "07E8010F0C220000A6DAA7%s", datetime.fromisoformat("2024-01-15T12:34:00+09:00")
    bought = Value("D0", Decimal("10934.951"), at)
    sold = Value("D0R", Decimal("4230.812"), at)
    assert decode(0xD0, bytes.fromhex(edt % "00408E9C"), WATT_HOUR) == (bought, sold)
    without = Value("D0R", Absent.NO_DATA, at)
    assert decode(0xD0, bytes.fromhex(edt % "FFFFFFFE"), WATT_HOUR) == (bought, without)


def test_half_hour_energy_without_a_date_has_no_value() -> None:
    assert shown(0xEB, "FFFFFFFFFFFFFFFFFFFFFE") == [("EB", "no_data")]


def test_half_hour_energy_with_an_impossible_date_is_malformed() -> None:
    with pytest.raises(Malformed, match="no date"):
        decode(0xEA, bytes.fromhex("07E8021F0C1E000001AB25"), TENTH)


@pytest.mark.parametrize(
    "epc", [epc for epc, spec in PROPERTIES.items() if spec.number.needs_scale]
)
def test_energy_before_the_unit_is_known_is_refused(epc: int) -> None:
    with pytest.raises(ValueError, match="before the unit"):
        decode(epc, bytes(PROPERTIES[epc].size), None)


@given(st.sampled_from(sorted(PROPERTIES)), st.binary(max_size=16))
def test_arbitrary_data_is_a_printable_value_or_malformed(epc: int, edt: bytes) -> None:
    try:
        values = decode(epc, edt, TENTH)
    except Malformed:
        return
    for value in values:
        if isinstance(value.value, Decimal):
            assert Decimal(plain(value.value)) == value.value


@given(st.integers(0, 99_999_999), st.integers(0, 999_999), st.sampled_from(sorted(ENERGY_UNITS)))
def test_energy_is_exact_for_every_count_coefficient_and_unit(
    count: int, coefficient: int, code: int
) -> None:
    unit = ENERGY_UNITS[code]
    (value,) = decode(0xE0, count.to_bytes(4, "big"), Scale(coefficient, unit))
    assert isinstance(value.value, Decimal)
    assert Decimal(plain(value.value)) == count * coefficient * unit
