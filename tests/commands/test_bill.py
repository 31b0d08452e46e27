"""What a billing period costs, from what kei has recorded."""

import io
import json
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from jobs_file import JobsFile
from programs import command
from stored import add_readings
from tariffs import at

from kei.cli import main
from kei.commands.bill import Form, bill
from kei.commands.check import check
from kei.core.errors import ConfigError, StoreError
from kei.core.reading import Reading
from kei.energy.registers import HALF_HOUR_MS
from kei.store.database import Database

JOBS = """[broute]
port = "sim:"
broute_id_file = "/nowhere/id"
broute_pwd_file = "/nowhere/pwd"
[tariff]
metering_day = 10
contract = "40A"
[[tariff.plan]]
from = 2024-04-01
name = "plan B"
base = { per = "10A", price = 311.75 }
steps = [{ to = 120, price = 29.80 }, { to = 300, price = 36.40 }, { price = 40.49 }]
extra = [{ name = "discount", price = -55 }]
[tariff.fuel]
2026-11 = -1.23
[tariff.levy]
2026-05 = 4.18
"""
MARKET = """[tariff]
[[tariff.plan]]
from = 2024-04-01
market = { file = "jepx.csv", area = "tokyo" }
[tariff.levy]
2026-05 = 4.18
"""
NO_LEVY = (
    "warning: tariff: no levy; households in Japan pay one, see [tariff.levy] in docs/tariffs.md"
)
BEGIN, END = at("2026-09-01"), at("2026-11-20 12:00")
# 0.2 kWh a half-hour, 9.6 a day: 297.6 from October 10 to November 9.
PERIOD_KWH = 298


