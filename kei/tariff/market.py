"""Prices of the power market from a CSV file: the only module of this room that reads a file.

Which columns there are is told by the first line that names a time and a price: the summary that
the Japanese power exchange (JEPX) publishes, with a column for each area and time codes 1 to 48, or
any table of times and prices. Times without an offset are Japan time, as everywhere at JEPX.
"""

import codecs
import csv
import errno
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

from kei.core.clock import epoch_ms
from kei.core.printable import counted
from kei.energy.registers import HALF_HOUR_MS
from kei.settings.tariff import PRICE_MAX, Area, Market, Tariff

JAPAN = timezone(timedelta(hours=9))
CODES = range(1, 49)  # JEPX's numbers of the half-hours of a day

_HEAD_LINES = 10  # in which the names of the columns have to be
_PROBE_BYTES = 65_536
_DELIMITERS = ",;\t"
_NUMBER = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,6})?")
_DATE = re.compile(r"([0-9]{4})([-/]?)([0-9]{1,2})\2([0-9]{1,2})")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):(00|30)(:00)?(\s*[-~〜～–].*)?")
_OFFSET = re.compile(r"(Z|\+[0-9]{2}:?[0-9]{2})$")  # behind a minus is the end of the half-hour

_AREA_NAMES = {
    Area.HOKKAIDO: "北海道",
    Area.TOHOKU: "東北",
    Area.TOKYO: "東京",
    Area.CHUBU: "中部",
    Area.HOKURIKU: "北陸",
    Area.KANSAI: "関西",
    Area.CHUGOKU: "中国",
    Area.SHIKOKU: "四国",
    Area.KYUSHU: "九州",
}
_DATES = ("受渡日", "年月日", "日付", "date", "day")
_CODES = ("時刻コード", "コード", "time code", "timecode", "time_code", "code", "slot")
_TIMES = ("日時", "時刻", "datetime", "timestamp", "time", "start", "from")
_AREAS = ("エリア", "area")
_PRICES = ("エリアプライス", "area price", "area_price", "価格", "単価", "price")


@dataclass(slots=True)
class MarketFile:
    """What a file says.

    Attributes:
        prices: yen/kWh of half-hours, by their beginning in milliseconds since 1970 in UTC.
        problems: sentences on what is wrong with the file.
    """

    prices: dict[int, Decimal] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_all(tariff: Tariff, start_ms: int, end_ms: int) -> dict[Market, MarketFile]:
    """Read the files of all plans; see `read`."""
    markets = {plan.market for plan in tariff.plan if plan.market is not None}
    return {market: read(market, start_ms, end_ms) for market in markets}


def read(market: Market, start_ms: int, end_ms: int) -> MarketFile:
    """Read the prices of a range of time; a file that cannot be read has none, and a problem.

    Args:
        market: says which file, and which area.
        start_ms: the first instant, milliseconds since 1970 in UTC.
        end_ms: the first instant behind the range.
    """
    found = MarketFile()
    try:
        _read_into(found, market, start_ms, end_ms)
    except OSError as error:
        found.problems.append(f"{market.file}: market prices cannot be read ({error.strerror})")
    except csv.Error as error:
        found.problems.append(f"{market.file}: is no CSV file ({error})")
    return found


