"""Transcripts of the simulated serial line: time, direction, bytes."""

from enum import StrEnum
from pathlib import Path

from kei.core.clock import Clock, local
from kei.core.errors import ConfigError


class Direction(StrEnum):
    """Which side wrote it."""

    HOST = ">"
    DONGLE = "<"


class Transcript:
    r"""A file to which a line is appended for each portion of bytes, such as `TIME > SKVER\r\n`.

    Times are RFC 3339 with milliseconds; what is not printable ASCII is written as `\r`, `\n`, `\\`
    or `\xNN`.

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
        text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
        self._file.write(f"{moment} {direction} {text}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
