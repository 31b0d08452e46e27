"""Transcripts of the simulated serial line: time, direction, bytes."""

from enum import StrEnum
from pathlib import Path

from kei.core.clock import Clock, local
from kei.core.errors import ConfigError


def escaped(data: bytes) -> str:
    r"""Return bytes as text; what is not printable ASCII becomes `\r`, `\n`, `\\` or `\xNN`."""
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")


class Direction(StrEnum):
    """Which side wrote it."""

    HOST = ">"
    DONGLE = "<"


class Transcript:
    r"""A file to which a line is appended for each portion of bytes, such as `TIME > SKVER\r\n`.

    Times are RFC 3339 with milliseconds.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        try:
            self._file = path.open("a", encoding="ascii", buffering=1)
        except OSError as error:
            raise ConfigError([f"transcript {path}: {error.strerror}"]) from error

    def note(self, direction: Direction, data: bytes) -> None:
        """Append a portion; raises OSError, such as of a full disk."""
        moment = local(self._clock.now_ms(), self._clock.zone).isoformat(timespec="milliseconds")
        self._file.write(f"{moment} {direction} {escaped(data)}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
