"""What went over the virtual serial line, as readable lines: time, direction, bytes."""

from datetime import tzinfo
from enum import StrEnum
from pathlib import Path

from kei.core.clock import Clock, local
from kei.core.errors import ConfigError


class Direction(StrEnum):
    """Who said it."""

    HOST = ">"
    DONGLE = "<"


class Transcript:
    r"""A file with one line for each portion of bytes, such as `TIME > SKVER\r\n`.

    Printable ASCII stands for itself, all else is written as `\r`, `\n`, `\\` or `\xNN`.

    Args:
        path: where; appended to.
        clock: for the time stamps, RFC 3339 with milliseconds.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._zone: tzinfo = clock.zone
        try:
            self._file = path.open("a", encoding="ascii", buffering=1)
        except OSError as error:
            raise ConfigError([f"transcript {path}: {error.strerror}"]) from error

    def note(self, direction: Direction, data: bytes) -> None:
        """Add a portion; raises OSError when the disk is full."""
        moment = local(self._clock.now_ms(), self._zone).isoformat(timespec="milliseconds")
        text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
        self._file.write(f"{moment} {direction} {text}\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()
