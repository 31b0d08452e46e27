"""A recorded day instead of a made-up home: it is played again every day."""

import csv
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from kei.errors import ConfigError
from kei.simulator.household import (
    INSTALLED_S,
    MINUTES_PER_DAY,
    SECONDS_PER_DAY,
    DayProfile,
    Energy,
)

_TIME, _WATT = "measured_at", "instant_watt"
_MAX_WATT = 100_000  # far more than a home's main fuse lets through
_MAX_ROWS = 1_000_000  # one a second is 86,400
_SHARE_OF_R = 0.6


class RecordedHousehold:
    """A home that does every day what it did on the recorded one.

    Args:
        path: a CSV file with the columns `measured_at` (ISO 8601) and `instant_watt`; rows without
            power are passed over. A minute without a row goes on as the one before it.

    Raises:
        ConfigError: the file cannot be read, or a row of it means nothing.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                self._day = DayProfile(_minutes(path, csv.DictReader(file)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError([f"household {path}: {error}"]) from error

    def watt(self, second: int) -> int:
        """Return the power at a local second, W; negative when more is sold than used."""
        return self._day.watts[second % SECONDS_PER_DAY // 60]

    def energy(self, second: int) -> Energy:
        """Return the energy from the installation to a local second; negative before it."""
        days, in_day = divmod(second - INSTALLED_S, SECONDS_PER_DAY)
        return self._day.total.times(days) + self._day.energy(in_day)

    def current_tenths(self, second: int) -> tuple[int, int]:
        """Return the current of the R and the T phase, 0.1 A, at 100 V each."""
        total = round(self.watt(second) / 10)
        on_r = round(total * _SHARE_OF_R)
        return on_r, total - on_r


def _minutes(path: Path, rows: "csv.DictReader[str]") -> list[int]:
    """Return the power of each minute of the day."""
    known: dict[int, int] = {}
    days: set[date] = set()
    for moment, watt in _readings(path, rows):
        known.setdefault(moment.hour * 60 + moment.minute, watt)
        days.add(moment.date())
    if len(days) != 1:
        raise ConfigError([f"household {path}: it holds {len(days)} days instead of one"])
    watts = []
    latest = known[min(known)]
    for minute in range(MINUTES_PER_DAY):
        latest = known.get(minute, latest)
        watts.append(latest)
    return watts


def _readings(path: Path, rows: "csv.DictReader[str]") -> Iterator[tuple[datetime, int]]:
    if not {_TIME, _WATT} <= set(rows.fieldnames or ()):
        raise ConfigError([f"household {path}: the columns {_TIME} and {_WATT} are needed"])
    for row in rows:
        place = f"household {path}, line {rows.line_num}"
        if rows.line_num > _MAX_ROWS:
            raise ConfigError([f"{place}: more than {_MAX_ROWS} lines"])
        if not row[_WATT]:
            continue
        try:
            moment, watt = datetime.fromisoformat(row[_TIME]), float(row[_WATT])
        except (TypeError, ValueError) as error:
            raise ConfigError([f"{place}: {error}"]) from error
        if not abs(watt) <= _MAX_WATT:  # not-a-number fails here, too
            raise ConfigError([f"{place}: {row[_WATT]} is no power of a home in W"])
        yield moment, round(watt)
