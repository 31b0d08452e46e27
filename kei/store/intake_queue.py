"""Between those who read and the recorder: ports and meter are read on while the disk stalls.

An SD card may take seconds, and at times a minute, for what it has to bring to the disk. But the
buffers of a serial driver are full within one second at 115,200 baud, and a request that waits for
the disk would not be asked again meanwhile.
"""

import threading
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from kei.core.reading import Reading

BOUND = 10_000  # readings; some 50 s of four ports with 50 lines a second each


class Record(Protocol):
    """Where readings go."""

    def record(self, readings: Sequence[Reading]) -> None:
        """Write these."""

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Write those that are not yet there, by series and time."""


class IntakeQueue:
    """Hands readings to the recorder in a thread of its own, in the order they came.

    Args:
        recorder: takes them; may take its time.
        bound: how many may wait. When there are more, who brings some waits for as long.
    """

    def __init__(self, recorder: Record, bound: int = BOUND) -> None:
        self._take = {False: recorder.record, True: recorder.record_once}
        self._bound = bound
        self._waiting: list[tuple[bool, Reading]] = []  # whether only once, and what
        self._changed = threading.Condition()
        self._stopping = False

    def record(self, readings: Sequence[Reading]) -> None:
        """Take readings; return when there is room for them. Any thread.

        After `stop` there is always room.
        """
        self._put(readings, once=False)

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Take readings that are to be written only if they are not there yet; as above."""
        self._put(readings, once=True)

    def _put(self, readings: Sequence[Reading], *, once: bool) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._bound or self._stopping)
            self._waiting += [(once, reading) for reading in readings]
            self._changed.notify_all()

    def run(self) -> None:
        """Hand over what comes, until `stop`, and then what is left. May be called again then."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                waiting, self._waiting = self._waiting, []
                self._changed.notify_all()
            if not waiting:
                return
            for once, group in groupby(waiting, key=itemgetter(0)):
                self._take[once]([reading for _, reading in group])

    def stop(self) -> None:
        """Make `run` return soon, with nothing left; any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
