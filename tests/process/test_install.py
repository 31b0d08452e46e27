"""scripts/install and the like: into a folder that stands for a machine's root."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from forked import unmeasured
from programs import ROOT

from kei import __version__

UNIT = ROOT / "scripts" / "systemd" / "kei.service"
EXPOSURE_LIMIT = 20  # systemd-analyze counts in tenths
LIMIT_S = 200.0
Installed = tuple[Path, str]  # the root, and what was said


def script(name: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / name)]
    if name != "build" and os.geteuid() != 0:
        command = ["unshare", "--map-root-user", *command]
    return subprocess.run(
        command,
        env=unmeasured() | environ,  # pip takes most of the time, and is not what is tested
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def installed(root: Path) -> subprocess.CompletedProcess[str]:
    done = script("install", DESTDIR=str(root))
    if "is there a network?" in done.stderr:
        pytest.skip("pip cannot get kei's dependencies: no network")
    if "unshare" in done.stderr:
        pytest.skip("neither root nor user namespaces")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A first installation, only to be looked at and copied: each takes seconds of a processor."""
    root = tmp_path_factory.mktemp("root")
    return root, installed(root).stdout


def kei_of(root: Path, *args: str) -> str:
    program = root / "opt/kei/venv/bin/python"
    done = subprocess.run(
        [program, "-m", "kei", *args], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_in_its_place_and_secrets_are_for_root_alone(first: Installed) -> None:
    root, said = first
    assert (root / "etc/systemd/system/kei.service").read_text() == UNIT.read_text()
    assert (root / "etc/logrotate.d/kei").is_file()
    assert str((root / "usr/local/bin/kei").readlink()) == "/opt/kei/venv/bin/kei"
    for name in ("broute_id", "broute_pwd", "upload_key"):
        assert (root / "etc/kei" / name).stat().st_mode & 0o777 == 0o600
    jobs = root / "etc/kei/jobs.toml"
    assert jobs.stat().st_mode & 0o007 == 0
    text = jobs.read_text()
    assert 'directory  = "/var/lib/kei"' in text
    assert 'database   = "/var/lib/kei/kei.db"' in text
    assert 'broute_id_file  = "broute_id"' in text
    assert "00112233" not in text
    assert "request-E7" in kei_of(root, "check", "--jobs", str(jobs))
    assert "simulated meter until you give it yours" in said
    assert f"for the system in {root}, when it runs, not for this machine" in said
    programs = root / "opt/kei/venv/bin"
    assert (programs / "kei").read_text().startswith("#!/opt/kei/venv-")
    for file in programs.iterdir():
        assert file.is_symlink() or str(root).encode() not in file.read_bytes(), file


def test_an_upgrade_keeps_what_is_mine_and_one_that_fails_changes_nothing(
    tmp_path: Path, first: Installed
) -> None:
    shutil.copytree(first[0], tmp_path, symlinks=True, dirs_exist_ok=True)
    jobs, secret = tmp_path / "etc/kei/jobs.toml", tmp_path / "etc/kei/broute_pwd"
    jobs.write_text(jobs.read_text().replace('"sim:latency=0"', '"/dev/ttyUSB0"') + "# mine\n")
    secret.write_text("AAAABBBBCCCC\n")
    before = environment(tmp_path)
    version = kei_of(tmp_path, "--version").strip()
    (commit,) = before.glob("lib/python3*/site-packages/kei/COMMIT")
    commit.write_text("0123456" + "0" * 33)
    done = installed(tmp_path)
    after = environment(tmp_path)
    assert before != after
    old = version.partition("+")[0] + "+g0123456"
    assert done.stdout.splitlines()[-1] == f"kei is updated: {old} -> {version}"
    assert "rm" not in done.stdout.split()
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nonexistent", "PIP_CONFIG_FILE": os.devnull}
    done = script("install", DESTDIR=str(tmp_path), **nowhere)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Nothing has been changed."
    assert environment(tmp_path) == after
    assert jobs.read_text().endswith("# mine\n")
    assert secret.read_text() == "AAAABBBBCCCC\n"
    assert kei_of(tmp_path, "--version") == f"kei {__version__}\n"


def environment(root: Path) -> Path:
    """The virtual environment in use, which has to be the only one."""
    (found,) = (path for path in (root / "opt/kei").iterdir() if not path.is_symlink())
    assert (root / "opt/kei/venv").resolve() == found
    return found


def test_uninstalling_keeps_what_was_recorded_and_the_configuration(tmp_path: Path) -> None:
    for kept in ("etc/kei/jobs.toml", "var/lib/kei/20261123-mydatafile.txt"):
        (tmp_path / kept).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / kept).write_text("mine\n")
    for gone in ("etc/systemd/system/kei.service", "etc/logrotate.d/kei", "opt/kei/venv-1/x"):
        (tmp_path / gone).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / gone).touch()
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/kei").symlink_to("/opt/kei/venv/bin/kei")
    for _ in range(2):  # nothing left to undo is no error
        done = script("uninstall", DESTDIR=str(tmp_path))
        if "unshare" in done.stderr:
            pytest.skip("neither root nor user namespaces")
        assert done.returncode == 0, done.stderr
        removes = [line for line in done.stdout.splitlines() if "rm " in line or "userdel" in line]
        assert len(removes) == 2
        for line in removes:  # whoever follows them must not lose what this machine has recorded
            words = line.split()
            assert all(word.startswith(str(tmp_path)) for word in words if word.startswith("/"))
            assert any(str(tmp_path) in word for word in words)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"etc/kei/jobs.toml", "var/lib/kei/20261123-mydatafile.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="this is what happens to everybody but root")
