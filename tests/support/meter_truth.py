"""What a simulated meter counts, compared with what a kei has recorded of its half-hours."""

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from kei.simulator.household.household import Household
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import EnergyCounter

SEED = 7
JAPAN_S, HALF_HOUR_S, DAY_S = 9 * 3600, 1800, 86_400
Found = Counter[tuple[str, int, Decimal]]
"""How often a SensorID has a value at a second since 1970."""


def truth(first_s: float, last_s: float, sensors: str) -> Found:
    """What the simulated meter with seed `SEED` and panels counts at each half-hour of a time."""
    home = EnergyCounter(Household(SEED, solar=True), MeterType().counting)
    read = {"EA": home.normal, "EB": home.reverse}
    times = range(int(-(-first_s // HALF_HOUR_S) * HALF_HOUR_S), int(last_s) + 1, HALF_HOUR_S)
    return Counter(
        (sensor, at, Decimal(int.from_bytes(read[sensor](at + JAPAN_S), "big")) / 10)
        for sensor in sensors.split()
        for at in times
    )


def day_start_s(days_ago: int, at_s: float) -> float:
    """When a day in Japan began, so many days before that of an instant."""
    return (at_s + JAPAN_S) // DAY_S * DAY_S - JAPAN_S - days_ago * DAY_S


def in_text(folder: Path, zone: str = "UTC") -> Found:
    """The half-hour values of the files, each of which has to be in the file of its date."""
    found: Found = Counter()
    for file in folder.glob("2*-*.txt"):
        for line in file.read_text().splitlines():
            moment, _, sensor, value, _ = line.split(",")
            if sensor in {"EA", "EB"}:
                assert file.name[:8] == moment[:10].replace("/", "")
                at = datetime.strptime(moment, "%Y/%m/%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
                found[sensor, int(at.timestamp()), Decimal(value)] += 1
    return found


def in_database(folder: Path, where: str = "") -> Found:
    """The half-hour values of the database, or some of them: a condition of SQL."""
    with closing(sqlite3.connect(folder / "kei.db")) as connection:
        rows = connection.execute(
            "SELECT sensor, time_ms, value FROM readings JOIN series ON series.id = series_id"
            f" WHERE sensor IN ('EA', 'EB'){where and ' AND '}{where}"
        ).fetchall()
    return Counter((sensor, at // 1000, Decimal(value) / 10_000) for sensor, at, value in rows)


def differences(
    folder: Path, first_s: float, last_s: float, sensors: str = "EA EB", zone: str = "UTC"
) -> dict[str, int]:
    """How many half-hours of a time lack, are wrong or there twice, in the files and database."""
    wanted = truth(first_s, last_s, sensors)
    differs = {}
    for place, found in (("text", in_text(folder, zone)), ("database", in_database(folder))):
        inside = Counter(
            {
                each: count
                for each, count in found.items()
                if each[0] in sensors.split() and first_s <= each[1] <= last_s
            }
        )
        differs[f"{place} lacks"] = (wanted - inside).total()
        differs[f"{place} has besides"] = (inside - wanted).total()
    return {what: count for what, count in differs.items() if count}
