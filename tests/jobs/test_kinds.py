"""The kinds of jobs: each is found by its module, and reading them loads nothing heavy."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from forked import unmeasured
from jobs_file import BROUTE, JobsFile

import kei.jobs
from kei.jobs.kinds import AfterWindows, Every, Executor, duration, kinds, plan, tables

ALL = f"""{BROUTE}
[[broute.requests]]
epc = ["D3", "E1"]
cycle = "1h"
[[broute.requests]]
epc = ["E7"]
cycle = "10s"
[[broute.requests]]
epc = ["E7"]
cycle = "1m"
[[upload]]
name = "server"
target_url = "http://127.0.0.1:9/"
format = "json"
"""
HEAVY = ("apscheduler", "requests", "serial", "sqlite3", "kei.store", "kei.upload", "kei.wisun")
NEW_KIND = """
from dataclasses import dataclass

from kei.jobs.kinds import Every, Executor, Job, JobKind, Planned


@dataclass(frozen=True)
class Settings:
    cycle_s: float = 60.0


def _plan(config):
    settings = config.job_tables.get("noise", Settings())
    schedule = Every(settings.cycle_s)
    yield Planned("noise", "make noise", schedule, Executor.UPKEEP, settings, lambda _: Job(print))


KIND = JobKind(_plan, {"noise": Settings})
"""


def test_jobs_are_in_the_order_of_their_executors_and_have_unique_names(tmp_path: Path) -> None:
    planned = plan(JobsFile(tmp_path / "jobs.toml").load(ALL))
    usual = ("request", "summary", "upload", "prune")
    jobs = [job for job in planned if job.id.startswith(usual)]
    assert [(job.id, job.every) for job in jobs] == [
        ("request-D3-E1", "1h"),
        ("request-E7", "10s"),
        ("request-E7.2", "1m"),
        ("summary", "10m"),
        ("upload-server", "1m"),
        ("prune", "1d"),
    ]
    assert [job.schedule for job in jobs[2:4]] == [Every(60.0), AfterWindows(600, 3)]
    assert jobs[-1].executor is Executor.UPKEEP


def test_a_module_that_is_put_beside_the_others_is_a_kind_of_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = JobsFile(tmp_path / "jobs.toml").load("")
    (tmp_path / "noise.py").write_text(NEW_KIND)
    monkeypatch.setattr(kei.jobs, "__path__", [*kei.jobs.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "kei.jobs.noise", raising=False)
    settings = tables()["noise"]
    assert "noise" in [job.id for job in plan(config)]
    config = replace(config, job_tables={**config.job_tables, "noise": settings(cycle_s=5.0)})
    assert [job.every for job in plan(config) if job.id == "noise"] == ["5s"]


def test_kinds_are_found_without_loading_what_only_a_running_kei_needs() -> None:
    script = "import sys; from kei.jobs import kinds; kinds.tables(); print(*sys.modules)"
    loaded = run(sys.executable, "-c", script).split()
    assert "kei.jobs.upload" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def test_kinds_are_found_in_a_zip_archive(tmp_path: Path) -> None:
    package = Path(kei.jobs.__file__).parents[1]
    with ZipFile(tmp_path / "kei.zip", "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'kei.zip')!r})\n"
        "from kei.jobs import kinds\n"
        "print('kei.zip' in kinds.__file__, len(list(kinds.kinds())))"
    )
    assert run(sys.executable, "-c", script).split() == ["True", str(len(list(kinds())))]


def run(*command: str) -> str:
    return subprocess.run(
        command, env=unmeasured(), check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5s"), (90, "90s"), (120, "2m"), (7200, "2h"), (172_800, "2d")]
)
def test_durations_are_written_as_in_jobs_toml(seconds: float, text: str) -> None:
    assert duration(seconds) == text
