"""File systems of a test's own, which only root can make."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*arguments: str) -> None:
    """Mount something, or skip the test where that is not permitted."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system is not permitted here")


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """A file system in memory of this size."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "kei-test", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def fill(folder: Path) -> Path:
    """Fill a disk with one file, and return it."""
    ballast = folder / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, bytes(4096))
    except OSError:
        os.close(fd)
    return ballast


@contextmanager
def freezable_disk(folder: Path) -> Iterator[Path]:
    """An ext4 file system in a file, which `fsfreeze` can freeze; thawed in the end."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    if shutil.which("mkfs.ext4") is None or shutil.which("fsfreeze") is None:
        pytest.skip("there is no mkfs.ext4 or no fsfreeze here")
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, timeout=30)
    folder.mkdir()
    mount("-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(
            ["fsfreeze", "-u", str(folder)], capture_output=True, timeout=30, check=False
        )
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)