@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_who_is_not_root_is_told_the_command(name: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / name], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 1
    assert f"sudo scripts/{name}" in done.stderr


@pytest.fixture
def analyzer() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    return found


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path, analyzer: str) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/kei/venv/bin/python", sys.executable))
    done = subprocess.run(
        [analyzer, "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_locked_in(analyzer: str) -> None:
    command = [analyzer, "security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_one_file_of_pure_python_is_all_of_kei(tmp_path: Path) -> None:
    done = script("build")
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("pip cannot get kei's dependencies: no network")
    assert done.returncode == 0, done.stderr
    archive = tmp_path / "kei.pyz"
    shutil.copy(ROOT / "dist" / "kei.pyz", archive)
    names = zipfile.ZipFile(archive).namelist()
    assert not [name for name in names if name.endswith(".so")]
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "kei").rglob("*.py")}
    assert modules <= set(names)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", archive, "check", "--jobs", ROOT / "jobs.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "request-E7" in ran.stdout
    said = subprocess.check_output([sys.executable, "-I", "-S", archive, "--version"], cwd=tmp_path)
    assert said.decode() == f"kei {__version__}\n"


@pytest.fixture
def rotate() -> str:
    found = shutil.which("logrotate", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        pytest.skip("logrotate is not installed")
    return found


def test_old_data_files_are_compressed_and_young_ones_left_alone(
    tmp_path: Path, rotate: str
) -> None:
    data, logs = tmp_path / "data", tmp_path / "log"
    data.mkdir(mode=0o755)
    logs.mkdir(mode=0o755)
    text = (ROOT / "logrotate" / "kei").read_text()
    text = text.replace("/var/lib/kei", str(data)).replace("/var/log/kei", str(logs))
    rules = tmp_path / "rules"
    rules.write_text("\n".join(line for line in text.splitlines() if "su kei" not in line) + "\n")
    rules.chmod(0o644)
    files = {name: data / name for name in ("20260101-my.txt", "sum20260101-my.txt")}
    young = [data / "20261123-my.txt", data / "sum20261123-my.txt", data / "kei.db"]
    for path in (*files.values(), *young):
        path.write_text("line\n")
    for path in files.values():
        os.utime(path, (1_767_225_600, 1_767_225_600))  # the first day of 2026
    (logs / "kei.log").write_text("{}\n")
    state = tmp_path / "state"
    state.touch(0o600)
    state.write_text(
        "logrotate state -- version 2\n"
        + "".join(f'"{path}" 2026-1-1-0:0:0\n' for path in (*files.values(), *young))
    )
    done = subprocess.run(
        [rotate, "-s", state, rules], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in data.iterdir()} == {
        *(f"{name}.1.gz" for name in files),
        *(path.name for path in young),
    }
    subprocess.run([rotate, "--force", "-s", state, rules], check=False, timeout=30)
    assert {path.name for path in logs.iterdir()} == {"kei.log.1"}
    assert all(path.exists() for path in young), "not even by force"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody without rights")
def test_a_python_that_the_service_may_not_run_is_not_used(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    open_python = Path("/usr/bin/python3")
    if not open_python.exists():
        pytest.skip("no Python of the system")
    (hidden / "python3").symlink_to(open_python)
    environ = os.environ | {"PATH": f"{hidden}:/usr/bin:/bin"}
    found = {
        whose: subprocess.run(
            ["bash", "-c", f"source {ROOT}/scripts/setup.sh; find_python {whose}"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        ).stdout.strip()
        for whose in ("", "everybody")
    }
    assert found[""] == str(hidden / "python3")
    assert found["everybody"].startswith(("/usr/bin/python3", "/bin/python3"))
