"""The plan of when to sync the text files so that no page is written more often than necessary.

Linux writes a changed page some time after the change. A sync before that, while lines go on
coming, has the page written twice; a sync right after it, before the page changes again, costs
nothing. Whether a page had been written before an append changed it is seen in the accounting of
the thread, proc(5): `write_bytes` counts a page when it changes for the first time.

Linux goes by when a file first changed since Linux last wrote it. A sync of ours does not count:
what is appended after it is written as early as if there had been none.
"""

import math
from pathlib import Path

from kei.core.clock import Clock

# vm.dirty_expire_centisecs (30 s) and vm.dirty_writeback_centisecs (5 s), Linux's defaults
WRITTEN_BY_S = 36.0
CHECK_EVERY_S = 3.0  # reading the accounting costs as much as an append
_ACCOUNTING = Path("/proc/thread-self/io")


class WriteBack:
    """Plans the next sync of files that are appended to.

    Args:
        clock: monotonic time.
        limit_s: within which an append has to be on the disk, seconds.
        accounting: of the calling thread; None if the system has none.
    """

    def __init__(self, clock: Clock, limit_s: float, accounting: Path | None = _ACCOUNTING) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._accounting = accounting
        self._oldest: float | None = None  # when the first unsynced append was made
        self._touched: float | None = None  # when something else was written first
        self._checked = clock.monotonic()
        self._changed = self._checked - WRITTEN_BY_S  # first, since Linux wrote the file
        self._before: int | None = None

    @property
    def due(self) -> float:
        """When to sync, monotonic; infinite if everything is synced."""
        dues = [] if self._touched is None else [self._touched + self._limit_s]
        if self._oldest is not None:
            dues += [self._oldest + self._limit_s, self._changed + WRITTEN_BY_S]
        return min(dues, default=math.inf)

    def before_append(self) -> None:
        """Call this before each append, in the same thread."""
        now = self._clock.monotonic()
        self._before = None
        if self._oldest is not None and now - self._checked >= CHECK_EVERY_S:
            self._checked = now
            self._before = self._write_bytes()

    def after_append(self) -> None:
        """Call this after each append."""
        now = self._clock.monotonic()
        if self._oldest is None:
            self._oldest = self._checked = now
            if now >= self._changed + WRITTEN_BY_S:
                self._changed = now
        elif self._before is not None and self._write_bytes() != self._before:
            self._changed = now
        self._before = None

    def touched(self) -> None:
        """Call this when something else has been written that is to be synced.

        That can wait for the lines that come next.
        """
        if self._touched is None:
            self._touched = self._clock.monotonic()

    def after_sync(self) -> None:
        """Call this when everything is on the disk."""
        self._oldest = self._touched = None

    def _write_bytes(self) -> int | None:
        if self._accounting is None:
            return None
        try:
            lines = self._accounting.read_text(encoding="ascii").splitlines()
        except OSError:
            self._accounting = None
            return None
        return next((int(each.split()[1]) for each in lines if each.startswith("write_b")), None)
