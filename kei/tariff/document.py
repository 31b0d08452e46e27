"""A bill as JSON: the document of `kei bill --format json` and of `/api/bill`."""

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import TypeAlias

from kei.core.clock import local
from kei.tariff.bill import Bill, Forecast, Line, Sold

Value: TypeAlias = "str | int | Decimal | Mapping[str, Value] | Sequence[Value] | None"


def document(
    bill: Bill, zone: tzinfo, forecast: Forecast | None = None, sold: Sold | None = None
) -> str:
    """Return the object in one line, with exact numbers and times with their offset.

    `from` and `to` are where the first day begins and the last one ends. `total` is null if a price
    is not known; then `known_total` is what is known of it.
    """
    period = bill.period
    return encoded(
        {
            "month": str(period.month),
            "from": _time(period.start_ms, zone),
            "to": _time(period.end_ms, zone),
            "plan": bill.plan,
            "kwh": bill.kwh,
            "lines": [_of_line(line) for line in bill.lines],
            "levy": bill.levy,
            "total": bill.total,
            "known_total": bill.known,
            "missing": {
                "half_hours": bill.missing,
                "from": _time(bill.gaps[0].start_ms, zone) if bill.gaps else None,
                "to": _time(bill.gaps[-1].end_ms, zone) if bill.gaps else None,
            },
            "problems": list(bill.problems),
            "forecast": None if forecast is None else _of_forecast(forecast),
            "sold": None if sold is None else _of_sold(sold),
        }
    )


def encoded(value: Value) -> str:
    """Return a value as JSON; json.dumps would make a float of a Decimal."""
    match value:
        case Decimal():
            return format(value, "f")
        case str() | int() | None:
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            pairs = (f"{json.dumps(name)}: {encoded(each)}" for name, each in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return f"[{', '.join(map(encoded, value))}]"


def _of_line(line: Line) -> Value:
    return {
        "what": line.what,
        "quantity": line.quantity,
        "unit": line.unit,
        "price": line.price,
        "amount": line.amount,
    }


def _of_forecast(forecast: Forecast) -> Value:
    return {"kwh": forecast.kwh, "total": forecast.total, "known_total": forecast.known}


def _of_sold(sold: Sold) -> Value:
    return {
        "kwh": sold.kwh,
        "price": sold.price,
        "amount": sold.amount,
        "missing": sum(gap.half_hours for gap in sold.gaps),
    }


def _time(time_ms: int, zone: tzinfo) -> str:
    return local(time_ms, zone).isoformat()
