"""Where log lines go: each place has a thread of its own, so that nobody who logs ever waits.

A terminal that was stopped with Ctrl-S, a pipe that nobody reads and a file on a disk that hangs
take no line, for as long as they like. Lines wait for them up to a bound; those beyond it are
counted, and their number is told when the place takes lines again.
"""

import logging
import os
import select
import threading
from collections import deque
from pathlib import Path
from typing import Protocol

import structlog

QUEUE_MAX_BYTES = 256 * 1024  # for one place: a thousand lines and more
FLUSH_LIMIT_S = 1.0  # at the end of the process: a reader that is there needs milliseconds
_CLEAR_LINE = b"\r\x1b[K"

log = structlog.stdlib.get_logger("kei.log")


class Place(Protocol):
    """Where the lines of a sink go."""

    name: str

    def descriptor(self) -> int:
        """Return the descriptor to write to now.

        Raises:
            OSError: there is none at present.
        """

    def close(self) -> None:
        """Close it, as far as it is ours."""


class StreamPlace:
    """A standard stream, by its descriptor: Python's own buffer would be locked by a writer.

    Args:
        name: as logs call it.
        descriptor: stays open.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    def descriptor(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Leave it open."""


class FilePlace:
    """A file that is opened again when it was moved away (logrotate).

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def descriptor(self) -> int:
        """Return the descriptor of the file that has the name now."""
        try:
            is_moved = not os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            is_moved = True
        if is_moved:
            old, self._descriptor = self._descriptor, self._open()
            os.close(old)
        return self._descriptor

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Sink(logging.Handler):
    """A handler that never blocks: a thread writes the lines. Its formatter must not raise.

    When more than 256 KiB wait, lines are left out until half of that has been written. A line that
    cannot be written, to a full disk say, counts as left out as well.

    Args:
        place: where the lines go.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.name = place.name
        self._place = place
        self._news = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_full = False
        self._lost = 0
        self._is_writing = False
        self._is_closing = False
        self._live_line = self._shown_live_line = b""
        self._is_torn = False  # the writer's own: the last line was written in part
        threading.Thread(target=self._run, name=f"log {place.name}", daemon=True).start()

    @property
    def descriptor(self) -> int:
        """The descriptor that is written to.

        Raises:
            OSError: there is none at present.
        """
        return self._place.descriptor()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line into the queue, or count it."""
        self.write_line(self.format(record))

    def write_line(self, text: str) -> None:
        """Put a line that is no record into the queue, or count it."""
        line = (text + "\n").encode("utf-8", "backslashreplace")
        with self._news:
            if self._waiting_bytes and self._waiting_bytes + len(line) > QUEUE_MAX_BYTES:
                self._is_full = True
            if self._is_full:
                self._lost += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            self._news.notify_all()

    def show(self, live_line: str) -> None:
        """Keep this below all lines, on a terminal; an empty text removes it."""
        with self._news:
            self._live_line = live_line.encode("utf-8", "backslashreplace")
            self._news.notify_all()

    def flush(self) -> None:
        """Wait until everything is written, one second at most."""
        self.drain(FLUSH_LIMIT_S)

    def drain(self, limit_s: float) -> None:
        """Wait until everything is written, for so long at most."""
        with self._news:
            self._news.wait_for(lambda: not self._has_work() and not self._is_writing, limit_s)

    def close(self) -> None:
        """Have the thread write what waits and end; does not wait for that."""
        with self._news:
            self._is_closing = True
            self._live_line = b""
            self._news.notify_all()
        super().close()

    def _has_work(self) -> bool:
        return bool(self._lines) or self._live_line != self._shown_live_line

    def _run(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._write(line)
            except OSError:
                with self._news:
                    self._lost += bool(line)
            else:
                self._tell_of_lost()
            with self._news:
                self._is_writing = False
                self._news.notify_all()
        self._place.close()

    def _next(self) -> bytes | None:
        """Return the next line, an empty one if only the live line is new; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._has_work() or self._is_closing)
            if not self._has_work():
                return None
            self._is_writing = True
            line = self._lines.popleft() if self._lines else b""
            self._waiting_bytes -= len(line)
            return line

    def _write(self, line: bytes) -> None:
        if self._is_torn:
            line = b"\n" + line
        with self._news:
            before, self._shown_live_line = self._shown_live_line, self._live_line
        if before or self._shown_live_line:
            line = _CLEAR_LINE + line + self._shown_live_line
        written, descriptor = 0, self._place.descriptor()
        try:
            while written < len(line):
                written += _write_some(descriptor, line[written:])
        finally:
            self._is_torn = 0 < written < len(line) or (self._is_torn and not written)

    def _tell_of_lost(self) -> None:
        """Log how many lines were left out, once it takes lines again."""
        with self._news:
            if not self._lost or self._waiting_bytes > QUEUE_MAX_BYTES // 2:
                return
            count, self._lost, self._is_full = self._lost, 0, False
        # Whatever level is written: what was lost belonged to it.
        level = max(logging.WARNING, logging.getLogger().level)
        log.log(level, "log_lines_lost", sink=self.name, count=count)


def _write_some(descriptor: int, data: bytes) -> int:
    """Write some of the data, waiting for as long as it takes; return how many bytes.

    Raises:
        OSError: the reader has gone, the disk is full, and the like.
    """
    try:
        return os.write(descriptor, data)
    except BlockingIOError:  # another program has made the stream we share non-blocking
        select.select([], [descriptor], [])
        return 0
