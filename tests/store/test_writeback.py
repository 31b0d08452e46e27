"""When the text is synced, beside a Linux that writes changed pages by itself."""

from pathlib import Path

import pytest
from fakes import FakeClock

from kei.store.writeback import WriteBack

LIMIT_S = 57.0
EXPIRES_S, WAKES_S = 30, 5  # vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs
PAGE_BYTES = 4096
HOUR_S = 3600


class Linux:
    """The page that lines are appended to, and the thread of the kernel that writes it."""

    def __init__(self, accounting: Path) -> None:
        self.clock = FakeClock()
        self._accounting = accounting
        self._is_dirty = False
        self._changed_at: float | None = None  # of the file, since this thread wrote it last
        self._unsynced_since: float | None = None
        self.changes = 0
        self.longest_s = 0.0  # for which a line was not synced
        self._account()
        self.plan = WriteBack(self.clock, LIMIT_S, accounting)

    def append(self) -> None:
        now = self.clock.monotonic()
        self.plan.before_append()
        if not self._is_dirty:
            self._is_dirty = True
            self.changes += 1
            self._account()
        self._changed_at = now if self._changed_at is None else self._changed_at
        self._unsynced_since = now if self._unsynced_since is None else self._unsynced_since
        self.plan.after_append()

    def sync(self) -> None:
        self._is_dirty = False
        if self._unsynced_since is not None:
            self.longest_s = max(self.longest_s, self.clock.monotonic() - self._unsynced_since)
        self._unsynced_since = None
        self.plan.after_sync()

    def wake(self) -> None:
        if self._changed_at is not None and self.clock.monotonic() - self._changed_at >= EXPIRES_S:
            self._is_dirty, self._changed_at = False, None

    def _account(self) -> None:
        self._accounting.write_text(f"read_bytes: 0\nwrite_bytes: {self.changes * PAGE_BYTES}\n")


@pytest.mark.parametrize("phase_s", [1, 4])
def test_a_page_is_written_hardly_more_often_than_by_linux_alone(
    tmp_path: Path, phase_s: int
) -> None:
    """Lines come every ten seconds; every ten minutes a commit syncs them at an unfit moment."""
    linux = Linux(tmp_path / "io")
    for second in range(HOUR_S):
        linux.clock.advance(1)
        if second % WAKES_S == phase_s:
            linux.wake()
        if linux.plan.due <= linux.clock.monotonic():
            linux.sync()
        if second % 10 == 0:
            linux.append()
        if second % 600 == 3:
            linux.sync()
            linux.plan.touched()
    assert linux.longest_s <= LIMIT_S + 1
    assert linux.changes < HOUR_S / 40 * 1.1
