#!/usr/bin/env python3
"""A real kei, killed with -9 at random instants, again and again, in a fresh folder.

After each kill everything that was seen in the text before, and everything that the meter had
answered more than a second before, has to be there; and `kei export` has to tell the same readings
as the text. The exit code is 1 if not:

    scripts/soak_crash.py [--kills 200] [--seed 1]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from _project import use_project

use_project()

from crashes import Victim


def main() -> int:
    """Kill, look, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kei-soak-") as folder:
        victim = Victim(Path(folder), options.seed)
        deaths = [victim.die() for _ in range(options.kills)]
        code = victim.live_and_end()
        exported, stored = sum(victim.exported().values()), victim.in_database()
        windows = victim.has_every_window_once()
    bad = [death for death in deaths if death.lost or death.unrecorded or death.differences]
    print(f"kills                             {len(deaths)}")
    print(f"readings at the end               {deaths[-1].lines} and more")
    print(f"kills that cost something         {len(bad)} {bad[:3] or ''}")
    print(f"readings exported, in database    {exported} {stored}")
    print(f"every window has one line         {windows}")
    return 0 if not bad and not code and exported == stored and windows else 1


if __name__ == "__main__":
    sys.exit(main())
