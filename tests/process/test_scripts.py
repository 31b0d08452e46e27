"""The scripts run from any folder; what they measure is for whoever runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("[!_]*.py"))
# The interpreter behind this environment, without any package that somebody installed there.
BARE_PYTHON = (Path(sys.base_prefix) / "bin" / "python3", "-S")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_explains_itself_in_any_folder_with_any_python(
    script: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*BARE_PYTHON, ROOT / "scripts" / script, "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: {script}" in done.stdout


def test_a_script_without_its_packages_says_how_to_get_them(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("_project.py", "bench_session.py"):
        (scripts / name).write_text((ROOT / "scripts" / name).read_text())
    done = subprocess.run(
        [*BARE_PYTHON, scripts / "bench_session.py"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "needs apscheduler" in line
    assert "momonga" in line
    assert "[dev]" in line


def test_the_benchmark_of_the_session_compares_all_three() -> None:
    script = ROOT / "scripts" / "bench_session.py"
    done = subprocess.run(
        [sys.executable, script, "20"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines()]
    assert first_words[2:5] == ["kei", "momonga", "bare"]
    assert "momonga / kei" in done.stdout


def test_the_way_of_a_reading_is_counted() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "trace_reading.py", "--readings", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "functions" in done.stdout
