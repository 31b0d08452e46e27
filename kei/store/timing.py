"""When a reading was taken, as far as a machine without a battery for its clock can know."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.store import unsynchronised_spans
from kei.store.database import Database
from kei.store.unsynchronised_spans import SAME_SETTING_MS
from kei.store.write_queue import Item, Spool

log = structlog.stdlib.get_logger("kei.store")

_Work = Callable[[sqlite3.Connection], None]


class Timekeeping(Protocol):
    """What is known of the wall clock."""

    @property
    def synchronised(self) -> bool:
        """Whether something keeps it right."""

    @property
    def likely_wrong(self) -> bool:
        """Whether it is likely to be wrong."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a wall clock of which nothing new will be learnt.

    Attributes:
        synchronised: as `Timekeeping` has it.
        likely_wrong: likewise.
    """

    synchronised: bool
    likely_wrong: bool


UNKNOWN = Known(synchronised=False, likely_wrong=False)


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Return a name that the machine has from one boot to the next; empty if it has none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Timing:
    """Remembers which readings were timed by a clock that nobody had set, and puts them right.

    Used under the lock of the recorder.

    Args:
        clock: wall and monotonic time.
        keeping: how far the wall clock can be relied on.
        boot: names the present boot of the machine, for which the monotonic clock is good.
        wait_s: how long lines wait for a clock that is likely to be wrong, seconds.
    """

    def __init__(self, clock: Clock, keeping: Timekeeping, boot: str, wait_s: float) -> None:
        self._clock = clock
        self._keeping = keeping
        self._boot = boot
        self._wait_s = wait_s
        self._was_wrong = keeping.likely_wrong
        self._hold_until: float | None = None
        if wait_s > 0 and self._was_wrong:
            self._hold_until = clock.monotonic() + wait_s
        self._work: list[_Work] = []
        if keeping.synchronised:  # it may not have been when kei ended, in this boot
            self._work = [self._moving(), unsynchronised_spans.forget]

    @property
    def hold_until(self) -> float | None:
        """Until when lines wait for the clock, monotonic; None when they do not."""
        return self._hold_until

    @property
    def has_work(self) -> bool:
        """Whether the database has times that are to be put right."""
        return bool(self._work)

    def items(self, readings: Sequence[Reading]) -> list[Item]:
        """Return readings whose time is that of the wall clock, with what that clock is worth."""
        self._was_wrong = self._keeping.likely_wrong
        offset_ms = None if self._keeping.synchronised else self._offset_ms()
        return [Item(reading, offset_ms) for reading in readings]

    def end_hold(self) -> None:
        """Let lines wait no longer."""
        self._hold_until = None

    def end_hold_in_time(self) -> None:
        """Let lines wait no longer if they have waited long enough; say so."""
        if self._hold_until is not None and self._clock.monotonic() >= self._hold_until:
            self._hold_until = None
            hint = "is there a network? lines get the time that the clock shows"
            log.warning("clock_not_set", waited_s=self._wait_s, hint=hint)

    def stepped(self, spool: Spool) -> None:
        """Take note that the wall clock was set, but that nothing keeps it right yet.

        Readings of a clock that was likely to be wrong get their time by the new setting. Others
        keep theirs: the clock of a machine that was asleep is set when it wakes up, too.
        """
        if self._was_wrong:
            self._move(spool)
            self._work.append(self._moving())
        else:
            self._trust(spool)
            self._work.append(unsynchronised_spans.forget)

    def synchronised(self, spool: Spool) -> None:
        """Take note that something keeps the wall clock right from now on."""
        self._move(spool)
        self._trust(spool)
        self._work += [self._moving(), unsynchronised_spans.forget]
        self._hold_until = None

    def mend(self, database: Database) -> None:
        """Put the times in the database right.

        Raises:
            StoreError: it cannot be done now; call it again.
        """
        with database.transaction() as connection:
            for work in self._work:
                work(connection)
        self._work.clear()

    def remember(
        self, connection: sqlite3.Connection, first_id: int, items: Sequence[Item]
    ) -> None:
        """Remember which of some rows may be wrong, in the transaction that adds them."""
        offsets = (item.offset_ms for item in items)
        unsynchronised_spans.add(
            connection, unsynchronised_spans.stretches(first_id, offsets), self._boot
        )

    def _moving(self) -> _Work:
        offset_ms, boot = self._offset_ms(), self._boot

        def move(connection: sqlite3.Connection) -> None:
            moved = unsynchronised_spans.put_right(connection, offset_ms, boot)
            if moved:
                log.info("times_put_right", readings=moved)

        return move

    def _move(self, spool: Spool) -> None:
        offset_ms = self._offset_ms()
        spool.replace([_moved(item, offset_ms) for item in spool.all()])

    @staticmethod
    def _trust(spool: Spool) -> None:
        spool.replace([replace(item, offset_ms=None) for item in spool.all()])

    def _offset_ms(self) -> int:
        return self._clock.now_ms() - round(self._clock.monotonic() * 1000)


def _moved(item: Item, offset_ms: int) -> Item:
    by_ms = 0 if item.offset_ms is None else offset_ms - item.offset_ms
    if abs(by_ms) < SAME_SETTING_MS:
        return item
    reading = replace(item.reading, time_ms=item.reading.time_ms + by_ms)
    return Item(reading, offset_ms)
