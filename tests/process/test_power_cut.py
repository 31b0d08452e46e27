"""The power is cut: a real file system that forgets what was not synced, under a real kei."""

import json
import os
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from boards import write_serial_jobs
from programs import PATIENCE_S, running
from small_disks import Disk, ext4_disk
from upload_support import Server

pytestmark = pytest.mark.usefixtures("unmeasured")  # what is killed has nothing to say

CUTS = int(os.environ.get("KEI_CUTS", "3"))
LONGEST_S = 3.0
SENSOR = "sim-sensor:interval=0.05,seed={}"
SILENT_SENSOR = "sim-sensor:interval=3600"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with ext4_disk(tmp_path) as made:
        yield made


def in_database(folder: Path) -> Counter[tuple[str, str]]:
    """Sensor and value of every reading."""
    with closing(sqlite3.connect(folder / "kei.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute(
            "SELECT s.sensor, r.value, s.places, r.data_id FROM readings r"
            " JOIN series s ON s.id = r.series_id"
        ).fetchall()
    return Counter(
        (sensor, f"{value / 10_000:.{places}f} {data_id}")
        for sensor, value, places, data_id in rows
    )


def in_text(folder: Path) -> Counter[tuple[str, str]]:
    """The same of every complete line."""
    lines = [
        line.split(",")
        for path in folder.glob("[0-9]*-*.txt")
        for line in path.read_text().split("\n")[:-1]
    ]
    return Counter((fields[2], f"{fields[3]} {fields[4]}") for fields in lines)


def rows(folder: Path) -> Counter[tuple[str, str]]:
    """Sensor and data id of every reading in the database."""
    found: Counter[tuple[str, str]] = Counter()
    for (sensor, value_and_id), count in in_database(folder).items():
        found[sensor, value_and_id.split(" ")[1]] += count
    return found


def sent(server: Server) -> Counter[tuple[str, str]]:
    """Sensor and data id of every reading that the server got."""
    return Counter(
        (row["sensor"], row["id"])
        for body in list(server.bodies)
        for row in json.loads(body)["readings"]
    )


@pytest.mark.timeout(100 + 20 * CUTS)
def test_after_each_power_cut_the_text_has_all_that_the_database_has(
    tmp_path: Path, disk: Disk
) -> None:
    chance = random.Random(1)
    with closing(Server()) as server:
        below = f"""
[recorder]
directory = "disk"
database = "disk/kei.db"
sync = "5s"
[summary]
cycle = 1
[[upload]]
target_url = "{server.url}"
format = "json"
what = "readings"
cycle = 1
"""
        for number in range(CUTS):
            jobs = write_serial_jobs(tmp_path, SENSOR.format(number), below=below)
            before = in_text(disk.folder)
            with running("--jobs", str(jobs), TZ="Asia/Tokyo") as kei:
                kei.wait_for(lambda: in_text(disk.folder) > before, 30, "a reading")  # noqa: B023
                posts = len(server.posts)
                kei.wait_for(lambda: len(server.posts) > posts, 30, "an upload")  # noqa: B023
                with pytest.raises(subprocess.TimeoutExpired):
                    kei.process.wait(chance.uniform(0, LONGEST_S))
                disk.cut_power()
                kei.process.kill()
                kei.process.wait(PATIENCE_S)
            disk.come_back()
        jobs = write_serial_jobs(tmp_path, SILENT_SENSOR, below=below)
        with running("--jobs", str(jobs), TZ="Asia/Tokyo") as kei:
            kei.wait_for_event("kei_started")
            kei.wait_for(lambda: sent(server) >= rows(disk.folder), 60, "the last upload")
            assert kei.stop() == 0
        text, database = in_text(disk.folder), in_database(disk.folder)
    assert text == database
    assert text.total() > 20 * CUTS
