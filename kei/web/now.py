"""What `/api/now` says: the newest readings, from memory, and the sums of some seconds ago."""

from collections.abc import Mapping
from datetime import tzinfo

from kei.core.clock import local
from kei.core.reading import Reading
from kei.meter.decoder import is_of_meter
from kei.meter.figures import Sum
from kei.settings.tariff_texts import Rating
from kei.web.live import Live
from kei.web.numbers import as_number
from kei.web.recorded import Recorded

FRESH_CYCLES, FRESH_MIN_S = 3, 60.0  # currents without an age of their own are hidden when older

Value = int | float | None


def now_document(live: Live, recorded: Recorded) -> dict[str, object]:
    """Return one JSON object; what is not known is null."""
    now_ms, zone = live.clock.now_ms(), live.clock.zone
    newest, figures = recorded.newest(), recorded.figures()
    meter = {sensor: each for (unit, sensor), each in newest.items() if unit == recorded.unit}
    session = live.snapshot().session
    currents = {
        phase: _fresh(meter.get(sensor), now_ms, recorded.cycle_s(recorded.unit, sensor))
        for phase, sensor in (("r", "E8R"), ("t", "E8T"))
    }
    power, tariff = meter.get("E7"), live.config().tariff
    contract = None if tariff is None else tariff.contract
    return {
        "time": _time(now_ms, zone),
        "power_w": _number(power),
        "current_a": currents,
        "bought_kwh": _number(meter.get("E0")),
        "sold_kwh": _number(meter.get("E3")),
        "age_s": None if power is None else round((now_ms - power.time_ms) / 1000, 1),
        "session": None if session is None else session.state,
        "contract": None if contract is None else str(contract),
        "contract_share": _share(currents, contract),
        "today": _sum(figures.today, zone),
        "period": _sum(figures.period, zone),
        "has_tariff": tariff is not None,
        "price": as_number(figures.price),
        "sensors": [
            {
                "unit": each.unit,
                "sensor": each.sensor,
                "value": _number(each),
                "time": _time(each.time_ms, zone),
            }
            for each in sorted(newest.values(), key=lambda each: (each.unit, each.sensor))
            if each.unit != recorded.unit and not is_of_meter(each)
        ],
    }


def _fresh(reading: Reading | None, now_ms: int, cycle_s: float) -> Value:
    """Return the value of a reading that is of now."""
    if reading is None:
        return None
    limit_s = max(FRESH_MIN_S, FRESH_CYCLES * cycle_s)
    return _number(reading) if now_ms - reading.time_ms <= limit_s * 1000 else None


def _sum(found: Sum, zone: tzinfo) -> dict[str, object]:
    return {
        "kwh": as_number(found.kwh),
        "sold_kwh": as_number(found.sold_kwh),
        "cost": as_number(found.cost),
        "forecast": as_number(found.forecast),
        "from": _time(found.start_ms, zone),
        "to": _time(found.end_ms, zone),
        "until": _time(found.until_ms, zone),
        "missing": found.missing,
    }


def _number(reading: Reading | None) -> Value:
    return None if reading is None else as_number(reading.value)


def _share(currents: Mapping[str, Value], contract: Rating | None) -> float | None:
    """Return how much of the contract is used, R and T together: 1 is all of it."""
    known = [abs(ampere) for ampere in currents.values() if ampere is not None]
    if contract is None or not known:
        return None
    return round(sum(known) / float(contract.amperes), 4)


def _time(time_ms: int | None, zone: tzinfo) -> str | None:
    return None if time_ms is None else local(time_ms, zone).isoformat(timespec="seconds")
