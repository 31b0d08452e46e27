"""What the page shows while the disk does not answer."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from jobs_file import JobsFile
from programs import PATIENCE_S, wait_until
from status_facts import SNAPSHOT

from kei.core.clock import Clock
from kei.core.errors import RetryLater
from kei.core.reading import Reading
from kei.meter.figures import PresentFigures
from kei.status.facts import Stored
from kei.status.outline import Outline
from kei.upload.health import Health
from kei.web import recorded
from kei.web.live import Live
from kei.web.now import now_document
from kei.web.recorded import Recorded


@dataclass
class Disk:
    """A disk that stalls when it is told to."""

    answers: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0

    def read_database(self, _outline: Outline, _clock: Clock) -> Stored:
        self.waiting += 1
        self.answers.wait(PATIENCE_S)
        return Stored()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk()
    monkeypatch.setattr(recorded, "read_database", found.read_database)
    monkeypatch.setattr(recorded, "WAIT_S", 0.05)
    yield found
    found.answers.set()


def test_a_disk_that_stalls_holds_up_one_request_and_the_figure_now_not_at_all(
    disk: Disk, tmp_path: Path
) -> None:
    clock = FakeClock(zone=TOKYO)
    reading = Reading(clock.now_ms() - 4000, "BR", "E7", Decimal(512), "x")
    settings = JobsFile(tmp_path / "jobs.toml").load("[web]")
    live = Live(
        lambda: settings,
        lambda: {("BR", "E7"): reading},
        dict,
        list,
        lambda: SNAPSHOT,
        lambda: Health("0", {}, None),
        lambda: PresentFigures(lambda: settings, clock),
        clock,
    )
    shown = Recorded(live)
    first = threading.Thread(target=shown.facts)
    first.start()
    wait_until(lambda: disk.waiting == 1, PATIENCE_S, "the disk to be read")
    for _ in range(3):
        with pytest.raises(RetryLater):
            shown.facts()
    now = now_document(live, shown)
    assert (now["power_w"], now["age_s"]) == (512, 4.0)
    assert disk.waiting == 1
    disk.answers.set()
    first.join(PATIENCE_S)
    assert shown.facts().series == ()
    assert disk.waiting == 1
