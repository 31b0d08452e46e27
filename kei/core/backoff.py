"""Growing, randomised waits between attempts that fail."""

from random import Random


class Backoff:
    """Waits that double with each failure, each multiplied by a random factor.

    Not thread-safe.

    Args:
        rng: for the factor, which keeps many clients from trying again at the same moment.
        first_s: the first wait, before the factor.
        max_s: the longest wait, before the factor.
        jitter: the range of the factor.

    Attributes:
        failures: failed attempts since the last `reset`.
    """

    def __init__(
        self, rng: Random, *, first_s: float, max_s: float, jitter: tuple[float, float]
    ) -> None:
        self._rng = rng
        self._first_s = self._next_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self.failures = 0

    def after_failure(self) -> float:
        """Return how long to wait now, seconds."""
        self.failures += 1
        wait_s, self._next_s = self._next_s, min(self._max_s, 2 * self._next_s)
        return wait_s * self._rng.uniform(*self._jitter)

    def shorten(self, limit_s: float) -> None:
        """Let the next wait be no longer than this before its factor; later ones grow again."""
        self._next_s = min(limit_s, self._next_s)

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._next_s = self._first_s
        self.failures = 0
