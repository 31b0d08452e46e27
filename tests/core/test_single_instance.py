"""One kei for each database, and for each set of daily files."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT, wait_until
from strangers import STRANGER, as_stranger, needs_root, public_folder

from kei.core import single_instance
from kei.core.errors import StoreError
from kei.core.single_instance import InstanceLock, InUse, is_certainly_free, running_pid

HOLD = """
import sys
from pathlib import Path
from kei.core.single_instance import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(database: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        process.stdin.close()
        process.stdout.close()


def test_a_database_can_be_claimed_once_and_the_owner_is_named(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "kei.db")
    with pytest.raises(StoreError, match=rf"kei\.db: in use by another kei \(pid {os.getpid()}\)"):
        InstanceLock(tmp_path / "kei.db")
    lock.release()


def test_it_does_not_matter_how_the_path_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    lock = InstanceLock(tmp_path / "kei.db")
    with pytest.raises(StoreError):
        InstanceLock(tmp_path / "link" / ".." / tmp_path.name / "kei.db")
    lock.release()


def test_what_was_released_can_be_claimed_again(tmp_path: Path) -> None:
    InstanceLock(tmp_path / "kei.db").release()
    assert (tmp_path / "kei.db.lock").read_text() == ""
    InstanceLock(tmp_path / "kei.db").release()


def test_databases_do_not_disturb_each_other(tmp_path: Path) -> None:
    locks = [InstanceLock(tmp_path / name) for name in ("a.db", "b.db")]
    for lock in locks:
        lock.release()


def test_daily_files_have_one_writer_whatever_its_database_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    first = InstanceLock(tmp_path / "a.db", tmp_path / "home")
    InstanceLock(tmp_path / "b.db", tmp_path / "other").release()
    with pytest.raises(InUse, match=r"home: daily files written by another kei \(pid \d+\); give"):
        InstanceLock(tmp_path / "b.db", tmp_path / "link" / "home")
    InstanceLock(tmp_path / "b.db").release()  # the failed one has left nothing locked
    first.release()


def test_a_database_that_is_named_like_the_daily_files_is_no_second_instance(
    tmp_path: Path,
) -> None:
    InstanceLock(tmp_path / "home", tmp_path / "home").release()


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    InstanceLock(tmp_path / "a" / "b" / "kei.db").release()
    assert (tmp_path / "a" / "b" / "kei.db.lock").stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_killed_leaves_nothing_locked(tmp_path: Path) -> None:
    database = tmp_path / "kei.db"
    with held_by_another(database) as other:
        assert running_pid(database) == other.pid
        assert not is_certainly_free(database)
        with pytest.raises(InUse, match=rf"pid {other.pid}\)"):
            InstanceLock(database)
        other.kill()
        other.wait(PATIENCE_S)
        assert (tmp_path / "kei.db.lock").read_text() == f"{other.pid}\n"  # which means nothing
        assert running_pid(database) is None
        assert is_certainly_free(database)
        InstanceLock(database).release()


def test_before_the_first_start_nobody_runs_and_nothing_is_made(tmp_path: Path) -> None:
    assert running_pid(tmp_path / "kei.db") is None
    assert is_certainly_free(tmp_path / "kei.db")
    assert list(tmp_path.iterdir()) == []


def test_questions_do_not_keep_a_kei_from_starting(tmp_path: Path) -> None:
    database, stop = tmp_path / "kei.db", threading.Event()
    (tmp_path / "kei.db.lock").write_text("1\n")  # as after a kill -9

    def ask() -> None:
        while not stop.is_set():
            running_pid(database)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(20):
            InstanceLock(database).release()
    finally:
        stop.set()
        for thread in asking:
            thread.join(PATIENCE_S)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_instance, "_LOOK_S", 0.02)


@contextmanager
def watching(lock: InstanceLock) -> Iterator[None]:
    thread = threading.Thread(target=lock.run)
    thread.start()
    try:
        yield
    finally:
        lock.stop()
        thread.join(PATIENCE_S)
        lock.release()


def test_a_lock_file_that_is_removed_is_made_again(tmp_path: Path, often: None) -> None:
    database = tmp_path / "kei.db"
    lock = InstanceLock(database)
    with watching(lock):
        (tmp_path / "kei.db.lock").unlink()
        wait_until(lambda: running_pid(database) == os.getpid(), 5, "the file")
        with pytest.raises(InUse):
            InstanceLock(database)
        assert lock.lost is None


def test_who_finds_another_process_behind_a_removed_lock_file_has_to_end(
    tmp_path: Path, often: None
) -> None:
    database = tmp_path / "kei.db"
    lock = InstanceLock(database)
    (tmp_path / "kei.db.lock").unlink()
    with held_by_another(database) as other, watching(lock):
        wait_until(lambda: lock.lost, 5, "the loss")
        assert f"in use by another kei (pid {other.pid})" in str(lock.lost)


def test_a_folder_that_is_moved_away_ends_nothing(tmp_path: Path, often: None) -> None:
    database = tmp_path / "data" / "kei.db"
    lock = InstanceLock(database)
    with watching(lock):
        (tmp_path / "data").rename(tmp_path / "moved")
        wait_until(lambda: running_pid(database) == os.getpid(), 5, "a new file")
        assert lock.lost is None


@pytest.mark.parametrize(
    ("kind", "said"), [("link", "is a link"), ("folder", "is a folder"), ("pipe", "is no file")]
)
def test_what_is_no_lock_file_is_refused(kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "kei.db.lock"
    match kind:
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    with pytest.raises(StoreError, match=rf"kei\.db\.lock: {said}; remove it"):
        InstanceLock(tmp_path / "kei.db")
    assert not (tmp_path / "elsewhere").exists()


@needs_root
def test_a_lock_file_of_a_stranger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kei.db.lock"
    path.touch()
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(StoreError, match=rf"belongs to another user \(uid {STRANGER}\)"):
        InstanceLock(tmp_path / "kei.db")


@needs_root
def test_root_leaves_the_lock_to_the_owner_of_the_data(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    InstanceLock(tmp_path / "kei.db").release()
    found = (tmp_path / "kei.db.lock").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (STRANGER, STRANGER, 0o600)
    (tmp_path / "kei.db").touch()  # root's own, as after `sudo kei`
    InstanceLock(tmp_path / "kei.db").release()


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_stranger_cannot_hold_the_lock(mode: int) -> None:
    with public_folder() as folder:
        path = folder / "kei.db.lock"
        path.touch()
        path.chmod(mode)
        InstanceLock(folder / "kei.db").release()  # which also closes a file that was open to all
        tried = as_stranger(f"fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX)", "import fcntl")
        assert "PermissionError" in tried.stderr
