"""What a period costs, by published bills and by the rules of the companies."""

import json
from decimal import Decimal
from typing import Any

import pytest
from programs import ROOT
from tariffs import BASE, STEPS, bill_of, lines, tariff

BILLS = json.loads((ROOT / "tests" / "data" / "bills.json").read_text())
SIMPLE = [each for each in BILLS if isinstance(each["steps"], list)]
KANSAI = (
    'base = { minimum = 522.58, includes = "15kWh" }\n'
    "steps = [{ to = 120, price = 20.21 }, { to = 300, price = 25.61 }, { price = 28.59 }]"
)


def table_of(published: dict[str, Any]) -> tuple[str, str]:
    """Return the plan and the monthly figures of a published bill in TOML."""
    steps = ", ".join(
        f"{{ price = {price} }}" if to is None else f"{{ to = {to}, price = {price} }}"
        for to, price in published["steps"]
    )
    if "minimum" in published:
        price, included = published["minimum"]
        base = f'{{ minimum = {price}, includes = "{included}kWh" }}'
    else:
        base = f"{{ fixed = {published['base']} }}"
    extra = f'[{{ name = "discount", price = -{published["discount"]} }}]'
    name = published["billing_month"][:7]
    figures = "".join(f"[tariff.{each}]\n{name} = {published[each]}\n" for each in ("fuel", "levy"))
    return f"base = {base}\nsteps = [{steps}]\nextra = {extra}", figures


@pytest.mark.parametrize("published", SIMPLE, ids=[each["id"] for each in SIMPLE])
def test_a_published_bill_comes_out_to_the_yen(published: dict[str, Any]) -> None:
    found = bill_of(
        tariff(*table_of(published)), str(published["kwh"]), published["billing_month"][:7]
    )
    assert found.total == published["published_total"]
    assert not found.problems
    printed = published.get("printed_lines", {})
    amounts = {Decimal(str(line.amount)) for line in found.lines}
    for name in ("base", "minimum", "step1", "step2", "fuel"):
        assert name not in printed or Decimal(printed[name]) in amounts, name


def test_the_levy_is_cut_by_itself_and_then_the_total() -> None:
    (published,) = (each for each in BILLS if each["id"] == "tepco-bill-night8-2011-11")
    day, night = published["steps"]["day"], published["steps"]["night"]
    assert day[0] + night[0] == published["kwh"]
    levy = "[tariff.levy]\n2011-11 = 0.03\n[tariff.fuel]\n2011-11 = 0.30"
    # The day's energy as its amount, which is all that is known of its prices.
    plan = (
        f"base = {{ fixed = {published['base']} }}\nsteps = [{{ price = 0 }}]\nextra = ["
        f'{{ name = "day", price = {day[2]} }}, {{ name = "night", price = 2986.20 }}]'
    )
    found = bill_of(tariff(plan, levy), "407", "2011-11")
    assert found.total == published["published_total"]
    assert found.levy == 12


@pytest.mark.parametrize(
    ("kwh", "billed"), [("99.4999", 99), ("99.5", 100), ("100.5", 101), ("0.49", 0)]
)
def test_kwh_are_rounded_half_up(kwh: str, billed: int) -> None:
    assert bill_of(tariff(STEPS), kwh).kwh == billed


@pytest.mark.parametrize(
    ("top", "base", "amount"),
    [
        ('contract = "40A"', BASE, "1247.00"),
        ('contract = "15A"', BASE, "467.63"),  # half up
        ('contract = "6kVA"', 'base = { per = "kVA", price = 311.75 }', "1870.50"),
        ("", "base = { fixed = 1000 }", "1000.00"),
        ("", 'base = { minimum = 522.58, includes = "15kWh" }', "522.58"),
    ],
)
def test_there_are_three_kinds_of_base(top: str, base: str, amount: str) -> None:
    found = bill_of(tariff(f"{base}\n{STEPS}", top=top), "200")
    assert found.lines[0].amount == Decimal(amount)


def test_a_minimum_charge_has_figures_of_its_own_for_its_energy() -> None:
    figures = (
        "[tariff.fuel]\n2026-11 = 2.91\n[tariff.fuel_minimum]\n2026-11 = 29.04\n"
        "[tariff.levy]\n2026-05 = 4.18"
    )
    plan = KANSAI.replace("15kWh", "10kWh")
    found = bill_of(tariff(plan, figures), "130")
    assert list(lines(found)) == [
        ("minimum charge, 10 kWh", "522.58"),
        ("energy to 120 kWh", "2223.10"),
        ("energy to 300 kWh", "256.10"),
        ("fuel adjustment, 10 kWh", "29.04"),
        ("fuel adjustment", "349.20"),
    ]
    assert found.levy == 543
    below = bill_of(tariff(plan, figures), "3")
    assert list(lines(below)) == [
        ("minimum charge, 10 kWh", "522.58"),
        ("fuel adjustment, 10 kWh", "29.04"),
    ]
    assert below.levy == 41  # of 10 kWh


