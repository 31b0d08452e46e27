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
from kei.echonet.frame import UDP_PORT
from kei.wisun import j11
from kei.wisun.interfaces import Datagram, Event, Fail, Message, Noise, Ok

log = structlog.stdlib.get_logger("kei.session")

MAX_BYTES = 10_000_000  # of the file and the one before it together
_LONGEST_CHARS = 600  # of a line; the answer with a day of half-hours has 560
_FRAGMENT_CHARS = 4  # so many characters of a secret in a row give something away
_CREDENTIALS = re.compile(rb"(SKSETPWD|SKSETRBID|SKSETPSK)\b", re.IGNORECASE)
_ORDINARY = re.compile(
    rb"OK(?: [0-9A-F]{2})?|FAIL ER\d\d|EVENT [0-9A-F]{2} [0-9A-F:]{39}(?: [0-9A-F]{1,2}){0,2}",
    re.IGNORECASE,
)
_SEND_HEADER = re.compile(rb"SKSENDTO \S+ \S+ \S+ \S (?:[01] )?[0-9A-F]{4} ")
_DAMAGED = b"ERXUDP"
_SECRET_FRAMES = frozenset(
    code.to_bytes(2, "big") for code in (j11.Command.CREDENTIALS, j11.Command.SCAN)
)
_NOT_SECRET = 10  # bytes of them: what follows is the sum of the secrets, and they themselves


class Redactor:
    """Makes lines of text of the bytes, without the B-route ID, the password, or parts of them.

    The meter's PANA datagrams hold the ID in clear text, so their content is left out. Damaged
    lines may hold most of a secret, so any four characters in a row of one are hidden.

    Args:
        secrets: the B-route ID and password.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._fragments: dict[int, set[bytes]] = {}
        for secret in secrets:
            text = secret.reveal()
            self._add(text.lower().encode(), _FRAGMENT_CHARS)
            for written in (text, text.upper(), text.lower()):
                self._add(written.encode().hex().encode(), 2 * _FRAGMENT_CHARS)

    def _add(self, text: bytes, size: int) -> None:
        pieces = {text[at : at + size] for at in range(len(text) - size + 1)}
        # A row of zeros gives nothing away, and is in every other line.
        self._fragments.setdefault(size, set()).update(p for p in pieces if len(set(p)) > 1)

    def sent(self, data: bytes) -> str:
        """Return the line for bytes that were sent; a frame of J11 is hexadecimal digits."""
        if data.startswith(j11.REQUEST):
            is_secret = data[4:6] in _SECRET_FRAMES
            return f"{data[:_NOT_SECRET].hex().upper()}{MASK}" if is_secret else data.hex().upper()
        if credentials := _CREDENTIALS.search(data[:20]):
            return f"{credentials[1].decode('ascii')} {MASK}"
        if header := _SEND_HEADER.match(data):
            return _escaped(header[0]) + data[header.end() :].hex().upper()
        return _escaped(data.strip()) or f"({len(data)} bytes of line ends)"

    def received(self, raw: bytes, message: Message) -> str:
        """Return the line for bytes that were received and parsed as this message."""
        if j11.is_frame(raw):
            return raw.hex().upper()
        match message:
            case Datagram(payload=payload):
                as_hex = payload.hex().upper().encode()
                size = len(as_hex) if raw.upper().endswith(as_hex) else len(payload)
                is_data = message.sender_port == message.own_port == UDP_PORT
                content = as_hex.decode() if is_data else f"({len(payload)} bytes)"
                return _escaped(raw[:-size]) + content
            case Ok() | Fail() | Event() if _ORDINARY.fullmatch(raw):
                return _escaped(raw)
            case Noise() if _DAMAGED in raw.upper():
                return f"(damaged ERXUDP, {len(raw)} bytes)"
        # Credentials may follow other words when a line end between them was lost.
        if credentials := _CREDENTIALS.search(raw):
            return f"{_escaped(self._without_fragments(raw[: credentials.end()]))} {MASK}"
        return _escaped(self._without_fragments(raw))

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


def _escaped(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")
