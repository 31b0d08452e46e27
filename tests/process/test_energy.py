"""`kei energy` beside a kei that records a simulated meter."""

import json
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from programs import SIMULATED, command, readings, running, write_jobs

pytestmark = pytest.mark.usefixtures("unmeasured")  # the way of others through kei

HALF_HOUR = timedelta(minutes=30)
REQUESTS = """
[[broute.requests]]
epc = ["EA", "EB", "D3", "D7", "E1"]
cycle = 1
"""


def jobs_file(folder: Path, behind_s: int, dongle: str) -> Path:
    port = f"{SIMULATED},dongle={dongle},solar,clock-skew=-{behind_s}"
    return write_jobs(folder, port, requests=REQUESTS)


def registers(folder: Path, sensor: str) -> list[tuple[datetime, Decimal]]:
    """The registers in the text, each once, in the order of time."""
    found = {fields[0]: Decimal(fields[3]) for fields in readings(folder) if fields[2] == sensor}
    return [(datetime.strptime(at, "%Y/%m/%d %H:%M:%S"), found[at]) for at in sorted(found)]  # noqa: DTZ007


def has_more(folder: Path, known: int) -> bool:
    return len(registers(folder, "EB")) > known


def zone_by_day() -> str:
    """A zone in which the last three hours are of one day."""
    is_night = (datetime.now(UTC) + timedelta(hours=9)).hour < 3  # noqa: TID251 - kei's own clock
    return "UTC" if is_night else "Asia/Tokyo"


def test_while_kei_records_the_registers_of_the_last_seconds_count(tmp_path: Path) -> None:
    """The meter's clock is behind by two hours, by 90 minutes, and right: a half-hour and a gap.

    Whoever buys another dongle meanwhile, which speaks otherwise, has the same registers.
    """
    zone = zone_by_day()
    jobs = jobs_file(tmp_path, 7200, "RL7023-DSS")
    with running("--jobs", str(jobs), TZ=zone) as kei:
        kei.wait_for(lambda: registers(tmp_path, "EB"), 30, "a register")
        for behind_s in (5400, 0):
            known = len(registers(tmp_path, "EB"))
            jobs_file(tmp_path, behind_s, "J11")
            kei.send(signal.SIGUSR2)
            kei.wait_for(partial(has_more, tmp_path, known), 30, f"{known + 1} registers")
        said = ("energy", "--jobs", jobs, "--from", "yesterday", "--to", "2099-12-31", "--format")
        code, lines, errors = command(*said, "json", TZ=zone)
        assert (code, errors) == (0, [])
        assert kei.stop() == 0
    bought, sold = registers(tmp_path, "EA"), registers(tmp_path, "EB")
    document = json.loads("\n".join(lines), parse_float=Decimal)
    named = [(gap["half_hours"], gap["bought_kwh"]) for gap in document["gaps"]]
    steps = [
        ((end[0] - start[0]) // HALF_HOUR, end[1] - start[1]) for start, end in pairwise(bought)
    ]
    gaps = [step for step in steps if step[0] > 1]
    assert len(gaps) >= 1
    assert set(gaps) <= set(named)
    row = document["rows"][-1]
    assert row["bought_kwh"] == bought[-1][1] - bought[0][1]
    assert row["sold_kwh"] == sold[-1][1] - sold[0][1]
    assert row["peak_kwh"] == max(kwh for half_hours, kwh in steps if half_hours == 1)
    assert row["state"] == "partial"
