"""`[tariff]`: what may stand there, and what is said of mistakes."""

import re
from datetime import date
from decimal import Decimal

import pytest
from jobs_file import JobsFile
from programs import ROOT

from kei.config.diff import differences
from kei.settings.months import Month
from kei.settings.tariff import Area, Tariff
from kei.settings.tariff_texts import Days, Hours, Rating

EXAMPLE = """[tariff]
metering_day = 10
contract = "40A"
currency = "JPY"

[[tariff.plan]]
from = 2024-04-01
name = "B"
base = { per = "10A", price = 311.75 }
steps = [ { to = 120, price = 29.80 }, { to = 300, price = 36.40 }, { price = 40.49 } ]
extra = [ { name = "discount", price = -55.00 } ]
minimum_bill = 335.34
idle_base = 0.5

[[tariff.plan]]
from = 2025-04-01
zones = [ { hours = "1-6", price = 27.86 },
          { hours = "10-17", days = "weekday", months = [7, 8, 9], price = 38.80 },
          { steps = [ { price = 35.76 } ] } ]
holidays = ["saturday", "sunday", "national", "01-02", "2026-05-01"]

[[tariff.plan]]
from = 2026-04-01
market = { file = "jepx.csv", area = "tokyo", factor = 1.1, add = 2.50 }

[tariff.fuel]
2026-11 = -1.23
[tariff.fuel_minimum]
2026-11 = -18.45
[tariff.levy]
2026-05 = 4.18
[tariff.sell]
price = 16
"""
PLAN = '[tariff]\ncontract = "40A"\n[[tariff.plan]]\nfrom = 2024-04-01\n'
EXAMPLES = re.findall(
    r"```toml\n(.*?)```", (ROOT / "docs" / "tariffs.md").read_text("utf-8"), re.DOTALL
)
STEPS = "steps = [{ price = 1 }]\n"
SHADOWED = "{ hours = '2-3', price = 2 }, { price = 3 }]\n"


def loaded(jobs: JobsFile, text: str) -> Tariff:
    found = jobs.load(text).tariff
    assert found is not None
    return found


def test_the_tables_of_the_contract(jobs: JobsFile) -> None:
    found = loaded(jobs, EXAMPLE)
    assert (found.metering_day, found.contract) == (10, Rating(Decimal(40), "A"))
    steps, zones, market = found.plan
    assert steps.begins == date(2024, 4, 1)
    assert [(each.to, f"{each.price}") for each in steps.steps] == [
        (120, "29.80"),
        (300, "36.40"),
        (None, "40.49"),
    ]
    assert zones.zones[0].hours == Hours(2, 12)
    assert (zones.zones[1].days, zones.zones[1].months) == (Days.WEEKDAY, (7, 8, 9))
    assert zones.zones[2].hours == Hours()
    assert market.market is not None
    assert market.market.file == jobs.path.parent / "jepx.csv"
    assert (market.market.area, market.market.add) == (Area.TOKYO, Decimal("2.50"))
    assert (found.fuel, found.levy) == (
        {Month(2026, 11): Decimal("-1.23")},
        {Month(2026, 5): Decimal("4.18")},
    )
    assert jobs.load("").tariff is None


def test_no_price_is_ever_a_float(jobs: JobsFile) -> None:
    found = loaded(jobs, f"{PLAN}steps = [{{ price = 123456.123456 }}]\nidle_base = 0.1")
    assert f"{found.plan[0].steps[0].price}" == "123456.123456"
    assert f"{found.plan[0].idle_base}" == "0.1"


