"""File systems of a test's own, which only root can make."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

IMAGE_BYTES = 96 << 20
EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), fs/ext4/ext4.h of Linux
NO_LOG_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH: what is not on the disk is gone, as by a power cut
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # _IOWR('X', 119 and 120, int), <linux/fs.h>


def mount(*arguments: str) -> None:
    """Mount something, or skip the test where that is not permitted."""
    try:
        _run("mount", *arguments)
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
        _run("umount", "--lazy", str(folder))


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


class Disk:
    """An ext4 file system in a file, that can be frozen, or lose what has not been brought to it.

    Args:
        place: the folder where its image and its mount point, `folder`, are made.

    Raises:
        OSError: it cannot be mounted here; the text says why.
    """

    def __init__(self, place: Path) -> None:
        self._image, self.folder = place / "disk.img", place / "disk"
        self.folder.mkdir()
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        try:
            _run("mkfs.ext4", "-q", "-F", str(self._image))
            self.come_back()
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            reason = getattr(error, "stderr", None) or error
            raise OSError(f"no ext4 file system can be mounted here: {reason}") from None

    def cut_power(self) -> None:
        """Cut it off at once: all later writing fails, and unwritten pages are lost."""
        self._tell(EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))

    def freeze(self) -> None:
        """Let everybody who writes to it wait."""
        self._tell(FIFREEZE, bytes(4))

    def thaw(self) -> None:
        """Let them go on; OSError if it is not frozen."""
        self._tell(FITHAW, bytes(4))

    def come_back(self) -> None:
        """Mount it as after a reboot; before that it is unmounted, if it was mounted."""
        if os.path.ismount(self.folder):
            _run("umount", str(self.folder))
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Unmount it for good, thawed before; also if somebody still uses it."""
        with suppress(OSError):
            self.thaw()
        if os.path.ismount(self.folder):
            _run("umount", "--lazy", str(self.folder))

    def _tell(self, order: int, argument: bytes) -> None:
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, order, argument)
        finally:
            os.close(fd)


@contextmanager
def ext4_disk(place: Path) -> Iterator[Disk]:
    """Such a disk, until the block ends; the test is skipped where there can be none."""
    try:
        disk = Disk(place)
    except OSError as error:
        pytest.skip(str(error))
    try:
        yield disk
    finally:
        disk.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
