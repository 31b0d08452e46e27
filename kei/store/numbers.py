"""Decimal numbers in the database: as whole ten-thousandths, so that sums are exact."""

from decimal import Decimal

from kei.core.reading import MAX_PLACES, plain, to_places

_INT64_MIN = -(2**63)  # SQLite's INTEGER, https://www.sqlite.org/datatype3.html
_INT64_MAX = 2**63 - 1


def places_of(value: Decimal) -> int:
    """Return with how many decimals a number is written, 0 to 4."""
    exponent = to_places(value).as_tuple().exponent
    assert isinstance(exponent, int), "not a finite number"
    return -exponent


def scaled(value: Decimal) -> int:
    """Return a number of at most 4 decimals as ten-thousandths, exact however large it is."""
    text = plain(value)
    _, _, decimals = text.partition(".")
    missing = "0" * (MAX_PLACES - len(decimals))
    return int(text.replace(".", "") + missing)


def unscaled(number: int, places: int) -> Decimal:
    """Return ten-thousandths as a number with so many decimals, which have to suffice."""
    return Decimal(f"{number // 10 ** (MAX_PLACES - places)}E-{places}")


def pack(value: Decimal) -> int | str:
    """Return what is stored for a finite number: ten-thousandths; decimal text if too large."""
    number = scaled(value)
    return number if _INT64_MIN <= number <= _INT64_MAX else plain(value)


def unpack(stored: int | str, places: int) -> Decimal:
    """Return the number of a stored value (`pack`), with so many decimals."""
    return unscaled(stored, places) if isinstance(stored, int) else Decimal(stored)


def packed_as_scaled(stored: int | str) -> int:
    """Return the ten-thousandths of a stored value."""
    return stored if isinstance(stored, int) else scaled(Decimal(stored))
