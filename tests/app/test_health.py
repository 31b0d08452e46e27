"""What kei can tell of the machine that it runs on."""

from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock
from status_facts import SESSION

from kei.app import health
from kei.app.health import costs_of, cpu_celsius, health_of
from kei.meter.figures import Figures, Sum
from kei.timekeeping.monitor import ClockStatus

GOOD = ClockStatus(synchronised=True, likely_wrong=False)


def zone(folder: Path, number: int, kind: str, temp: str) -> None:
    place = folder / f"thermal_zone{number}"
    place.mkdir()
    (place / "type").write_text(f"{kind}\n")
    (place / "temp").write_text(temp)


def test_the_temperature_is_that_of_the_processor(tmp_path: Path) -> None:
    zone(tmp_path, 0, "BAT0", "30000\n")
    zone(tmp_path, 1, "cpu-thermal", "48312\n")
    assert cpu_celsius(tmp_path) == 48.312


@pytest.mark.parametrize("temp", ["", "hot"])
def test_a_temperature_that_cannot_be_read_is_none(tmp_path: Path, temp: str) -> None:
    zone(tmp_path, 0, "cpu-thermal", temp)
    assert cpu_celsius(tmp_path) is None
    assert cpu_celsius(tmp_path / "none") is None


def test_what_cannot_be_told_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "THERMAL_ZONES", tmp_path)
    found = health_of(None, GOOD, 12.3, tmp_path / "gone", FakeClock())
    assert found.known() == {"clock_synchronised": 1, "uptime_s": 12}
    assert found.time_ms == FakeClock().now_ms()


def test_session_and_disk_are_told(tmp_path: Path) -> None:
    known = health_of(SESSION, GOOD, 12.3, tmp_path, FakeClock()).known()
    assert (known["session_up"], known["lqi"], known["rssi_dbm"]) == (1, 225, -42.4)
    assert (known["answered"], known["missed"]) == (1100, 3)
    assert known["disk_free_bytes"] > 0


def test_a_time_that_is_likely_to_be_wrong_is_not_told(tmp_path: Path) -> None:
    wrong = ClockStatus(synchronised=False, likely_wrong=True)
    found = health_of(None, wrong, 12.3, tmp_path, FakeClock())
    assert found.time_ms is None
    assert found.known()["clock_synchronised"] == 0


def test_costs_are_yen_with_sen_and_what_is_unknown_is_none() -> None:
    today, bill = Sum(cost=Decimal("123.456")), Sum(cost=Decimal(8773))
    assert costs_of(Figures(today, bill, Decimal("40.58"))) == {
        "cost_today_yen": 123.46,
        "cost_bill_yen": 8773.0,
        "cost_forecast_yen": None,
        "price_yen_per_kwh": 40.58,
    }
