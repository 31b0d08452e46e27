"""One kei for each database."""

import os
from pathlib import Path

import pytest

from kei.core.errors import StoreError
from kei.core.single_instance import InstanceLock


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
    InstanceLock(tmp_path / "kei.db").release()


def test_databases_do_not_disturb_each_other(tmp_path: Path) -> None:
    locks = [InstanceLock(tmp_path / name) for name in ("a.db", "b.db")]
    for lock in locks:
        lock.release()
