"""Lines and names of the daily files."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from fakes import TOKYO
from hypothesis import given
from hypothesis import strategies as st

from kei.core.clock import epoch_ms
from kei.core.reading import Reading, Summary
from kei.store.lines import reading_file_name, reading_line, summary_file_name, summary_line

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
TIMES = st.integers(0, epoch_ms(datetime(2200, 1, 1, tzinfo=UTC)))
VALUES = st.decimals(-(10**15), 10**15, allow_nan=False, allow_infinity=False) | st.floats(
    -1e12, 1e12
).map(Decimal)
PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]{1,4})?")
NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, 0, 5, 999_000, TOKYO))


@pytest.mark.usefixtures("unmeasured")  # a property
@given(TIMES, IDS, IDS, VALUES, IDS)
def test_a_reading_line_splits_back_into_its_fields(
    time_ms: int, unit: str, sensor: str, value: Decimal, data_id: str
) -> None:
    line = reading_line(Reading(time_ms, unit, sensor, value, data_id), TOKYO)

    moment, *ids, number, last = line.split(",")
    parsed = datetime.strptime(moment, "%Y/%m/%d %H:%M:%S").replace(tzinfo=TOKYO)
    assert epoch_ms(parsed) == time_ms // 1000 * 1000
    assert (ids, last) == ([unit, sensor], data_id)
    assert abs(Decimal(number) - value) <= Decimal("0.00005")


@pytest.mark.usefixtures("unmeasured")  # a property
@given(TIMES, IDS, IDS, VALUES)
def test_a_summary_line_splits_back_into_its_fields(
    start_ms: int, unit: str, sensor: str, average: Decimal
) -> None:
    line = summary_line(Summary(start_ms, unit, sensor, average, average, average, 1), TOKYO)

    moment, *ids, number = line.split(",")
    parsed = datetime.strptime(moment, "%Y/%m/%d %H:%M").replace(tzinfo=TOKYO)
    assert epoch_ms(parsed) == start_ms // 60_000 * 60_000
    assert ids == [unit, sensor]
    assert abs(Decimal(number) - average) <= Decimal("0.00005")


@pytest.mark.usefixtures("unmeasured")  # a property
@given(VALUES)
def test_a_number_has_no_exponent_and_at_most_four_decimals(value: Decimal) -> None:
    number = reading_line(Reading(0, "BR", "E7", value, "x"), TOKYO).split(",")[3]
    assert PLAIN.fullmatch(number)


def test_a_reading_line_is_as_the_contract_has_it() -> None:
    reading = Reading(NOON_MS, "BR", "E0", Decimal("12345.6"), "x")
    assert reading_line(reading, TOKYO) == "2026/11/23 12:00:05,BR,E0,12345.6,x"


def test_a_summary_line_has_no_seconds() -> None:
    one = Decimal(1)
    summary = Summary(NOON_MS, "BR", "E7", Decimal("498.25"), one, one, 60)
    assert summary_line(summary, TOKYO) == "2026/11/23 12:00,BR,E7,498.25"


def test_zero_has_no_sign() -> None:
    line = reading_line(Reading(NOON_MS, "A1", "T1", Decimal("-0.0"), "3"), TOKYO)
    assert line == "2026/11/23 12:00:05,A1,T1,0.0,3"


def test_file_names_begin_with_the_date() -> None:
    assert reading_file_name("home", date(2026, 1, 2)) == "20260102-home.txt"


def test_summary_file_names_begin_with_sum() -> None:
    assert summary_file_name("home", date(2026, 1, 2)) == "sum20260102-home.txt"


@pytest.mark.parametrize("name", ["../home", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="fname_base"):
        reading_file_name(name, date(2026, 1, 2))
