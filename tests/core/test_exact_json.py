"""JSON with numbers as they are."""

import json
from decimal import Decimal

import pytest

from kei.core.exact_json import Value, encoded


@pytest.mark.parametrize(
    "text", ["0.1", "311.75", "10934.90", "-12.3456", "0.123456789012345678", "700", "0.0000001"]
)
def test_a_number_keeps_its_digits(text: str) -> None:
    assert encoded(Decimal(text)) == text


def test_a_number_has_no_exponent() -> None:
    assert encoded([Decimal("7E+2"), Decimal("1E-7")]) == "[700, 0.0000001]"


def test_what_is_within_a_value_is_encoded_alike() -> None:
    value: Value = {
        "name": '電気 "B"',
        "kwh": Decimal("0.10"),
        "lines": [{"of": None}, 3],
        "empty": {},
    }
    text = encoded(value)
    assert json.loads(text, parse_float=Decimal) == value
    assert "電気" in text
