"""Who has a link, and what is left of folders whose owner has died."""

import tempfile
from pathlib import Path

import pytest
from programs import running, simulator, wait_until, write_jobs

from kei.core.errors import ConfigError
from kei.simulator.port.terminal import PREFIX, PrivateFolder, lock_link

DEADLINE_S = 10.0


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandoned(parent: Path, name: str = "old") -> Path:
    folder = parent / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / "dongle").symlink_to("/dev/pts/999999")
    return folder


def test_a_second_simulator_is_told_who_has_the_link(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link) as first, running("simulate", "--link", str(link)) as second:
        assert second.wait(DEADLINE_S) == 2
        assert f"in use by another kei (pid {first.process.pid})" in second.errors[0]
        assert link.is_char_device()


def test_the_link_of_one_that_was_killed_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    with simulator(link) as first:
        first.kill()
    assert link.is_symlink()
    with simulator(link):
        assert link.is_char_device()


def test_a_link_is_the_same_however_its_folder_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(tmp_path)
    with lock_link(tmp_path / "dongle"), pytest.raises(ConfigError, match="in use"):
        lock_link(tmp_path / "other" / "dongle")


def test_a_link_can_be_had_again_when_it_was_given_back(tmp_path: Path) -> None:
    lock_link(tmp_path / "dongle").close()
    lock_link(tmp_path / "dongle").close()


def test_a_folder_whose_owner_is_dead_is_removed(temporary: Path) -> None:
    left = abandoned(temporary)
    folder = PrivateFolder()
    assert list(temporary.iterdir()) == [folder.path]
    folder.close()
    assert not left.exists()
    assert not folder.path.exists()


def test_a_folder_whose_owner_lives_is_left_alone(temporary: Path) -> None:
    first = PrivateFolder()
    second = PrivateFolder()
    assert first.path.is_dir()
    for folder in (first, second):
        folder.close()
    assert not list(temporary.iterdir())


def test_a_folder_with_anything_else_in_it_is_left_alone(temporary: Path) -> None:
    left = abandoned(temporary)
    (left / "precious").write_text("x")
    PrivateFolder().close()
    assert sorted(path.name for path in left.iterdir()) == ["dongle", "precious"]


def test_a_link_that_is_named_like_a_folder_is_not_followed(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    PrivateFolder().close()
    assert elsewhere.is_dir()


def test_a_kei_that_was_killed_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    jobs = write_jobs(tmp_path, "sim:latency=0,scan-time=0,join-time=0")

    def folders() -> list[Path]:
        return list(temporary.glob(f"{PREFIX}*"))

    with running("--jobs", str(jobs), cwd=tmp_path, TMPDIR=str(temporary)) as program:
        program.wait_for_event("session_joined")
        left = folders()
    assert folders() == left
    with running("--jobs", str(jobs), cwd=tmp_path, TMPDIR=str(temporary)):
        wait_until(lambda: folders() not in ([], left), DEADLINE_S, "a folder of its own")
        wait_until(lambda: len(folders()) == 1, DEADLINE_S, "the other one is gone")
