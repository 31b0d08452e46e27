"""Half-hour prices of the power market, from files as people have them."""

import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tariffs import Home, at, lines, tariff

from kei.energy.report import Gap
from kei.settings.tariff import Area, Market
from kei.tariff.bill import Forecast
from kei.tariff.market import read

JEPX = """受渡日,時刻コード,売り入札量(kWh),システムプライス(円/kWh),エリアプライス北海道(円/kWh),\
エリアプライス東京(円/kWh),エリアプライス中部(円/kWh),回避可能原価東京(円/kWh)
2026/10/01,1,21904900,11.11,10.00,12.34,9.99,77
2026/10/01,48,21904900,11.11,10.00,0.01,9.99,77
2026/10/02,1,21904900,11.11,10.00,15.5,9.99,77
"""
TIMES = ("2026-10-01 00:00", "2026-10-01 23:30", "2026-10-02 00:00")
PRICES = ("12.34", "0.01", "15.5")


@pytest.fixture
def prices(tmp_path: Path) -> Callable[..., tuple[dict[int, Decimal], list[str]]]:
    def read_prices(
        data: str | bytes, area: Area = Area.TOKYO
    ) -> tuple[dict[int, Decimal], list[str]]:
        path = tmp_path / "jepx.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        found = read(Market(file=path, area=area), at("2026-10-01"), at("2026-11-01"))
        return found.prices, [each.removeprefix(str(path)) for each in found.problems]

    return read_prices


