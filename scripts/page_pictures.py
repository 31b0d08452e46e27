#!/usr/bin/env python3
"""Make the pictures of the page in docs/images: phone and desktop, day and night, two languages.

A real kei shows a simulated home with solar panels that it has recorded for thirteen months, in a
real Chromium (Debian packages chromium and chromium-driver; fonts-noto-cjk for Japanese):

    scripts/page_pictures.py [FOLDER]
"""

import argparse
import math
import tempfile
from decimal import Decimal
from pathlib import Path

from _project import ROOT, use_project

use_project()

from browser import Browser, driver
from fakes import TOKYO
from programs import free_port, running
from recorded_home import record_home
from stored import add_readings
from web_support import TARIFF, web_jobs

from kei.core.clock import SystemClock
from kei.core.reading import Reading
from kei.store.database import Database

DAYS = 400
SIZES = {"desktop": (1200, 1130), "phone": (390, 844)}
LANGUAGES = {"en": "en-GB", "ja": "ja-JP"}
THEMES = {"day": "light", "night": "dark"}
SETTLED = (
    "return ['day', 'week', 'year'].every((id) => document.querySelector(`#${id} svg`))"
    " && document.querySelectorAll('#sensors svg').length > 2"
    " && !document.querySelector('#share').hidden && document.querySelector('#how dd')"
)


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    into: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix="kei-pictures-") as name:
        folder, port, clock = Path(name), free_port(), SystemClock(TOKYO)
        record_home(folder / "kei.db", clock, days=DAYS, power_every_s=10, solar=True)
        record_weather(folder / "kei.db", clock)
        jobs = web_jobs(folder, TARIFF, port=port, simulator=",solar")
        arguments = ("--jobs", str(jobs))
        with running(*arguments, cwd=folder, measured=False, TZ="Asia/Tokyo") as kei:
            kei.wait_for_event("web_listening")
            kei.wait_for_event("session_joined")
            with driver() as chrome:
                for language, accepted in LANGUAGES.items():
                    with Browser(chrome, accepted) as window:
                        take(window, f"http://127.0.0.1:{port}/", language, into)


def take(window: Browser, url: str, language: str, into: Path) -> None:
    """Take the pictures of a language."""
    for theme, preferred in THEMES.items():
        for size, (width, height) in SIZES.items():
            window.size(width, height, scale=1 if size == "desktop" else 1.5)
            window.prefer(preferred)
            window.open(url)
            window.wait_for(SETTLED, "the charts")
            path = into / f"page-{size}-{theme}.{language}.webp"
            path.write_bytes(window.picture("webp"))
            print(f"{path}: {path.stat().st_size} bytes")


def record_weather(database: Path, clock: SystemClock) -> None:
    """Put a day of a sensor board into a database: what the simulated one measures."""
    opened, now_s = Database.open(database, clock), clock.now_ms() // 1000
    readings = []
    for second in range(now_s - 86_400, now_s, 300):
        sun = math.sin(((second + 9 * 3600) % 86_400 / 86_400 - 0.25) * math.tau)
        ripple = math.sin(second / 5000)
        values = {
            "T1": 11 + 5 * sun + ripple,
            "H1": 60 - 15 * sun + 2 * ripple,
            "P1": 1013 + 3 * math.sin(second / 40_000),
            "L1": max(0, 800 * sun + 60 * ripple),
        }
        for sensor, value in values.items():
            number = Decimal(str(round(value, 1)))
            readings.append(Reading(second * 1000, "A1", sensor, number, "0"))
    add_readings(opened, readings)
    opened.close()


if __name__ == "__main__":
    main()
