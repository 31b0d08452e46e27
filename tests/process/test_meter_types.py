"""Meters that lack something, from outside: what is recorded, and what a person is told."""

import signal
from pathlib import Path

from programs import Program, readings, running, simulator, write_jobs

REQUESTS = """
[[broute.requests]]
epc = ["E7", "E8"]
cycle = 0.3
[[broute.requests]]
epc = ["E0"]
cycle = 0.3
"""


def told(kei: Program, event: str) -> list[object]:
    return [each["level"] for each in kei.events(event)]


def count(folder: Path, sensor: str) -> int:
    return [fields[2] for fields in readings(folder)].count(sensor)


def test_a_meter_without_unit_and_t_phase_is_told_of_once_and_its_owner_can_give_the_unit(
    tmp_path: Path,
) -> None:
    port = tmp_path / "dongle"
    with simulator(port, "--lacks", "E1", "--unit", "0.01", "--two-wire"):
        jobs = write_jobs(tmp_path, str(port), requests=REQUESTS)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("unit_unknown")
            kei.wait_for(lambda: count(tmp_path, "E8R") > 5, 20, "readings")
            (told_of_unit,) = kei.events("unit_unknown")
            assert "set broute.energy_unit" in str(told_of_unit["hint"])
            assert count(tmp_path, "E0") == 0
            write_jobs(tmp_path, str(port), requests=f"energy_unit = 0.01{REQUESTS}")
            kei.send(signal.SIGUSR2)
            kei.wait_for(lambda: count(tmp_path, "E0"), 20, "energy")
            assert kei.stop() == 0
        assert told(kei, "no_value") == ["warning"]
        with running("--jobs", str(jobs)) as kei:
            before = count(tmp_path, "E8R")
            kei.wait_for(lambda: count(tmp_path, "E8R") > before, 20, "readings")
            assert kei.stop() == 0
        assert told(kei, "no_value") == []
        assert told(kei, "unit_unknown") == []
