"""A readable log of all bytes on the dongle's port, without secrets, for tracing faults."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import structlog

from kei.core.clock import Clock, local
from kei.core.incidents import Incidents
from kei.core.secret import MASK, Secret
from kei.wisun.interfaces import Message
from kei.wisun.recogniser import GRAMMARS
from kei.wisun.skstack import escaped

log = structlog.stdlib.get_logger("kei.session")

MAX_BYTES = 10_000_000  # of the file and the one before it together
_LONGEST_CHARS = 600  # of a line; the answer with a day of half-hours has 560
_FRAGMENT_CHARS = 4  # so many characters of a secret in a row give something away


class Redactor:
    """Makes lines of text of the bytes, without the B-route ID, the password, or parts of them.

    The meter's PANA datagrams hold the ID in clear text, so their content is left out. Damaged
    lines may hold most of a secret, so any four characters in a row of one are hidden. What a whole
    datagram holds is shown, but for the ID: a newer meter has it as property C0.

    Args:
        secrets: the B-route ID and password.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._fragments: dict[int, set[bytes]] = {}
        texts = [secret.reveal() for secret in secrets]
        self._whole = re.compile("|".join(re.escape(text) for text in texts), re.IGNORECASE)
        for text in texts:
            self._add(text.lower().encode(), _FRAGMENT_CHARS)
            for written in (text, text.upper(), text.lower()):
                self._add(written.encode().hex().encode(), 2 * _FRAGMENT_CHARS)

    def _add(self, text: bytes, size: int) -> None:
        pieces = {text[at : at + size] for at in range(len(text) - size + 1)}
        # A row of zeros gives nothing away, and is in every other line.
        self._fragments.setdefault(size, set()).update(p for p in pieces if len(set(p)) > 1)

    def sent(self, data: bytes) -> str:
        """Return the line for bytes that were sent."""
        for commands in GRAMMARS.values():
            if (line := commands.shown_sent(data)) is not None:
                return line
        return f"({len(data)} bytes)"

    def received(self, raw: bytes, message: Message) -> str:
        """Return the line for bytes that were received and parsed as this message."""
        for commands in GRAMMARS.values():
            line = commands.shown_received(raw, message, self._without_fragments)
            if line is not None:
                return self._whole.sub(MASK, line)
        return escaped(self._without_fragments(raw))

    def _without_fragments(self, line: bytes) -> bytes:
        lower = line.lower()
        hidden = bytearray(len(line))
        for size, pieces in self._fragments.items():
            for at in range(len(line) - size + 1):
                if lower[at : at + size] in pieces:
                    hidden[at : at + size] = b"\x01" * size
        kept = bytearray()
        for at, is_hidden in enumerate(hidden):
            if not is_hidden:
                kept.append(line[at])
            elif at == 0 or not hidden[at - 1]:
                kept += MASK.encode()
        return bytes(kept)


class Transcript:
    """A file with one line for each command, reply and event: a `Tap`. Thread-safe; never raises.

    At half of 10 MB it is renamed to end in `.1`, and a new one is begun.

    Args:
        path: of the file; appended to.
        secrets: are hidden.
        clock: for the time stamps, local time with milliseconds and offset.
    """

    def __init__(self, path: Path, secrets: Sequence[Secret], clock: Clock) -> None:
        self._path = path
        self._redactor = Redactor(secrets)
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._size = 0

    def sent(self, data: bytes) -> None:
        """Add bytes that are sent."""
        self._add_line(">", self._redactor.sent(data))

    def received(self, raw: bytes, message: Message) -> None:
        """Add bytes that were received and parsed as this message."""
        self._add_line("<", self._redactor.received(raw, message))

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        with self._lock:
            self._close()

    def _add_line(self, direction: str, text: str) -> None:
        moment = local(self._clock.now_ms(), self._clock.zone).isoformat(timespec="milliseconds")
        if len(text) > _LONGEST_CHARS:
            text = f"{text[:_LONGEST_CHARS]}... ({len(text)} characters)"
        line = f"{moment} {direction} {text}\n"
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                self._close()
                why = error.strerror or str(error)
                self._incidents.raised("transcript_unwritable", path=str(self._path), reason=why)
            else:
                self._incidents.ended("transcript_unwritable")

    def _write(self, line: str) -> None:
        if self._file is not None and self._size + len(line) > MAX_BYTES // 2:
            self._close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        if self._file is None:
            self._file = self._path.open("a", encoding="ascii", buffering=1)
            self._size = self._file.tell()
        self._file.write(line)
        self._size += len(line)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:  # the line that did not fit is tried once more
                log.debug("transcript_not_closed", reason=str(error))
