"""A bill as JSON: the document of `kei bill --format json` and of `/api/bill`."""

from datetime import tzinfo

from kei.core.clock import local
from kei.core.exact_json import Value, encoded
from kei.tariff.bill import Bill, Forecast, Line, Sold


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
