"""How far a command is, as one live line on a terminal."""

from typing import Self, TextIO

from kei.core.clock import Clock
from kei.core.printable import printable

_PAUSE_S = 0.2
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line that is written over again and again; nothing at all if it is no terminal.

    As a context manager it is cleared in the end.

    Args:
        stream: stderr.
        clock: so that not every step is written.
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._is_shown = stream.isatty()
        self._written: float | None = None

    def show(self, what: str, share: float) -> None:
        """Say what is being done, and how much of it is done already (0 to 1)."""
        now = self._clock.monotonic()
        if self._is_shown and (self._written is None or now - self._written >= _PAUSE_S):
            self._written = now
            self._stream.write(f"{_CLEAR}{printable(what)} {share:4.0%}")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Leave an empty line to whatever is written next."""
        if self._written is not None:
            self._written = None
            self._stream.write(_CLEAR)
            self._stream.flush()
