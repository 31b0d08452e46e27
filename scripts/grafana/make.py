#!/usr/bin/env python3
"""Write the dashboards for Grafana; home.py and fleet.py say what is on them."""

import argparse
import json
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "dashboards")
    write(parser.parse_args().folder)
