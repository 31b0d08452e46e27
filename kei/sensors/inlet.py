"""Between the ports and the recorder: a port is read on while the disk makes the recorder wait.

An SD card may take seconds for what it has to bring to the disk, but the buffers of a serial
driver are full within one at 115,200 baud.
"""

import threading
from collections.abc import Callable, Sequence

from kei.reading import Reading

BOUND = 10_000  # readings; some 50 s of four ports with 50 lines a second each

Record = Callable[[Sequence[Reading]], None]


class Inlet:
    """Hands readings of all ports to the recorder in a thread of its own, in the order they came.

    Args:
        record: takes them; may take its time.
        bound: how many may wait. When there are more, the ports are not read for as long.
    """

    def __init__(self, record: Record, bound: int = BOUND) -> None:
        self._record = record
        self._bound = bound
        self._waiting: list[Reading] = []
        self._changed = threading.Condition()
        self._stopping = False

    def put(self, readings: Sequence[Reading]) -> None:
        """Take readings; return when there is room for them. Any thread.

        After `stop` there is always room.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._bound or self._stopping)
            self._waiting += readings
            self._changed.notify_all()

    def run(self) -> None:
        """Hand over what comes, until `stop`, and then what is left."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                readings, self._waiting = self._waiting, []
                self._changed.notify_all()
            if not readings:
                return
            self._record(readings)

    def stop(self) -> None:
        """Make `run` return soon, with nothing left; any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
