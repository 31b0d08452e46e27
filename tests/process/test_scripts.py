"""The scripts run from any folder; what benchmarks measure is for whoever runs them."""

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from programs import ROOT

pytestmark = pytest.mark.usefixtures("unmeasured")  # a benchmark is not a test of kei

SVG = "{http://www.w3.org/2000/svg}"
SCRIPTS = [
    "plot_day",
    "try_homeassistant",
    *sorted(path.name for path in (ROOT / "scripts").glob("[!_]*.py")),
]
# The interpreter behind this environment, without any package that somebody installed there.
BARE_PYTHON = (Path(sys.base_prefix) / "bin" / "python3", "-S")


def run_script(name: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def bands(svg: str) -> list[str]:
    """The paths that show the smallest and largest values, one for each part without a gap."""
    paths = [element.get("d", "") for element in ET.fromstring(svg).iter(f"{SVG}path")]
    return [path for path in paths if path.endswith("Z")]


def reading(clock_time: str, sensor: str, value: object, unit: str = "BR") -> str:
    return f"2026/11/24 {clock_time},{unit},{sensor},{value},x\n"


def a_day_of_power(hours: Iterable[int] = range(24)) -> str:
    return "".join(
        reading(f"{hour:02}:{minute:02}:00", "E7", 500) for hour in hours for minute in range(60)
    )


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


def test_a_script_whose_helpers_are_those_of_the_tests_says_what_they_need(tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"
    shutil.copytree(ROOT / "scripts", scripts)
    script = str(scripts / "rehearse_fleet.py")
    as_scripts_run_has_it = (
        "import runpy, sys; sys.modules['coverage'] = None; sys.argv = sys.argv[1:];"
        "sys.path.insert(0, sys.argv[0].rpartition('/')[0]);"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", as_scripts_run_has_it, script, "--help"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "needs coverage" in line
    assert "scripts/test --version" in line


def test_the_benchmark_of_the_session_compares_both_grammars_with_others() -> None:
    script = ROOT / "scripts" / "bench_session.py"
    done = subprocess.run(
        [sys.executable, script, "5"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first_words = [line.split()[0] for line in done.stdout.splitlines()]
    assert first_words[2:6] == ["kei", "kei-J11", "momonga", "bare"]
    assert "momonga / kei" in done.stdout


def test_without_any_notice_each_half_hour_is_asked_for_soon_after_it_has_ended() -> None:
    done = run_script("soak_history.py", "no-notices")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differences none" in done.stdout


def test_a_rehearsed_fleet_loses_nothing_and_its_silent_sites_are_known() -> None:
    if shutil.which("victoria-metrics") is None:
        pytest.skip("victoria-metrics is not installed; Debian has it")
    options = ("--sites", "4", "--seconds", "3", "--cycle", "1", "--hours", "0.1")
    done = run_script("rehearse_fleet.py", *options)
    assert done.returncode == 0, done.stderr + done.stdout
    recorded = re.search(r"(\d+) readings recorded, all given back exactly once", done.stdout)
    assert recorded is not None
    assert int(recorded[1]) >= 4 * 36, "what piled up, at least"
    assert re.search(r"[1-9]\d* values of health taken and given back", done.stdout)
    assert "house-1, house-2, house-3 are stopped" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("verdict: all is well: nothing lost")


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


def test_plot_day_shows_what_was_bought_and_sold_and_keeps_the_peak(tmp_path: Path) -> None:
    file = tmp_path / "20261124-mydatafile.txt"
    file.write_text(
        reading("00:00:00", "E0", "1000.2")
        + reading("00:00:00", "E3", "50")
        + a_day_of_power()
        + reading("12:00:10", "E7", 3210)  # for ten seconds only
        + reading("12:00:20", "E7", -900)
        + reading("12:00:30", "E7", 99_999, unit="OTHER")
        + reading("23:55:00", "E0", "1013.1")
        + reading("23:55:00", "E3", "52.5")
    )
    done = run_script("plot_day", str(file))
    assert done.returncode == 0, done.stderr
    words = texts(done.stdout)
    assert "2026-11-24: 12.9 kWh bought, 2.5 kWh sold (00:00 to 23:55)" in words
    assert "power, negative while selling; peak 3,210 W at 12:00" in words
    assert {"4,000", "0", "-1,000", "00:00", "24:00", "W", "local time"} <= set(words)
    (band,) = bands(done.stdout)
    assert len(re.findall(r"[ML]", band)) == 2 * 480, "a low and a high for each three minutes"


def test_plot_day_leaves_a_gap_where_nothing_was_recorded() -> None:
    lines = a_day_of_power(range(6)) + a_day_of_power(range(9, 24))
    done = run_script("plot_day", "-", stdin="time,unit,sensor,value,id\n" + lines)
    assert done.returncode == 0, done.stderr
    assert "2026-11-24: energy not recorded" in texts(done.stdout)
    assert len(bands(done.stdout)) == 2


def test_plot_day_takes_one_day_of_several_and_compressed_files(tmp_path: Path) -> None:
    file = tmp_path / "20261124-mydatafile.txt.1.gz"
    with gzip.open(file, "wt") as lines:
        lines.write(a_day_of_power() + "2026/11/25 00:00:10,BR,E7,777,x\n")
    done = run_script("plot_day", str(file), "--date", "2026-11-25")
    assert done.returncode == 0, done.stderr
    assert "power; peak 777 W at 00:00" in texts(done.stdout)


def test_plot_day_says_when_there_is_nothing_to_draw(tmp_path: Path) -> None:
    done = run_script("plot_day", "-", stdin=reading("00:00:00", "E0", 1))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "-: no E7 of BR to draw\n"
    assert run_script("plot_day", str(tmp_path / "nothing.txt")).returncode == 1


def test_terminal_svg_shows_every_line_as_it_is() -> None:
    done = run_script("terminal_svg.py", "--command", "kei status", stdin="a  <b> & c\n\nd\n")
    assert done.returncode == 0, done.stderr
    assert texts(done.stdout) == ["$ kei status", "a", "<b> & c", "d"]
    left = [float(x) for x in re.findall(r'<text x="([\d.]+)"', done.stdout)]
    assert left[0] == left[1] == left[3] < left[2], "columns stand below one another"
    assert run_script("terminal_svg.py", "--command", "x").returncode == 1


def test_simulated_day_leaves_the_files_of_a_real_kei(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    short = ("--date", "2026-11-24", "--hours", "0.1", "--speed", "60")
    done = run_script("simulated_day.py", str(folder), *short)
    assert done.returncode == 0, done.stderr + done.stdout
    assert {path.name for path in folder.iterdir()} >= {"kei.db", "20261124-mydatafile.txt"}
    lines = (folder / "20261124-mydatafile.txt").read_text().splitlines()
    assert {line.split(",")[2] for line in lines} >= {"E0", "E3", "E7", "E8R", "E8T"}
    assert all(line.startswith("2026/11/24 00:") for line in lines)
    assert run_script("simulated_day.py", str(folder)).returncode == 2, "it is not empty"


def test_run_takes_paths_from_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[[serial]]\nport = "sim-sensor:"\n')
    for arguments, expected in ((("--jobs", "mine.toml"), "sim-sensor:"), ((), "request-E7")):
        done = subprocess.run(
            [ROOT / "scripts/run", "check", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert expected in done.stdout
