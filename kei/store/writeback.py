"""When to bring a file to the disk so that its pages are not written more often than need be.

Linux writes a changed page by itself some time after the change. To ask for it before that, while
lines go on coming, has the page written twice; right after it, while the page has not changed
again, costs nothing. Whether an append found its page written already can be seen from the
accounting of the thread, proc(5): `write_bytes` counts a page when it changes for the first time.
"""

from pathlib import Path

from kei.core.clock import Clock

# vm.dirty_expire_centisecs (30 s) and vm.dirty_writeback_centisecs (5 s) of Linux, as they come
WRITTEN_BY_S = 36.0
LOOK_EVERY_S = 3.0  # looking costs as much as an append, and lines may come by the hundred
_ACCOUNTING = Path("/proc/thread-self/io")


class WriteBack:
    """Plans the next sync of files that are appended to.

    Args:
        clock: for the plan.
        limit_s: when the oldest append has to be on the disk, seconds.
        accounting: of the calling thread; None if the system has none.
    """

    def __init__(self, clock: Clock, limit_s: float, accounting: Path | None = _ACCOUNTING) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._accounting = accounting
        self._oldest: float | None = None
        self._changed = self._looked = clock.monotonic()
        self._before: int | None = None

    @property
    def due(self) -> float | None:
        """When to sync, monotonic; None when there is nothing to bring to the disk."""
        if self._oldest is None:
            return None
        return min(self._oldest + self._limit_s, self._changed + WRITTEN_BY_S)

    def before_append(self) -> None:
        """Hear that an append is about to be made, by this thread."""
        now = self._clock.monotonic()
        self._before = None
        if self._oldest is not None and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._before = self._counted()

    def after_append(self) -> None:
        """Hear that an append has been made."""
        now = self._clock.monotonic()
        if self._oldest is None:
            self._oldest = self._changed = self._looked = now
        elif self._before is not None and self._counted() != self._before:
            self._changed = now
        self._before = None

    def touched(self) -> None:
        """Hear that something else was written, seldom enough not to be counted."""
        if self._oldest is None:
            self._oldest = self._changed = self._clock.monotonic()

    def after_sync(self) -> None:
        """Hear that everything is on the disk."""
        self._oldest = None

    def _counted(self) -> int | None:
        if self._accounting is None:
            return None
        try:
            lines = self._accounting.read_text(encoding="ascii").splitlines()
        except OSError:
            self._accounting = None
            return None
        return next((int(each.split()[1]) for each in lines if each.startswith("write_b")), None)
