"""A summariser over real files, for its tests."""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from fakes import TOKYO, FakeClock
from stored import add_readings, summariser_of

from kei.core.clock import epoch_ms
from kei.core.reading import Completeness, Reading, Summary
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.text import DailyFile

NOON = datetime(2026, 11, 23, 12, tzinfo=TOKYO)
NAME = "sum20261123-home.txt"
MINUTE_MS = 60_000


class Bench:
    """A summariser over real files, that can be stopped and started again."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.start()

    def start(self) -> None:
        self.database = Database.open(self.folder / "kei.db", self.clock)
        self.file = DailyFile(self.folder, "home", "sum", self.clock.zone)
        self.summariser = summariser_of(self.database, self.file, cycles={"E7": 60, "E0": 300})

    def stop(self) -> None:
        self.file.close()
        self.database.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def measure(self, at: datetime, *values: int, sensor: str = "E7") -> None:
        time_ms = epoch_ms(at)
        add_readings(
            self.database, [Reading(time_ms, "BR", sensor, Decimal(value), "x") for value in values]
        )

    def run_at(self, at: datetime) -> None:
        self.clock.wall_ms = epoch_ms(at)
        self.summariser.run()

    def known(self) -> list[tuple[int, str, str, int, Completeness]]:
        """Minutes after noon, sensor, average, count and state of the windows in the database."""
        rows = UploadQueue(self.database).pending("anyone", What.SUMMARY, 100)
        items = [row.item for row in rows if isinstance(row.item, Summary)]
        return [
            ((s.start_ms - epoch_ms(NOON)) // MINUTE_MS, s.sensor, str(s.average), s.count, s.state)
            for s in items
        ]

    def lines(self, name: str = NAME) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)
