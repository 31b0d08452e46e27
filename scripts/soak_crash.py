#!/usr/bin/env python3
"""A real kei and its disasters, at random instants: kill -9, power cuts, clocks that are set.

kei reads a simulated meter and a board with sensors, averages, and uploads every reading to two
servers. Each kind of disaster has a house of its own. At the end the text, the database and both
servers have to hold the same readings, each once, and nothing that was recorded long enough before
may be missing. Power is cut by shutting an ext4 file system down without flushing its log; that
needs root and a loop device, and is skipped with the reason where it cannot be had. The exit code
is 1 if anything is lost or differs:

    scripts/soak_crash.py [--kills 200] [--cuts 50] [--steps 50] [--removals 10] [--seed 1]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _project import use_project

use_project()

from disasters import House
from small_disks import Disk


def live_through(name: str, house: House, disaster: Callable[[], None], count: int) -> bool:
    """Meet a disaster so often; say what is left, and return whether all is well."""
    began = time.monotonic()
    for _ in range(count):
        disaster()
    house.settle()
    differences = {what: lines for what, lines in house.differences().items() if lines}
    is_well = not differences and not house.lost and len(house.days()) <= MOST_DAYS
    print(
        f"{name:9} {count:4}  readings {house.text().total():6}  lost {house.lost}"
        f"  differences {differences or 'none'}  days {len(house.days())}"
        f"  {time.monotonic() - began:.0f} s",
        flush=True,
    )
    house.servers.close()
    return is_well


MOST_DAYS = 2  # the soak may go on over midnight


def main() -> int:
    """Live through everything that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--removals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    is_well = True
    with tempfile.TemporaryDirectory(prefix="kei-soak-") as name:
        folder = Path(name)
        for what, count, disaster in (
            ("kills", options.kills, House.kill),
            ("steps", options.steps, House.set_clock),
            ("removals", options.removals, House.remove_database),
        ):
            if count:
                place = folder / what
                place.mkdir()
                house = House(place, options.seed)
                is_well &= live_through(what, house, lambda h=house, d=disaster: d(h), count)
        if options.cuts:
            place = folder / "cuts"
            place.mkdir()
            try:
                disk = Disk(place)
            except OSError as error:
                print(f"cuts      skipped: {error}")
            else:
                house = House(place, options.seed, disk)
                try:
                    is_well &= live_through("cuts", house, house.cut_power, options.cuts)
                finally:
                    disk.unmount()
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
