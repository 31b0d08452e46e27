"""What the tests of `/metrics` share: a kei that does nothing but what they say."""

import threading
from dataclasses import dataclass, field
from decimal import Decimal

from fakes import FakeClock
from programs import PATIENCE_S
from scrapes import Samples, scraped
from status_facts import NOW_MS, SNAPSHOT

from kei.core.reading import Reading
from kei.meter.figures import PresentFigures
from kei.settings.config import Config
from kei.status.facts import Stored
from kei.status.snapshot import Snapshot
from kei.store.queue import Waiting
from kei.upload.health import Health
from kei.web.live import Live
from kei.web.metrics import Metrics
from kei.web.recorded import Recorded

JOBS = """
[broute]
port = "sim:"
broute_id = "00112233445566778899AABBCCDDEEFF"
broute_pwd = "0123456789AB"
[[broute.requests]]
epc = ["E7", "E8"]
cycle = 10
[[broute.requests]]
epc = ["E0", "E3"]
cycle = 120
[[serial]]
port = "/dev/ttyACM0"
[[upload]]
name = "server"
target_url = "http://localhost/"
format = "json"
[web]
"""

STORED = Stored(waiting=(Waiting(3, NOW_MS - 12_000, set_aside=2, dropped=7),))


@dataclass
class Kei:
    """A running kei, as Prometheus sees it.

    Attributes:
        config: of jobs.toml.
        clock: of everything.
        snapshot: what everything is doing.
        stored: what the database says.
        newest: readings since the start.
        pauses_s: between the readings of a sensor.
        disk: answers while this is set.
        looks: how often the database was read.
    """

    config: Config
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW_MS))
    snapshot: Snapshot = SNAPSHOT
    stored: Stored = field(default_factory=lambda: STORED)
    newest: dict[tuple[str, str], Reading] = field(default_factory=dict)
    pauses_s: dict[tuple[str, str], float] = field(default_factory=dict)
    disk: threading.Event = field(default_factory=threading.Event)
    looks: int = 0

    def __post_init__(self) -> None:
        self.disk.set()
        self.live = Live(
            lambda: self.config,
            lambda: self.newest,
            lambda: self.pauses_s,
            list,
            lambda: self.snapshot,
            lambda: Health("1", {"disk_free_bytes": 4096, "cpu_celsius": None}, None),
            lambda: PresentFigures(lambda: self.config, self.clock),
            self.clock,
        )
        self._metrics = Metrics(self.live, Recorded(self.live))

    def read_database(self, *_: object) -> Stored:
        self.looks += 1
        self.disk.wait(PATIENCE_S)
        return self.stored

    def comes(self, sensor: str, value: str, unit: str = "BR") -> None:
        """A reading comes."""
        self.newest[unit, sensor] = Reading(
            self.clock.now_ms(),
            unit,
            sensor,
            Decimal(value),
            "x" if unit == "BR" else "7",
            monotonic_ms=round(self.clock.monotonic() * 1000),
        )

    def text(self, accept: str = "") -> str:
        return self._metrics.answer(accept)[0].decode()

    def scrape(self) -> Samples:
        return scraped(self.text())