def _read_into(found: MarketFile, market: Market, start_ms: int, end_ms: int) -> None:
    encoding, delimiter = _form_of(market.file)
    with market.file.open(encoding=encoding, errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        columns, first = _columns_of(rows, market.area)
        if columns is None:
            names = f"a time and a price, of {market.area} if there are several"
            found.problems.append(f"{market.file}: no line names the columns of {names}")
            return
        bad: list[int] = []
        for row in chain(first, rows):
            try:
                each = columns.read(row)
            except (ValueError, OverflowError):
                bad.append(rows.line_num)
                continue
            if each is not None and start_ms <= each[0] < end_ms:
                found.prices[each[0]] = each[1]
    if bad:
        count = counted(len(bad), "line")
        found.problems.append(f"{market.file}:{bad[0]}: {count} cannot be read, the first here")


def _form_of(path: Path) -> tuple[str, str]:
    """Return the encoding and the delimiter of a file, by its beginning. OSError."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe could be waited for without an end
        raise OSError(errno.EINVAL, "it is no regular file")
    with path.open("rb") as file:
        data = file.read(_PROBE_BYTES)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        try:
            # A character that the end of the probe cuts is no mistake.
            codecs.getincrementaldecoder("utf-8")().decode(data)
            encoding = "utf-8-sig"
        except UnicodeDecodeError:
            encoding = "cp932"  # Shift_JIS as Windows writes it, and JEPX
    head = data.decode(encoding, errors="replace").splitlines()[:_HEAD_LINES]
    counts = {each: max((line.count(each) for line in head), default=0) for each in _DELIMITERS}
    return encoding, max(_DELIMITERS, key=lambda each: counts[each])


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the time and the price are in a row.

    Attributes:
        day: of the date, or of date and time together.
        time: of the time code, or the time of day; None if `day` has both.
        price: of the price.
        area: of the name of an area, if each row is for one.
        is_wanted: tells whether such a name is the wanted one.
    """

    day: int
    time: int | None
    price: int
    area: int | None
    is_wanted: Callable[[str], bool]

    def read(self, row: Sequence[str]) -> tuple[int, Decimal] | None:
        """Return time and price of a row; None if there is none for the area. ValueError."""
        price, day = _cell(row, self.price), _cell(row, self.day)
        if self.area is not None and not self.is_wanted(_cell(row, self.area)):
            return None
        if not price:
            return None
        if not _NUMBER.fullmatch(price) or abs(Decimal(price)) > PRICE_MAX:
            raise ValueError(price)
        time = None if self.time is None else _cell(row, self.time)
        return _start_ms(day, time), Decimal(price)


def _cell(row: Sequence[str], number: int) -> str:
    return row[number].strip() if number < len(row) else ""


def _columns_of(
    rows: Iterator[list[str]], area: Area
) -> tuple[_Columns | None, Iterable[list[str]]]:
    """Return the columns, and the rows that were read for that and are data."""
    is_wanted = _name_test(area)
    for row in islice(rows, _HEAD_LINES):
        names = [cell.strip().lower() for cell in row]
        if len(names) in (2, 3) and _is_data(names):
            return _Columns(0, 1 if len(names) == 3 else None, len(names) - 1, None, is_wanted), [
                row
            ]
        found = _named(names, is_wanted)
        if found is not None:
            return found, []
    return None, []


def _named(names: Sequence[str], is_wanted: Callable[[str], bool]) -> _Columns | None:
    day, code = _first(names, _DATES), _first(names, _CODES)
    time = code if code is not None else _first(names, _TIMES)
    if day is None:
        day, time = time, None
    area = _first(names, _AREAS)
    own = [number for number, name in enumerate(names) if is_wanted(name)]
    prices = [number for number, name in enumerate(names) if name.startswith(_PRICES)]
    best = [number for number in own if number in prices] or own
    if not best and (area is not None or len(prices) == 1):
        best = prices
    if day is None or not best:
        return None
    return _Columns(day, time, best[0], area, is_wanted)


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return which column has one of the names, the first name first."""
    return next((names.index(name) for name in wanted if name in names), None)


def _name_test(area: Area) -> Callable[[str], bool]:
    english = re.compile(rf"(?<![a-z]){area}(?![a-z])")
    japanese = _AREA_NAMES[area]
    return lambda name: japanese in name or english.search(name.lower()) is not None


def _is_data(cells: Sequence[str]) -> bool:
    try:
        _start_ms(cells[0], cells[1] if len(cells) == 3 else None)
    except (ValueError, OverflowError):
        return False
    return _NUMBER.fullmatch(cells[-1]) is not None


def _start_ms(day: str, time: str | None) -> int:
    """Return when a half-hour begins, milliseconds since 1970 in UTC. ValueError."""
    if time is None:
        day, _, time = day.replace("T", " ").partition(" ")
    if _OFFSET.search(time):
        start = epoch_ms(datetime.fromisoformat(f"{day.replace('/', '-')} {time}"))
    else:
        start = _midnight_ms(day) + _of_day_ms(time)
    if start % HALF_HOUR_MS:
        raise ValueError(day)
    return start


@lru_cache(maxsize=2)  # 48 rows have the same day
def _midnight_ms(day: str) -> int:
    found = _DATE.fullmatch(day)
    if found is None:
        raise ValueError(day)
    at = date(int(found[1]), int(found[3]), int(found[4]))
    return epoch_ms(datetime(at.year, at.month, at.day, tzinfo=JAPAN))


def _of_day_ms(time: str) -> int:
    """Return how long after midnight a time code, or a time of day, begins. ValueError."""
    clock = _CLOCK.fullmatch(time)
    if clock is not None:
        return (int(clock[1]) * 60 + int(clock[2])) * 60_000
    if int(time) not in CODES:
        raise ValueError(time)
    return (int(time) - 1) * HALF_HOUR_MS
