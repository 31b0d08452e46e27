"""A bill as a table for a person."""

from collections.abc import Iterator
from datetime import tzinfo
from decimal import ROUND_HALF_UP, Decimal
from unicodedata import east_asian_width

from kei.commands.energy_table import UNKNOWN, gap_lines
from kei.tariff.bill import Bill, Forecast, Line, Sold
from kei.tariff.periods import SEN

_BETWEEN = "  "
_HEAD = ("", "quantity", "price", "yen")


def table(
    bill: Bill, zone: tzinfo, forecast: Forecast | None = None, sold: Sold | None = None
) -> Iterator[str]:
    """Yield the lines of the bill, then what is special about it.

    Args:
        bill: what the period costs, or has cost so far.
        zone: the local time zone.
        forecast: what it will probably cost.
        sold: what was sold meanwhile.
    """
    period = bill.period
    plan = f", {bill.plan}" if bill.plan else ""
    yield f"bill of {period.month}: {period.first} to {period.last}{plan}\n\n"
    lines = [*bill.lines, *([] if bill.levy_line is None else [bill.levy_line])]
    name = f"{_name_of_total(bill)}, {_kwh(bill.kwh)}"
    rows = [_HEAD, *map(_cells, lines), (name, "", "", _whole(bill.total))]
    first = max(_columns(row[0]) for row in rows)
    widths = [first, *(max(len(row[column]) for row in rows) for column in range(1, len(_HEAD)))]
    for row in rows:
        cells = [row[0] + " " * (first - _columns(row[0]))]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield _BETWEEN.join(cells).rstrip() + "\n"
    if bill.total is None and bill.kwh is not None and bill.lines:
        yield f"\nwithout what is unknown: {_whole(bill.known)} yen\n"
    if forecast is not None:
        yield f"\n{_of_forecast(forecast, bill)}\n"
    if sold is not None:
        paid = f"{_kwh(sold.kwh)} at {_money(sold.price)}, {_whole(sold.amount)} yen"
        yield f"\nsold, which is paid by a statement of its own: {paid}\n"
    yield from gap_lines(bill.gaps, zone)
    if bill.problems:
        yield "\n"
    yield from (f"note: {problem}\n" for problem in bill.problems)


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; a Japanese character takes two."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def _name_of_total(bill: Bill) -> str:
    """Return what to call the sum, which is less than the bill where energy is not known."""
    is_part = bill.kwh is not None and any(gap.kwh is None for gap in bill.gaps)
    if bill.is_running:
        return "known so far" if is_part else "so far"
    return "total of what is known" if is_part else "total"


def _cells(line: Line) -> tuple[str, str, str, str]:
    quantity = ""
    if line.unit:
        count = UNKNOWN if line.quantity is None else f"{line.quantity.normalize():,f}"
        quantity = f"{count} kWh" if line.unit == "kWh" else f"{count} x {line.unit}"
    price = _money(line.price) if line.price is not None else UNKNOWN if line.unit else ""
    return line.what, quantity, price, UNKNOWN if line.amount is None else _money(line.amount)


def _of_forecast(forecast: Forecast, bill: Bill) -> str:
    text = f"forecast up to {bill.period.last}: about {_kwh(forecast.kwh)}, "
    if forecast.total is not None:
        return f"{text}{_whole(forecast.total)} yen"
    return f"{text}{_whole(forecast.known)} yen without what is unknown"


def _kwh(value: Decimal | None) -> str:
    return f"{UNKNOWN if value is None else f'{value:,f}'} kWh"


def _money(value: Decimal) -> str:
    """Return yen and sen, or the further decimals that a price has."""
    return f"{value if -_places(value) > 2 else value.quantize(SEN, ROUND_HALF_UP):,f}"


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "finite"
    return exponent


def _whole(value: Decimal | None) -> str:
    return UNKNOWN if value is None else f"{value:,f}"