@dataclass
class Home:
    """A folder with jobs.toml and a database."""

    jobs: JobsFile
    database: Database
    told: list[str] = field(default_factory=list)

    def records(self, first_ms: int, last_ms: int, sensor: str = "EA", step: str = "0.2") -> None:
        """Record the registers of a household that always uses the same."""
        times = range(first_ms, last_ms + 1, HALF_HOUR_MS)
        values = ((each, (each - BEGIN) // HALF_HOUR_MS * Decimal(step) + 5000) for each in times)
        readings = [Reading(each, "BR", sensor, value, "x") for each, value in values]
        add_readings(self.database, readings)

    def says(
        self,
        name: str | None = None,
        form: Form = Form.TABLE,
        now_ms: int = END,
        zone: ZoneInfo = TOKYO,
    ) -> str:
        return "".join(bill(self.jobs.path, name, form, environ={}, clock=FakeClock(now_ms, zone)))

    def document(self, name: str | None = None, now_ms: int = END) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.says(name, Form.JSON, now_ms), parse_float=Decimal, parse_int=Decimal
        )
        return found


@pytest.fixture
def home(tmp_path: Path, database: Database) -> Home:
    jobs = JobsFile(tmp_path / "jobs.toml")
    jobs.path.write_text(JOBS)
    return Home(jobs, database)


def test_a_bill_as_json(home: Home) -> None:
    home.records(BEGIN, END)
    assert home.document("2026-11") == {
        "month": "2026-11",
        "from": "2026-10-10T00:00:00+09:00",
        "to": "2026-11-10T00:00:00+09:00",
        "plan": "plan B",
        "kwh": PERIOD_KWH,
        "lines": [
            line("base", 4, "10A", "311.75", "1247.00"),
            line("energy to 120 kWh", 120, "kWh", "29.80", "3576.00"),
            line("energy to 300 kWh", 178, "kWh", "36.40", "6479.20"),
            line("fuel adjustment", 298, "kWh", "-1.23", "-366.54"),
            line("discount", 1, "", "-55", "-55"),
        ],
        "levy": 1245,
        "total": 12125,
        "known_total": 12125,
        "missing": {"half_hours": 0, "from": None, "to": None},
        "problems": [],
        "forecast": None,
        "sold": None,
    }


def line(what: str, quantity: int, unit: str, price: str, amount: str) -> dict[str, object]:
    return {
        "what": what,
        "quantity": Decimal(quantity),
        "unit": unit,
        "price": Decimal(price),
        "amount": Decimal(amount),
    }


def test_a_bill_for_a_person(home: Home) -> None:
    home.records(BEGIN, END)
    assert home.says("2026-11").splitlines() == [
        "bill of 2026-11: 2026-10-10 to 2026-11-09, plan B",
        "",
        "                   quantity   price       yen",
        "base                4 x 10A  311.75  1,247.00",
        "energy to 120 kWh   120 kWh   29.80  3,576.00",
        "energy to 300 kWh   178 kWh   36.40  6,479.20",
        "fuel adjustment     298 kWh   -1.23   -366.54",
        "discount                     -55.00    -55.00",
        "levy                298 kWh    4.18  1,245.00",
        "total, 298 kWh                         12,125",
    ]


def test_japanese_names_stand_in_columns(home: Home) -> None:
    home.jobs.path.write_text(JOBS.replace("discount", "口座振替割引"), "utf-8")
    home.records(BEGIN, END)
    lines = home.says("2026-11").splitlines()
    assert lines[-3] == "口座振替割引                 -55.00    -55.00"
    assert lines[-1] == "total, 298 kWh                         12,125"


def test_a_locale_without_japanese_costs_no_bill(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.jobs.path.write_text(JOBS.replace("discount", "割引"), "utf-8")
    home.records(BEGIN, END)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert main(["bill", "--jobs", str(home.jobs.path), "--month=2026-11"]) == 0
    sys.stdout.flush()
    assert b"\\u5272\\u5f15 " in written.getvalue()


def test_the_running_period_is_the_default_and_has_a_forecast(home: Home) -> None:
    home.jobs.path.write_text(JOBS.replace("2026-11 =", "2026-12 ="))
    home.records(BEGIN, END)
    found = home.document()
    assert (found["month"], found["kwh"]) == ("2026-12", 101)
    assert found["missing"]["half_hours"] == 0
    # 30 days of 9.6 kWh
    assert found["forecast"] == {"kwh": 288, "total": 11731, "known_total": 11731}
    text = home.says()
    assert "so far, 101 kWh" in text
    home.jobs.path.write_text(JOBS)
    assert "about 288 kWh, 12,086 yen without what is unknown" in home.says()
    assert "forecast up to 2026-12-09: about 288 kWh, 11,731 yen" in text


def test_missing_half_hours_are_named_with_their_count_and_time(home: Home) -> None:
    home.records(BEGIN, at("2026-10-20"))
    home.records(at("2026-10-20 03:00"), at("2026-11-09 22:00"))
    home.records(at("2026-11-10 02:00"), END)
    found = home.document("2026-11")
    assert found["missing"] == {
        "half_hours": 10,
        "from": "2026-10-20T00:00:00+09:00",
        "to": "2026-11-10T00:00:00+09:00",
    }
    assert found["kwh"] == 297  # what flowed over the end counts for neither side
    lines = home.says("2026-11").splitlines()
    assert any(line.startswith("total of what is known, 297 kWh  ") for line in lines)
    assert lines[-2:] == [
        "missing: 2026-10-20 00:00 to 03:00, 6 half-hours, 1.2 kWh in all",
        "missing: 2026-11-09 22:00 to 2026-11-10 00:00, 4 half-hours, nothing known",
    ]


def test_a_missing_price_is_unknown_and_never_0(home: Home) -> None:
    home.records(BEGIN, END)
    found = home.document("2026-10")
    assert (found["total"], found["known_total"]) == (None, 12086)
    assert found["lines"][3] == {
        "what": "fuel adjustment",
        "quantity": 288,
        "unit": "kWh",
        "price": None,
        "amount": None,
    }
    text = home.says("2026-10")
    assert "fuel adjustment     288 kWh  unknown   unknown" in text
    assert "total, 288 kWh                         unknown" in text
    assert "without what is unknown: 12,086 yen" in text
    assert "note: fuel adjustment of 2026-10 is not known" in text


def test_of_what_is_not_recorded_nothing_is_known(home: Home) -> None:
    home.records(BEGIN, END)
    found = home.document("2026-08")
    assert (found["kwh"], found["levy"], found["total"]) == (None, None, None)
    assert found["missing"]["half_hours"] == 31 * 48
    assert [each["amount"] for each in found["lines"]] == [1247, None, None, -55]
    assert "unknown kWh" in home.says("2026-08")


def test_the_future_has_no_bill(home: Home) -> None:
    home.records(BEGIN, END)
    found = home.document("2027-03")
    assert (found["kwh"], found["total"], found["forecast"]) == (None, None, None)
    assert found["missing"]["half_hours"] == 0
    assert found["problems"][0] == "no half-hour of the period can be known yet"


def test_on_the_first_minutes_of_a_period_nothing_untrue_is_said(home: Home) -> None:
    home.records(BEGIN, at("2026-11-10"))
    found = home.document(now_ms=at("2026-11-10 00:15"))
    assert (found["month"], found["kwh"], found["forecast"]["kwh"]) == ("2026-12", None, 288)
    assert found["problems"][0] == "no half-hour of the period can be known yet"


def test_sold_energy_is_told_apart(home: Home) -> None:
    home.jobs.path.write_text(f"{JOBS}[tariff.sell]\nprice = 16\n")
    home.records(BEGIN, END)
    home.records(BEGIN, END, "EB", "0.1")
    found = home.document("2026-11")
    assert found["total"] == 12125
    assert found["sold"] == {"kwh": 149, "price": 16, "amount": 2384, "missing": 0}
    text = home.says("2026-11")
    assert "sold, which is paid by a statement of its own: 149 kWh at 16.00, 2,384 yen" in text


def test_days_are_those_of_the_machine(home: Home) -> None:
    home.records(BEGIN, END)
    text = home.says("2026-11", Form.JSON, zone=ZoneInfo("Europe/Berlin"))
    assert '"from": "2026-10-10T00:00:00+02:00", "to": "2026-11-10T00:00:00+01:00"' in text
    assert f'"kwh": {PERIOD_KWH}' in text
    note = "note: days and hours are this machine's, UTC+01:00, and those of a bill are Japan's, "
    assert note in home.says("2026-11", zone=ZoneInfo("Europe/Berlin"))
    assert "this machine" not in home.says("2026-11")


def test_a_clock_that_is_behind_hides_nothing(home: Home) -> None:
    home.records(BEGIN, END)
    assert home.document("2026-11", now_ms=at("2026-10-15"))["kwh"] == PERIOD_KWH


def test_what_is_wrong_is_said_in_a_line(home: Home) -> None:
    with pytest.raises(ConfigError, match=r'--month "2026-13" is no month; write it like 2026-11'):
        home.says("2026-13")
    with pytest.raises(ConfigError, match="--month"):
        home.says("0001-01")
    home.jobs.path.write_text(JOBS[: JOBS.index("[tariff]")])
    with pytest.raises(ConfigError, match=r"there is no \[tariff\] in it; docs/tariffs.md"):
        home.says()


def test_the_command(home: Home) -> None:
    home.records(BEGIN, END)
    path = home.jobs.path
    code, lines, errors = command("bill", "--jobs", path, "--month", "2026-11", TZ="Asia/Tokyo")
    assert (code, errors) == (0, [])
    assert lines[-1].split() == ["total,", "298", "kWh", "12,125"]
    code, lines, errors = command("bill", "--jobs", path, "--month", "x", TZ="Asia/Tokyo")
    assert (code, lines) == (2, [])
    assert errors == ['--month "x" is no month; write it like 2026-11']
    code, lines, errors = command("bill", "--jobs", path, "--format", "json", TZ="Asia/Tokyo")
    assert (code, errors) == (0, [])
    (document,) = lines
    assert json.loads(document)["plan"] == "plan B"


def test_without_a_database_there_is_no_bill(tmp_path: Path) -> None:
    jobs = JobsFile(tmp_path / "jobs.toml")
    jobs.path.write_text(JOBS)
    with pytest.raises(StoreError):
        list(bill(jobs.path, None, Form.TABLE, environ={}, clock=FakeClock(END, TOKYO)))


def checked(home: Home, text: str, zone: ZoneInfo = TOKYO) -> list[tuple[str, bool]]:
    home.jobs.path.write_text(text)
    found = check(home.jobs.path, environ={}, clock=FakeClock(END, zone), with_secrets=False)
    return [(each.line, each.is_good) for each in found if "tariff" in each.line]


def test_check_says_what_a_bill_will_lack(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = ("tariff: plan B, 2026-11-10 to 2026-12-09 will be the bill of 2026-12", True)
    assert checked(home, JOBS) == [summary]
    assert "this machine's, UTC+00:00" in checked(home, JOBS, ZoneInfo("Europe/London"))[1][0]
    lacking = JOBS.replace(", { price = 40.49 }", "").replace("[tariff.levy]\n2026-05", "2026-05")
    assert [line for line, _ in checked(home, lacking)][1:] == [
        NO_LEVY,
        "warning: tariff: energy above 300 kWh has no price, as the last step ends there",
    ]
    later = JOBS.replace("2024-04-01", "2027-04-01")
    assert checked(home, later)[0][0].startswith("tariff: no plan, 2026-11-10")
    assert "market prices cannot be read" in checked(home, MARKET)[1][0]
    (home.jobs.path.parent / "jepx.csv").write_text("time,price\n2025-01-01 00:00,1\n")
    assert "has no price of tokyo for the last day" in checked(home, MARKET)[1][0]
    monkeypatch.setitem(sys.modules, "jpholiday", None)
    zones = "zones = [{ days = 'weekday', price = 1 }, { price = 2 }]\n"
    found = checked(home, MARKET.replace("market =", f"{zones}#"))
    assert [is_good for _, is_good in found] == [True, True]
    assert found[0][0].startswith('warning: "national" holidays of [tariff], so no costs: ')
    assert "jpholiday is missing; pip install 'kei[bill]'" in found[0][0]
