"""Whether the kei that will run may write where its jobs.toml says."""

import os
from pathlib import Path

import pytest
from jobs_file import JobsFile

from kei.commands.writable import places_not_writable

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "scripts/systemd/kei.service").read_text()

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="checks as root what others may do")


def found(tmp_path: Path, recorder: str, *, drop_in: str = "", user: str = "nobody") -> list[str]:
    """Return what is told of a jobs.toml that the installed service names."""
    jobs = JobsFile(tmp_path / "jobs.toml")
    units = tmp_path / "units"
    (units / "kei.service.d").mkdir(parents=True, exist_ok=True)
    unit = UNIT.replace("/etc/kei/jobs.toml", str(jobs.path)).replace("User=kei", f"User={user}")
    (units / "kei.service").write_text(unit)
    (units / "kei.service.d/override.conf").write_text(f"[Service]\n{drop_in}\n")
    wanted = jobs.load(f"[recorder]\n{recorder}\n")
    return list(places_not_writable(wanted, jobs.path, units=units))


def test_what_is_in_the_folder_of_the_service_is_well(tmp_path: Path) -> None:
    text = 'directory = "/var/lib/kei"\ndatabase = "/var/lib/kei/kei.db"'
    assert found(tmp_path, text) == []


def test_a_database_beside_jobs_toml_is_out_of_reach(tmp_path: Path) -> None:
    (line,) = found(tmp_path, 'directory = "/var/lib/kei"')
    assert line.startswith(f"recorder.database: {tmp_path}/kei.db: the service may not write there")
    assert "ProtectSystem=strict" in line
    assert "use a folder in /var/lib/kei" in line
    assert f"ReadWritePaths={tmp_path}" in line


def test_homes_are_hidden_from_the_service(tmp_path: Path) -> None:
    lines = found(tmp_path, 'directory = "/home/pi/keilog"\ndatabase = "/home/pi/kei.db"')
    assert len(lines) == 2
    assert all("ProtectHome=yes" in line and "ProtectHome=no" in line for line in lines)


def test_a_drop_in_can_allow_a_folder_which_then_has_to_be_the_users(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for above in tmp_path.parents:
        if above.stat().st_mode & 0o001 == 0:
            pytest.skip(f"{above} is shut to others")
    tmp_path.chmod(0o755)
    text = 'directory = "data"\ndatabase = "data/kei.db"'
    allow = f"ReadWritePaths={folder}"
    lines = found(tmp_path, text, drop_in=allow)
    assert [line.partition(";")[2] for line in lines] == [f" sudo chown nobody: {folder}"] * 2
    os.chown(folder, 65534, 65534)
    assert found(tmp_path, text, drop_in=allow) == []
    (folder / "kei.db").touch(mode=0o644)  # of root, who once ran kei by hand
    (line,) = found(tmp_path, text, drop_in=allow)
    assert line.endswith(f"sudo chown nobody: {folder}/kei.db")


def test_a_service_that_runs_another_file_does_not_matter(tmp_path: Path) -> None:
    found(tmp_path, "")
    other = JobsFile(tmp_path / "other.toml")
    wanted = other.load('[recorder]\ndirectory = "data"\n')
    assert list(places_not_writable(wanted, other.path, units=tmp_path / "units")) == []