Reader = Callable[..., tuple[dict[int, Decimal], list[str]]]
EXPECTED = {at(when): Decimal(price) for when, price in zip(TIMES, PRICES, strict=True)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "shift_jis", "cp932", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_file_of_the_exchange_in_any_encoding(prices: Reader, encoding: str, end: str) -> None:
    assert prices(JEPX.replace("\n", end).encode(encoding)) == (EXPECTED, [])


@pytest.mark.parametrize(
    "text",
    [
        "date,code,tokyo,osaka\n2026-10-01,1,12.34,1\n2026-10-01,48,0.01,1\n2026-10-02,1,15.5,1",
        "Date;Code;Area Price Tokyo(JPY/kWh)\n20261001;1;12.34\n20261001;48;0.01\n20261002;1;15.5",
        "time,price\n2026-10-01T00:00+09:00,12.34\n2026-10-01T14:30Z,0.01\n2026-10-02 00:00,15.5",
        "time\tprice\n2026/10/1 0:00\t12.34\n2026/10/1 23:30\t0.01\n2026/10/2 00:00\t15.5",
        "日付,時刻,価格\n2026/10/01,00:00-00:30,12.34\n2026/10/01,23:30～,0.01\n2026/10/02,0:00,15.5",
        "datetime,area,price\n2026-10-01 00:00,Tokyo,12.34\n2026-10-01 00:30,kansai,9\n"  # noqa: ISC004
        "2026-10-01 23:30,東京,0.01\n2026-10-02 00:00,tokyo,15.5",
        "a title\n\nday,slot,price\n2026-10-01,1,12.34\n2026-10-01,48,0.01\n2026-10-02,1,15.5\n\n",
        "2026-10-01,1,12.34\n2026-10-01,48,0.01\n2026-10-02,1,15.5",
        "2026-10-01 00:00,12.34\n2026-10-01 23:30,0.01\n2026-10-02 00:00,15.5",
    ],
)
def test_other_tables_of_times_and_prices(prices: Reader, text: str) -> None:
    assert prices(text) == (EXPECTED, [])


def test_another_area_has_its_own_column(prices: Reader) -> None:
    assert set(prices(JEPX, Area.CHUBU)[0].values()) == {Decimal("9.99")}
    found, problems = prices(JEPX, Area.KYUSHU)
    assert (found, len(problems)) == ({}, 1)
    assert "no line names the columns of a time and a price, of kyushu" in problems[0]


def test_what_cannot_be_read_is_told_with_its_line(prices: Reader) -> None:
    odd = (
        "date,code,tokyo\n2026-10-01,1,12.34\n2026-10-01,49,1\n2026-13-01,1,1\n2026-10-01,2,x\n"
        "2026-10-01,3,\n2026-10-01\n2026-10-01,4,nan\n2026-10-01,48,0.01\n2026-10-02,1,15.5\n"
        "2026-10-02,0:15,1\n2026-10-02,0:90,1\n2026-10-01,24:00,9\n"
    )
    found, problems = prices(odd)
    assert found == EXPECTED
    assert problems == [":3: 7 lines cannot be read, the first here"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\xff" * 50_000, b"hello", os.urandom(5000), b"time,price\n" + b"x" * 200_000],
)
def test_any_bytes_are_no_prices(prices: Reader, data: bytes) -> None:
    found, problems = prices(data)
    assert not found
    assert problems


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        found = read(Market(file=path, area=Area.TOKYO), 0, 1)
        assert found.problems == [f"{path}: market prices cannot be read (it is no regular file)"]


def test_a_bill_at_market_prices(tmp_path: Path) -> None:
    path = tmp_path / "jepx.csv"
    path.write_text(JEPX)
    plan = f'market = {{ file = "{path}", area = "tokyo", factor = 1.1, add = 2.50 }}'
    used = dict(zip(TIMES, ("1.2", "0.7", "2.0"), strict=True))
    found = Home(tariff(plan, top=""), used=used).bill()
    # 1.2 x 16.074 + 0.7 x 2.511 + 2.0 x 19.55
    assert list(lines(found)) == [("energy at market prices", "60.14")]
    assert found.lines[0].quantity == Decimal("3.9")
    assert found.lines[0].price == Decimal("15.42")
    assert found.total == 60
    assert not found.problems


def test_a_half_hour_without_a_price_is_unknown_and_never_0(tmp_path: Path) -> None:
    path = tmp_path / "jepx.csv"
    path.write_text(JEPX)
    plan = tariff(f'market = {{ file = "{path}", area = "tokyo" }}', top="")
    used = {TIMES[0]: "1", "2026-10-05 12:00": "2", "2026-10-05 13:30": "3"}
    found = Home(plan, used=used).bill()
    assert list(lines(found)) == [
        ("energy at market prices", "12.34"),
        ("energy without a market price", None),
    ]
    assert found.lines[1].quantity == 5
    assert (found.total, found.known) == (None, Decimal(12))
    assert found.problems == (
        "no market price for 2 half-hours between 2026-10-05 12:00 and 2026-10-05 14:00",
    )
    path.unlink()
    found = Home(plan, used=used).bill()
    assert found.total is None
    assert found.problems[0] == f"{path}: market prices cannot be read (No such file or directory)"


@pytest.fixture
def at_market(tmp_path: Path) -> Home:
    """A home whose market prices are known for the first ten days: by day 20, else 10."""
    path = tmp_path / "jepx.csv"
    rows = (
        f"2026-10-{day:02},{code},{20 if 24 < code <= 36 else 10}\n"
        for day in range(1, 11)
        for code in range(1, 49)
    )
    path.write_text("date,code,tokyo\n" + "".join(rows))
    plan = f'market = {{ file = "{path}", area = "tokyo", factor = 2, add = 1 }}'
    used = {f"2026-10-{day:02} {hour}:00": "1" for day in range(1, 11) for hour in (11, 12)}
    return Home(tariff(plan, top=""), used=used)


def test_a_range_and_the_next_kwh_at_market_prices(at_market: Home) -> None:
    use = at_market.use("2026-10-12")
    found = at_market.pricing.cost(use, at("2026-10-02"), at("2026-10-04"))
    assert found.amount == 2 * (21 + 41)
    price = at_market.pricing.price_at(use, at("2026-10-10 12:20"))
    assert price is not None
    assert price.total == 41
    assert price.what == "market"
    price = at_market.pricing.price_at(use, at("2026-10-12 12:20"))
    assert price is not None
    assert price.total is None


def test_market_prices_to_come_are_expected_as_those_before(at_market: Home) -> None:
    period = at_market.pricing.period_at(at("2026-10-11"))
    found = at_market.pricing.forecast(period, at_market.use("2026-10-11"))
    assert found == Forecast(Decimal(62), Decimal(31 * (21 + 41)), Decimal(31 * (21 + 41)))


def test_what_flowed_in_a_gap_has_no_market_price_but_one_in_the_forecast(at_market: Home) -> None:
    gap = Gap(at("2026-10-05 11:00"), at("2026-10-05 13:00"), Decimal(2))
    home = replace(at_market, gaps=(gap,))
    bill = home.bill("2026-10-11")
    assert bill.kwh == 20
    assert bill.total == 9 * (21 + 41)
    assert "2 kWh have no price here" in bill.problems[0]
    found = home.pricing.forecast(bill.period, home.use("2026-10-11"))
    assert found is not None
    assert found.total == 31 * (21 + 41)
