"""A home that repeats a recorded day, read from a CSV file."""

import csv
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from kei.core.errors import ConfigError
from kei.simulator.household.household import INSTALLED_S, MAX_WATT, Load
from kei.simulator.household.profile import SECONDS_PER_DAY, DayProfile, Energy

_TIME, _WATT = "measured_at", "instant_watt"
_MAX_LINES = 1_000_000  # one a second is 86,400


class RecordedHousehold(Load):
    """A home whose days are all the recorded one.

    The power of a row holds until the next one, over gaps and over midnight. Of rows with the same
    time, the first counts.

    Args:
        path: a CSV file with the columns `measured_at` (ISO 8601; the time of day is what counts,
            whatever its offset from UTC) and `instant_watt`; rows without power are passed over.

    Raises:
        ConfigError: the file cannot be read, or a row of it is wrong.
    """

    share_of_r = 0.6

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise ConfigError([f"household {path}: it is no file; give the CSV file of a day"])
        try:
            # Only in a column that is used is a byte that is not UTF-8 a mistake, found there.
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                self._day = DayProfile(_edges(_watts(path, file)))
        except OSError as error:
            raise ConfigError([f"household {path}: {error.strerror}"]) from error

    def watt(self, second: int) -> int:
        """Return the power at a local second, W; negative when more is sold than used."""
        return self._day.watt(second % SECONDS_PER_DAY)

    def energy(self, second: int) -> Energy:
        """Return the energy from the installation to a local second; negative before it."""
        days, in_day = divmod(second - INSTALLED_S, SECONDS_PER_DAY)
        return self._day.total.times(days) + self._day.energy(in_day)


def _edges(watts: dict[int, int]) -> dict[int, int]:
    """Return the changes of the power by second, from the power since each second."""
    latest = 0
    edges = {}
    for second, watt in sorted({0: watts[max(watts)], **watts}.items()):
        edges[second] = watt - latest
        latest = watt
    return edges


def _watts(path: Path, lines: Iterable[str]) -> dict[int, int]:
    """Return the power of the rows by second of the day."""
    rows = csv.DictReader(lines)
    try:
        watts = _by_second(rows)
    except (ValueError, csv.Error) as error:
        raise ConfigError([f"household {path}, line {max(1, rows.line_num)}: {error}"]) from error
    if not watts:
        raise ConfigError([f"household {path}: it holds no power"])
    return watts


def _by_second(rows: "csv.DictReader[str]") -> dict[int, int]:
    """As `_watts`; raises ValueError about the row that was read last."""
    if not {_TIME, _WATT} <= set(rows.fieldnames or ()):
        raise ValueError(f"the columns {_TIME} and {_WATT} are needed")
    watts: dict[int, int] = {}
    day: date | None = None
    for row in rows:
        if rows.line_num > _MAX_LINES:
            raise ValueError(f"there are more than {_MAX_LINES} lines")
        if not row[_WATT]:
            continue
        moment, watt = _moment(row[_TIME] or ""), _power(row[_WATT])
        day = day or moment.date()
        if moment.date() != day:
            raise ValueError(f"{moment.date()} comes after {day}; the file of one day is needed")
        watts.setdefault(moment.hour * 3600 + moment.minute * 60 + moment.second, watt)
    return watts


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is no time like 2022-09-20T00:01:00") from None


def _power(text: str) -> int:
    try:
        watt = float(text)
    except ValueError:
        watt = float("nan")
    if not abs(watt) <= MAX_WATT:  # not-a-number fails here, too
        raise ValueError(f"'{text}' is no power of a home in W")
    return round(watt)
