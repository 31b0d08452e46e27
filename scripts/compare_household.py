#!/usr/bin/env python3
"""Is the simulated household like a real one? Both side by side, as a table and as a picture.

Real days are CSV files of one day each, with the columns `measured_at` (ISO 8601) and
`instant_watt`, about one row a minute. Homes of several seeds are read at the same minutes of the
same calendar days. A statistic is well when the simulated days' median, and at least 60 % of them,
lie within the range of the real ones, widened by its tolerance on either side:

    scripts/compare_household.py FOLDER [--seeds N] [--plot FILE.svg]
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from _project import use_project

use_project()

from kei.simulator.household.household import Household

MINUTES = 1_440
SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}

Watts = dict[int, float]
"""The power of the minutes that are known."""


def quantile(values: Sequence[float], part: float) -> float:
    """Return what this part of the values is below of."""
    ordered = sorted(values)
    return ordered[round(part * (len(ordered) - 1))]


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one home."""

    day: date
    watts: Watts

    @property
    def kwh(self) -> float:
        """The energy of the day, as if minutes that are not known were as the others."""
        return statistics.fmean(self.watts.values()) * 24 / 1000

    def share(self, part: float) -> float:
        """Return what the power is below of for this part of the day."""
        return quantile([*self.watts.values()], part)

    def changes(self) -> list[float]:
        """Return how far the power is from the minute before, W, for each that follows one."""
        known = self.watts
        return [abs(known[at] - known[at - 1]) for at in known if at - 1 in known]

    def steps(self, watt: float) -> float:
        """Return how often a day the power changes by so much from one minute to the next."""
        changes = self.changes()
        return sum(change >= watt for change in changes) * MINUTES / len(changes)

    def hour(self, hour: int, part: float) -> float | None:
        """Return what the power is below of for this part of an hour; None if nothing is known."""
        watts = [self.watts[at] for at in range(hour * 60, hour * 60 + 60) if at in self.watts]
        return quantile(watts, part) if watts else None


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number that tells of a day.

    Attributes:
        name: with its unit.
        of: how to find it.
        tolerance: how far it may be outside the range of the real days, as a share of the limit.
    """

    name: str
    of: Callable[[Day], float]
    tolerance: float


STATISTICS = (
    Statistic("5th percentile (base), W", lambda day: day.share(0.05), 0.10),
    Statistic("median, W", lambda day: day.share(0.5), 0.10),
    Statistic("95th percentile, W", lambda day: day.share(0.95), 0.15),
    Statistic("maximum, W", lambda day: day.share(1.0), 0.15),
    Statistic("kWh a day", lambda day: day.kwh, 0.10),
    Statistic("median change in a minute, W", lambda day: statistics.median(day.changes()), 0.15),
    Statistic("largest change, W", lambda day: max(day.changes()), 0.15),
    Statistic("changes >= 100 W", lambda day: day.steps(100), 0.15),
    Statistic("changes >= 300 W", lambda day: day.steps(300), 0.15),
    Statistic("changes >= 1000 W", lambda day: day.steps(1000), 0.25),
)
HOUR_PARTS = (("median", 0.5), ("95 %", 0.95))
HOUR_TOLERANCE = 0.15
SEASON_TOLERANCE = 0.25  # three real days each, and homes differ more than that
LEAST_SHARE = 0.6


def real_day(path: Path) -> Day:
    """Read a file; the first row of a minute counts."""
    watts: Watts = {}
    days = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["instant_watt"]:
                moment = datetime.fromisoformat(row["measured_at"])
                days.add(moment.date())
                watts.setdefault(moment.hour * 60 + moment.minute, float(row["instant_watt"]))
    if len(days) != 1:
        sys.exit(f"{path}: it holds {len(days)} days instead of one")
    return Day(days.pop(), watts)


def simulated_day(home: Household, real: Day) -> Day:
    """Read the home at the minutes of the real day."""
    midnight = int(datetime(real.day.year, real.day.month, real.day.day, tzinfo=UTC).timestamp())
    return Day(real.day, {at: home.watt(midnight + at * 60) for at in real.watts})


def judged(name: str, real: Sequence[float], made: Sequence[float], tolerance: float) -> bool:
    """Print a line; return whether the median of what was made is within the widened range."""
    low, high = min(real) * (1 - tolerance), max(real) * (1 + tolerance)
    middle = statistics.median(made)
    share = sum(low <= value <= high for value in made) / len(made)
    well = low <= middle <= high and share >= LEAST_SHARE
    print(
        f"{name:32}{min(real):8.1f}{statistics.median(real):8.1f}{max(real):8.1f}  |"
        f"{quantile(made, 0.1):8.1f}{middle:8.1f}{quantile(made, 0.9):8.1f}  "
        f"{tolerance:4.0%}{share:7.0%}  {'ok' if well else 'OUT'}"
    )
    return well


def by_hour(days: Sequence[Day], hour: int, part: float) -> list[float]:
    """Return `Day.hour` of the days that know it."""
    return [watt for day in days if (watt := day.hour(hour, part)) is not None]


def compare(real: Sequence[Day], made: Sequence[Day]) -> bool:
    """Print the table; return whether everything in it is well."""
    print(
        f"{'':32}{'real: least, median, most':>24}  |{'made: 10 %, median, 90 %':>24}  tol. within"
    )
    well = [
        judged(item.name, [*map(item.of, real)], [*map(item.of, made)], item.tolerance)
        for item in STATISTICS
    ]
    for season, months in SEASONS.items():
        of_real = [day.kwh for day in real if day.day.month in months]
        of_made = [day.kwh for day in made if day.day.month in months]
        if of_real:
            well.append(judged(f"kWh a day, {season}", of_real, of_made, SEASON_TOLERANCE))
    for name, part in HOUR_PARTS:
        for hour in range(24):
            title = f"{hour:02}:00-{hour:02}:59 {name}, W"
            of_real, of_made = by_hour(real, hour, part), by_hour(made, hour, part)
            well.append(judged(title, of_real, of_made, HOUR_TOLERANCE))
    print(f"{sum(well)} of {len(well)} within the range of the real days")
    return all(well)


def plot(real: Sequence[Day], made: Sequence[Day], path: Path) -> None:
    """Draw each real day above a simulated one of the same date, as SVG."""
    width, height, gap, most = MINUTES // 2, 90, 22, 3000
    parts = []
    for row, pair in enumerate(zip(real, made, strict=True)):
        for column, (day, colour) in enumerate(zip(pair, ("#555", "#06c"), strict=True)):
            left, bottom = 10 + column * (width + 20), 10 + (row + 1) * (height + gap)
            points = " ".join(
                f"{left + at / 2},{bottom - min(max(watt, 0), most) * height / most:.1f}"
                for at, watt in sorted(day.watts.items())
            )
            title = f"{day.day} {'simulated' if column else 'real'}, {day.kwh:.1f} kWh"
            parts.append(
                f'<path d="M{left} {bottom}h{width}m0 -{height}h-{width}" stroke="#ccc"/>'
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width=".7"/>'
                f'<text x="{left}" y="{bottom - height - 3}" font-size="11">{title}, '
                f"0..{most} W</text>"
            )
    size = (2 * width + 40, 20 + len(real) * (height + gap))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> int:
    """Compare; the exit code is 1 when something is out of range."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with one CSV file for each real day")
    parser.add_argument("--seeds", type=int, default=10, help="how many homes (default: 10)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the days of seed 0")
    options = parser.parse_args()
    real = [real_day(path) for path in sorted(options.folder.glob("*.csv"))]
    if not real:
        parser.error(f"{options.folder} holds no CSV file")
    homes = [Household(seed) for seed in range(options.seeds)]
    made = [simulated_day(home, day) for home in homes for day in real]
    well = compare(real, made)
    if options.plot:
        plot(real, made[: len(real)], options.plot)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
