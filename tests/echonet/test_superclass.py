"""The super class for people: meaning where the data fit the standard, hex digits where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.echonet.superclass import SUPER_PROPERTIES, describe


@pytest.mark.parametrize(
    ("epc", "data", "text"),
    [
        (0x80, "30", "on"),
        (0x80, "31", "off"),
        (0x82, "00004600", "Release F, revision 0"),
        (0x82, "00005201", "Release R, revision 1"),
        (0x88, "41", "fault"),
        (0x88, "42", "no fault"),
        (0x8A, "000016", "000016 (Toshiba)"),
        (0x8A, "00ABCD", "00ABCD"),
        (0x8D, "4B45493030303030303031" + "00", "KEI00000001"),
        (0x8E, "07E8010F", "2024-01-15"),
        (0x97, "0C22", "12:34"),
        (0x98, "07E8010F", "2024-01-15"),
        (0x9D, "03808188", "80 81 88"),
    ],
)
def test_data_that_fit_are_told_in_words(epc: int, data: str, text: str) -> None:
    assert describe(epc, bytes.fromhex(data)) == text


@pytest.mark.parametrize(
    ("epc", "data"),
    [
        (0x80, "32"),
        (0x82, "0000"),
        (0x82, "00001B00"),  # no letter, but an escape character
        (0x8A, "16"),
        (0x8D, "1B5B324A"),  # would clear the terminal
        (0x8D, "00000000"),
        (0x8D, "FF"),
        (0x97, "1960"),
        (0x98, "07E8021E"),
        (0x98, "07"),
        (0x9D, "05"),
    ],
)
def test_data_that_do_not_fit_are_shown_as_hex_digits(epc: int, data: str) -> None:
    assert describe(epc, bytes.fromhex(data)) == data


@given(st.sampled_from(sorted(SUPER_PROPERTIES)), st.binary(max_size=255))
def test_any_data_can_be_printed(epc: int, edt: bytes) -> None:
    text = describe(epc, edt)
    assert text.isascii()
    assert text == "" or text.isprintable()
