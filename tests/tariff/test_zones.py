"""Prices by hours, kinds of days and months."""

import sys
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from tariffs import Home, at, lines, tariff

from kei.core.errors import ConfigError
from kei.energy.report import Gap

CHUBU = (
    'zones = [{ name = "night", hours = "22-8", price = 16.52 },'
    ' { name = "day", hours = "10-17", days = "weekday", price = 38.80 },'
    ' { name = "home", price = 28.61 }]\n'
)
SUNDAYS = 'holidays = ["sunday", "2026-10-13", "10-14"]'


def zone_of(when: str, plan: str = CHUBU, name: str = "2026-11", *, top: str = "") -> str:
    """Return in which zone a half-hour is."""
    home = Home(tariff(plan, top=top), name, {when: "7"})
    (found,) = (line.what for line in home.bill().lines if line.quantity == 7)
    return found


@pytest.mark.parametrize(
    ("when", "zone"),
    [
        ("2026-10-15 21:30", "home"),
        ("2026-10-15 22:00", "night"),
        ("2026-10-16 00:00", "night"),
        ("2026-10-16 07:30", "night"),
        ("2026-10-16 08:00", "home"),
        ("2026-10-16 10:00", "day"),
        ("2026-10-16 16:30", "day"),
        ("2026-10-16 17:00", "home"),
        ("2026-10-17 12:00", "day"),  # a Saturday
        ("2026-10-18 12:00", "home"),  # a Sunday
        ("2026-10-12 12:00", "home"),  # Sports Day, a Monday
        ("2026-10-13 12:00", "day"),
    ],
)
def test_the_first_zone_that_fits_counts(when: str, zone: str) -> None:
    assert zone_of(when) == zone


@pytest.mark.parametrize(
    ("when", "zone"),
    [
        ("2026-10-18 12:00", "home"),  # a Sunday
        ("2026-10-12 12:00", "day"),  # a national holiday, which is none here
        ("2026-10-13 12:00", "home"),
        ("2026-10-14 12:00", "home"),
        ("2026-10-15 12:00", "day"),
    ],
)
def test_holidays_are_what_the_plan_says(when: str, zone: str) -> None:
    assert zone_of(when, CHUBU + SUNDAYS) == zone


@pytest.mark.parametrize(
    ("when", "is_national"),
    [
        ("2026-09-21 12:00", True),  # the third Monday
        ("2026-09-22 12:00", True),  # between two holidays
        ("2026-09-23 12:00", True),  # the equinox
        ("2026-09-24 12:00", False),
        ("2027-03-22 12:00", True),  # the equinox was a Sunday
    ],
)
def test_national_holidays_are_known(when: str, *, is_national: bool) -> None:
    plan = CHUBU + 'holidays = ["national"]'
    name = "2026-10" if when < "2027" else "2027-04"
    assert (zone_of(when, plan, name) == "home") is is_national


def test_a_season_may_change_within_a_period() -> None:
    zones = '{ months = [7, 8, 9], price = 2 }, { hours = "0:30-1", price = 3 }, { price = 1 }'
    plan = f"zones = [{zones}]"
    used = {
        "2026-09-30 23:30": "10",
        "2026-10-01 00:00": "20",
        "2026-10-01 00:30": "30",
        "2026-10-01 01:00": "40",
    }
    found = Home(tariff(plan, top="metering_day = 10"), "2026-10", used).bill()
    assert list(lines(found)) == [
        ("in months 7 8 9", "20"),
        ("00:30-01:00", "90"),
        ("other hours", "60"),
    ]


def test_a_zone_may_have_steps_of_its_own() -> None:
    plan = (
        'zones = [{ hours = "23-7", price = 10 },'
        ' { name = "day", steps = [{ to = 90, price = 20 }, { price = 30 }] }]'
    )
    used = {"2026-10-01 23:00": "300", "2026-10-02 07:00": "100"}
    found = Home(tariff(plan, top=""), "2026-11", used).bill()
    assert list(lines(found)) == [
        ("23:00-07:00", "3000"),
        ("day to 90 kWh", "1800"),
        ("day above 90 kWh", "300"),
    ]


def test_hours_and_days_are_those_of_the_machine() -> None:
    plan = 'zones = [{ hours = "23-7", price = 10 }, { price = 20 }]'
    berlin = ZoneInfo("Europe/Berlin")
    used = {"2026-10-01 22:30": "1", "2026-10-01 23:00": "2", "2026-10-25 06:30": "4"}
    found = Home(tariff(plan, top=""), "2026-11", used, zone=berlin).bill()
    assert [f"{line.quantity}" for line in found.lines] == ["6", "1"]
    assert found.period.end_ms - found.period.start_ms == (31 * 24 + 1) * 3_600_000


def test_each_zone_has_whole_kwh_and_the_period_as_well() -> None:
    plan = 'zones = [{ hours = "23-7", price = 10 }, { price = 20 }]'
    used = {"2026-10-01 23:00": "10.6", "2026-10-02 07:00": "20.6"}
    found = Home(tariff(plan, "[tariff.levy]\n2026-05 = 1", ""), "2026-11", used).bill()
    assert [f"{line.quantity}" for line in found.lines] == ["11", "21"]
    assert found.kwh == 31
    assert found.levy == 31


def test_what_flowed_in_a_gap_counts_for_the_total_and_for_no_zone() -> None:
    plan = 'zones = [{ hours = "23-7", price = 10 }, { price = 20 }]'
    gap = Gap(at("2026-10-02 07:00"), at("2026-10-02 09:00"), Decimal("3.4"))
    levy = "[tariff.levy]\n2026-05 = 4"
    home = Home(tariff(plan, levy, ""), "2026-11", {"2026-10-01 23:00": "10"}, (gap,))
    found = home.bill()
    assert found.kwh == 13
    assert found.levy == 52
    assert list(lines(found)) == [("23:00-07:00", "100"), ("other hours", "0")]
    assert found.total == 152
    assert found.missing == 4
    assert found.problems[0].startswith("3.4 kWh have no price here")


def test_a_gap_counts_for_steps() -> None:
    gap = Gap(at("2026-10-02 07:00"), at("2026-10-02 09:00"), Decimal("3.4"))
    plan = tariff("steps = [{ to = 10, price = 1 }, { price = 2 }]", top="")
    found = Home(plan, "2026-11", {"2026-10-01 23:00": "10"}, (gap,)).bill()
    assert list(lines(found)) == [("energy to 10 kWh", "10"), ("energy above 10 kWh", "6")]
    assert not found.problems


def test_without_the_library_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jpholiday", None)
    with pytest.raises(ConfigError, match=r"\"national\".*pip install .kei.bill"):
        zone_of("2026-10-15 12:00")
    assert zone_of("2026-10-15 12:00", CHUBU + SUNDAYS) == "day"
    assert zone_of("2026-10-15 12:00", 'zones = [{ name = "all", price = 1 }]') == "all"
