"""What became of the requests: each is answered, missed or held back, and counted so."""

import threading


class Tally:
    """Counts requests since the start. Thread-safe.

    Attributes:
        answered: the meter answered.
        missed: it was asked, or should have been, and did not answer in time.
        held_back: the meter could not be asked: not joined, or no transmission time left.
        misses_in_a_row: since the last answer, or the last `forgive`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered = self.missed = self.held_back = self.misses_in_a_row = 0

    def answer(self) -> None:
        """Count a request that was answered."""
        with self._lock:
            self.answered += 1
            self.misses_in_a_row = 0

    def miss(self, *, asked: bool) -> None:
        """Count a request that was not; `asked` tells whether that says something of the meter."""
        with self._lock:
            self.missed += 1
            self.misses_in_a_row += asked

    def hold_back(self) -> None:
        """Count a request that was refused before it was sent."""
        with self._lock:
            self.held_back += 1

    def forgive(self) -> None:
        """Begin to count misses in a row anew."""
        with self._lock:
            self.misses_in_a_row = 0
