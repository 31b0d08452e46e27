"""How long to wait before the next attempt: short at first, and longer each time."""

import random

FIRST_S, MAX_S = 2.0, 600.0
FLAPPING_MAX_S = 30.0  # a meter that can be joined is not left alone for long


class Backoff:
    """Pauses that double, each shortened by chance so that a whole street does not wake at once.

    Args:
        rng: for the jitter.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """Return the next pause: 2, 4, 8 ... 600 s, of which half to all."""
        pause_s, self._next_s = self._next_s, min(MAX_S, 2 * self._next_s)
        return pause_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin with the shortest again."""
        self._next_s = FIRST_S

    def shorten(self) -> None:
        """Go on growing, but from half a minute at most."""
        self._next_s = min(FLAPPING_MAX_S, self._next_s)
