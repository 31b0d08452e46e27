"""Numbers in the database come back exactly as they went in."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kei.store.rows import pack, packed_as_scaled, places_of, scaled, unpack

NUMBERS = st.builds(
    lambda number, places: Decimal(f"{number}E-{places}"),
    st.integers(-(10**22), 10**22),
    st.integers(0, 4),
)


@given(NUMBERS)
@example(Decimal("922337203685477.5807"))
@example(Decimal("922337203685477.5808"))
@example(Decimal("-922337203685477.5808"))
@example(Decimal("-922337203685477.5809"))
def test_a_number_comes_back_with_the_same_digits_and_decimals(value: Decimal) -> None:
    assert str(unpack(pack(value), places_of(value))) == str(value)


@given(NUMBERS)
def test_ten_thousandths_are_exact(value: Decimal) -> None:
    assert packed_as_scaled(pack(value)) == scaled(value) == int(Decimal(value) * 10_000)


def test_the_largest_integer_of_sqlite_is_stored_as_an_integer() -> None:
    assert pack(Decimal("922337203685477.5807")) == 2**63 - 1


def test_a_number_beyond_it_is_stored_as_text() -> None:
    assert pack(Decimal("922337203685477.5808")) == "922337203685477.5808"


@pytest.mark.parametrize(
    ("text", "places"), [("512", 0), ("5.120E+2", 1), ("5E+3", 0), ("0.12345", 4), ("-1.50", 2)]
)
def test_places_are_the_decimals_that_are_written(text: str, places: int) -> None:
    assert places_of(Decimal(text)) == places
