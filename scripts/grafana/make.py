#!/usr/bin/env python3
"""Writes the dashboards for Grafana: `scripts/grafana/make.py`, or into another folder, if given.

`home.py` and `fleet.py` say what is on them.
"""

import json
import sys
from pathlib import Path

from fleet import fleet
from home import home
from panels import INFLUXDB, PROMETHEUS

HERE = Path(__file__).resolve().parent


def write(folder: Path) -> None:
    """Write each dashboard for each type of data source."""
    for name, make in (("home", home), ("fleet", fleet)):
        for of in (PROMETHEUS, INFLUXDB):
            text = json.dumps(make(of), indent=1, ensure_ascii=False)
            (folder / f"{name}-{of}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dashboards")
