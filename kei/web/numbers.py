"""Numbers as JSON has them."""

from decimal import Decimal


def as_number(value: Decimal | None) -> int | float | None:
    """Return a whole number without a point; None for what is not known."""
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)