def test_below_a_minimum_charge_fuel_and_levy_are_due_for_its_energy() -> None:
    figures = "[tariff.fuel]\n2026-11 = -1.00\n[tariff.levy]\n2026-05 = 4.18"
    found = bill_of(tariff(KANSAI, figures), "3")
    assert list(lines(found))[-1] == ("fuel adjustment", "-15.00")
    assert found.levy == 62


def test_a_minimum_replaces_what_is_lower_and_the_levy_comes_on_top() -> None:
    plan = f"{BASE}\n{STEPS}\nminimum_bill = 335.34\nidle_base = 0.5"
    levy = "[tariff.levy]\n2026-05 = 4.18\n[tariff.fuel]\n2026-11 = -40"
    found = bill_of(tariff(plan, levy, 'contract = "10A"'), "10")
    assert list(lines(found))[-1] == ("up to the minimum of 335.34", "125.59")
    assert found.levy == 41
    assert found.total == 376
    enough = bill_of(tariff(plan, "", 'contract = "40A"'), "10")
    assert "minimum" not in str([*lines(enough)])


def test_nothing_used_halves_the_base() -> None:
    plan = tariff(f"{BASE}\n{STEPS}\nidle_base = 0.5", top='contract = "30A"')
    found = bill_of(plan, "0")
    assert list(lines(found)) == [("base, x 0.5 as nothing was used", "467.62")]
    assert found.total == 467
    assert bill_of(plan, "1").lines[0].amount == Decimal("935.25")


def test_a_negative_fuel_adjustment_may_be_more_than_the_energy() -> None:
    figures = "[tariff.fuel]\n2026-11 = -30.555"
    found = bill_of(tariff(STEPS, figures, ""), "10")
    assert found.total == -7  # 298.00 - 305.55, cut
    assert list(lines(bill_of(tariff(STEPS, figures, ""), "0"))) == [("fuel adjustment", "0.000")]
    less_than_a_yen = bill_of(tariff(STEPS, "[tariff.fuel]\n2026-11 = -30.1", ""), "1")
    assert f"{less_than_a_yen.total}" == "0"


def test_a_figure_that_is_missing_is_unknown_and_never_0() -> None:
    figures = "[tariff.fuel]\n2026-10 = 1\n[tariff.levy]\n2026-12 = 4"
    found = bill_of(tariff(f"{BASE}\n{STEPS}", figures), "100")
    assert list(lines(found))[-1] == ("fuel adjustment", None)
    assert (found.levy, found.total) == (None, None)
    assert found.known == 4227
    assert [problem.split(" is ")[0] for problem in found.problems] == [
        "fuel adjustment of 2026-11",
        "levy of 2026-11",
    ]


def test_the_figure_of_a_minimum_charge_may_be_missing_by_itself() -> None:
    figures = "[tariff.fuel]\n2026-11 = 1\n[tariff.fuel_minimum]\n2026-10 = 1"
    found = bill_of(tariff(KANSAI, figures), "100")
    assert ("fuel adjustment, 15 kWh", None) in lines(found)
    assert found.total is None
    assert "[tariff.fuel_minimum]" in found.problems[0]


def test_a_levy_counts_from_its_month_on_and_says_when_a_new_one_is_due() -> None:
    figures = "[tariff.levy]\n2025-05 = 3.98\n2026-05 = 4.18"
    assert bill_of(tariff(STEPS, figures), "100", "2026-04").levy == 398
    found = bill_of(tariff(STEPS, figures), "100", "2027-04")
    assert found.levy == 418
    assert not found.problems
    found = bill_of(tariff(STEPS, figures), "100", "2027-05")
    assert found.levy == 418
    assert "the levy of 2026-05 is used for 2027-05" in found.problems[0]


def test_energy_behind_the_last_step_has_no_price() -> None:
    plan = tariff("steps = [{ to = 120, price = 29.80 }]", top="")
    assert bill_of(plan, "120").total == 3576
    found = bill_of(plan, "121")
    assert list(lines(found))[-1] == ("energy above 120 kWh", None)
    assert found.total is None


def test_exact_prices_and_large_numbers_stay_exact() -> None:
    plan = tariff("steps = [{ price = 999999.999999 }]", top="")
    assert bill_of(plan, "99999999.4").known == Decimal(99_999_999) * Decimal("999999.999999") // 1