@pytest.mark.parametrize(
    ("text", "amperes", "watts"),
    [("40A", 40, 4000), ("6kVA", 60, 6000), ("3.5 kW", 35, 3500), ("60a", 60, 6000)],
)
def test_a_contract_in_amperes_and_watts(
    jobs: JobsFile, text: str, amperes: int, watts: int
) -> None:
    contract = loaded(jobs, f"{PLAN.replace('40A', text)}{STEPS}").contract
    assert contract is not None
    assert contract.amperes == amperes
    assert contract.watts == watts


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[tariff]\n", "1: tariff.plan: is missing; add [[tariff.plan]]"),
        ("[tariff]\nmetering_day = 32\n", "2: tariff.metering_day: 32 is out of range; "),
        ('[tariff]\ncontract = "40"\n', '2: tariff.contract: "40" is no size of a contract; '),
        ('[tariff]\ncurrency = "EUR"\n', '2: tariff.currency: "EUR" is not possible; '),
        ("[tariff]\nplans = []\n", "2: tariff.plans: unknown key; did you mean plan?"),
        (f"{PLAN}", "3: tariff.plan[0].steps: the plan has no price of energy; "),
        (
            f"{PLAN}{STEPS}{STEPS}".replace("steps", "zones", 1),
            "5: tariff.plan[0].zones: stands beside steps; ",
        ),
        (f"{PLAN}steps = []\n", "5: tariff.plan[0].steps: the plan has no price of energy; "),
        (f"{PLAN}steps = [{{}}]\n", "5: tariff.plan[0].steps[0].price: is missing; "),
        (
            f"{PLAN}steps = [{{ to = 120, price = 1 }},\n{{ to = 100, price = 2 }}]\n",
            "6: tariff.plan[0].steps[1].to: its limit 100 is not above the one before, 120; ",
        ),
        (
            f"{PLAN}steps = [{{ price = 1 }},\n{{ price = 2 }}]\n",
            "5: tariff.plan[0].steps[0]: has no limit, so that the steps behind it never apply; ",
        ),
        (f"{PLAN}{STEPS}base = {{}}\n", "6: tariff.plan[0].base: has no price; write one of: "),
        (
            f"{PLAN}{STEPS}base = {{ fixed = 1, minimum = 2, includes = '9kWh' }}\n",
            "6: tariff.plan[0].base.minimum: stands beside fixed; ",
        ),
        (
            f"{PLAN}{STEPS}base = {{ minimum = 2 }}\n",
            "6: tariff.plan[0].base.includes: is missing; minimum and includes belong together",
        ),
        (
            f"{PLAN}{STEPS}base = {{ per = '10A' }}\n",
            "6: tariff.plan[0].base.price: is missing; per and price belong together",
        ),
        (
            f"{PLAN}{STEPS}base = {{ per = 'kVA', price = 1 }}\n",
            "6: tariff.plan[0].base: is for kVA, and the contract is in A; ",
        ),
        (
            f"{PLAN}{STEPS}base = {{ per = '10A', price = 1 }}\n".replace('contract = "40A"\n', ""),
            "1: tariff.contract: is missing, and the base of plan[0] goes by it; ",
        ),
        (
            f"{PLAN}zones = [{{ price = 1 }}]\nbase = {{ minimum = 2, includes = '9kWh' }}\n",
            "6: tariff.plan[0].base: a minimum charge includes a part of steps; ",
        ),
        (f"{PLAN}zones = [{{ }}]\n", "5: tariff.plan[0].zones[0].price: the zone has no price; "),
        (
            f"{PLAN}zones = [{{ hours = '1-6', price = 1 }}]\n",
            "5: tariff.plan[0].zones: none is for 00:00 of a weekday in month 1; ",
        ),
        (
            f"{PLAN}zones = [{{ days = 'weekday', price = 1 }}]\n",
            "5: tariff.plan[0].zones: none is for 00:00 of a holiday in month 1; ",
        ),
        (
            f"{PLAN}zones = [{{ hours = '1-6', price = 1 }},\n{SHADOWED}",
            "6: tariff.plan[0].zones[1]: never counts: the zones before it take all ",
        ),
        (
            f"{PLAN}zones = [{{ hours = '25-6', price = 1 }}, {{ price = 3 }}]\n",
            '5: tariff.plan[0].zones[0].hours: "25-6" has a time that is no full or half hour ',
        ),
        (
            f"{PLAN}zones = [{{ hours = '6-6', price = 1 }}, {{ price = 3 }}]\n",
            '5: tariff.plan[0].zones[0].hours: "6-6" ends where it begins; ',
        ),
        (
            f"{PLAN}zones = [{{ months = [7,\n13], price = 1 }}, {{ price = 3 }}]\n",
            "6: tariff.plan[0].zones[0].months[1]: 13 is out of range; ",
        ),
        (
            f"{PLAN}{STEPS}base = {{ per = '0A', price = 1 }}\n",
            '6: tariff.plan[0].base.per: "0A" is no part of a contract; ',
        ),
        (
            f"{PLAN}{STEPS}base = {{ minimum = 1, includes = '1.5kWh' }}\n",
            '6: tariff.plan[0].base.includes: "1.5kWh" is no whole number of kWh; ',
        ),
        (
            f"{PLAN}zones = [{{ hours = 'night', price = 1 }}, {{ price = 3 }}]\n",
            '5: tariff.plan[0].zones[0].hours: "night" is no part of a day; ',
        ),
        (
            f"{PLAN}zones = [{{ hours = '1:15-6', price = 1 }}, {{ price = 3 }}]\n",
            '5: tariff.plan[0].zones[0].hours: "1:15-6" has a time that is no full or half hour ',
        ),
        (
            f"{PLAN}zones = [{{ price = 1, steps = [{{ price = 1 }}] }}]\n",
            "5: tariff.plan[0].zones[0].price: stands beside steps; ",
        ),
        (
            f"{PLAN}{STEPS}holidays = ['sundai']\n",
            '6: tariff.plan[0].holidays[0]: "sundai" is no kind of holiday; ',
        ),
        (
            f"{PLAN}{STEPS}holidays = ['02-30']\n",
            '6: tariff.plan[0].holidays[0]: "02-30" does not exist; ',
        ),
        (
            f"{PLAN}market = {{ file = 'a.csv', area = 'tokio' }}\n",
            '5: tariff.plan[0].market.area: "tokio" is not possible; did you mean "tokyo"? ',
        ),
        (f"{PLAN}{STEPS}idle_base = 2\n", "6: tariff.plan[0].idle_base: 2 is out of range; "),
        (
            f"{PLAN}{STEPS}extra = [{{ name = 'x', price = '5' }}]\n",
            "6: tariff.plan[0].extra[0].price: found a text, wanted a number; ",
        ),
        (
            f"{PLAN}{STEPS}minimum_bill = 1e30\n",
            "6: tariff.plan[0].minimum_bill: 1E+30 is out of range; ",
        ),
        (
            f"{PLAN}{STEPS}minimum_bill = 1.1234567\n",
            "6: tariff.plan[0].minimum_bill: 1.1234567 is too exact; ",
        ),
        (f"{PLAN}{STEPS}".replace("2024-04-01", "1"), "4: tariff.plan[0].from: 1 is no date; "),
        (
            f"{PLAN}{STEPS}".replace("2024-04-01", "2024-04-01T00:00:00"),
            "4: tariff.plan[0].from: ",
        ),
        (
            f"{PLAN}{STEPS}[[tariff.plan]]\nfrom = 2024-04-01\n{STEPS}",
            '7: tariff.plan[1].from: "2024-04-01" is already at tariff.plan[0].from (line 4); ',
        ),
        (
            f"{PLAN}{STEPS}[tariff.fuel]\n2026-11 = 1\n2026-13 = 1\n",
            '8: tariff.fuel.2026-13: "2026-13" is no month; write it like 2026-11',
        ),
        (
            f"{PLAN}{STEPS}[tariff.levy]\n2026-11 = -1\n",
            "7: tariff.levy.2026-11: -1 is out of range; ",
        ),
        (f"[tariff]\nfuel = 1\n{PLAN[9:]}{STEPS}", "2: tariff.fuel: found a whole number, "),
        (
            f"[tariff]\nlast_day = 2026-01-01\nfirst_day = 2026-01-02\n{PLAN[9:]}{STEPS}",
            "2: tariff.last_day: lies before first_day; ",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(jobs: JobsFile, text: str, fault: str) -> None:
    found = jobs.faults(text)
    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            f"{PLAN}{STEPS}base = {{ per = '10A', price = 1 }}\n".replace("40A", "40"),
            '2: tariff.contract: "40" is no size of a contract; ',
        ),
        (
            f"{PLAN}{STEPS}".replace("40A", f"{'9' * 60}A"),
            f'2: tariff.contract: "{"9" * 40}..." is no size of a contract; ',
        ),
        (
            f"{PLAN}{STEPS}base = {{ minimum = 1, includes = 15 }}\n",
            "6: tariff.plan[0].base.includes: found a whole number, wanted a text; ",
        ),
        (f"{PLAN}{STEPS}base = {{ fixed = '1,000' }}\n", "6: tariff.plan[0].base.fixed: found a "),
        (f"{PLAN}{STEPS}base = {{ price = 3 }}\n", "6: tariff.plan[0].base: has no price; "),
        (
            f"{PLAN}{STEPS}base = 1000\n",
            "6: tariff.plan[0].base: found a whole number, wanted a table; write it in braces: ",
        ),
        (
            f"{PLAN}steps = [29.8]\n",
            "5: tariff.plan[0].steps[0]: found a number with a point, wanted a table; ",
        ),
        (
            f"{PLAN}steps = [{{ to = 1.5, price = 1 }}, {{ price = 2 }}]\n",
            "5: tariff.plan[0].steps[0].to: found a number with a point, wanted a whole number; ",
        ),
        (
            f"{PLAN}zones = [{{ hours = '6', price = 1 }}, {{ hours = '9-6', price = 1 }}]\n",
            '5: tariff.plan[0].zones[0].hours: "6" is no part of a day; ',
        ),
    ],
)
def test_one_mistake_is_told_once(jobs: JobsFile, text: str, fault: str) -> None:
    (found,) = jobs.faults(text)
    assert found.startswith(fault)


def test_a_change_of_prices_is_named_at_a_reload(jobs: JobsFile) -> None:
    old = jobs.load(EXAMPLE)
    new = jobs.load(EXAMPLE.replace("metering_day = 10", "metering_day = 11").replace("4.18", "5"))
    assert differences(old, new) == [
        "tariff: metering_day 10 -> 11",
        "tariff: levy changed",
    ]
    assert differences(old, jobs.load(EXAMPLE.replace("29.80", "29.81")))
    assert differences(jobs.load(""), new)[0] == "tariff: added"


@pytest.mark.parametrize("block", EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_the_examples_of_the_page_load(jobs: JobsFile, block: str) -> None:
    found = loaded(jobs, block)
    assert found.plan[0].name or found.sell
