r"""Reads the transcript of a port as the steps of a replay.

There are two kinds, told apart by their content. `kei simulate --transcript` writes portions of
bytes with their line ends, `> SKVER\r\n`. A running kei (`[log] transcript`) writes one line for
each command and reply, without line ends, the data of datagrams and the frames of J11 as
hexadecimal digits, and `***` for secrets; what it has left out is filled in.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from kei.core.errors import ConfigError
from kei.simulator.j11.frames import REQUEST, RESPONSE
from kei.simulator.port.transcript import Direction
from kei.simulator.replay.host_reader import MASK, HostCommand, HostReader
from kei.simulator.skstack.command_reader import (
    EMPTY_LINE,
    Datagram,
    Line,
)
from kei.simulator.skstack.wire import CRLF

_MAX_LINES = 1_000_000  # far more than kei keeps, and a day of most programs
_LINE = re.compile(r"(\S+) ([<>]) (.*)")
_ESCAPED = re.compile(r"(?:[ -\[\]-~]|\\(?:[\\rnt]|x[0-9a-fA-F]{2}))*")
_ESCAPE = re.compile(r"\\(?:([\\rnt])|x(..))")
_PLAIN = {"\\": "\\", "r": "\r", "n": "\n", "t": "\t"}
_LINE_ENDS = re.compile(rb"\([0-9]+ bytes of line ends\)")
_CUT_OFF = re.compile(rb"\.\.\. \([0-9]+ characters\)$")
_LEFT_OUT = re.compile(rb"\(([0-9]{1,4}) bytes\)$")
_DAMAGED = re.compile(rb"\(damaged ERXUDP, ([0-9]{1,5}) bytes\)")
_SENDTO = re.compile(rb"(SKSENDTO \S+ \S+ \S+ \S (?:[01] )?[0-9A-Fa-f]{4} )([0-9A-Fa-f]*)")
_LINK_LOCAL = rb"(FE80:(?:[0-9A-F]{4}:){6}[0-9A-F]{4})"
_JOIN = re.compile(rb"SKJOIN " + _LINK_LOCAL)
_RECEIVED = re.compile(rb"ERXUDP \S+ " + _LINK_LOCAL)
_FRAME = re.compile(rb"((?:D0EA83FC|D0F9EE5D)(?:[0-9A-F]{2})*)(\*\*\*)?")
_IN_PORTIONS = (b"\r", b"\n", REQUEST, RESPONSE)  # and not in lines of a running kei
_ADDRESS_ROW = re.compile(rb"( *Addr:)(.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a transcript: its number, its time (seconds since 1970) and its bytes."""

    line: int
    at: float
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True)
class FromHost:
    """A command of the host, which may contain `MASK`; `line` is where it begins in the file."""

    line: int
    command: HostCommand


@dataclass(frozen=True, slots=True)
class FromDongle:
    """Output of the dongle.

    Attributes:
        line: its number in the file.
        pause_s: how long after the step before it.
        data: may contain `MASK`.
        echo: whether the echo of the host's last command comes before `data`.
    """

    line: int
    pause_s: float
    data: bytes
    echo: bool = False


Step = FromHost | FromDongle


def read_recording(path: Path) -> tuple[Step, ...]:
    """Return the steps of a transcript of either kind.

    Raises:
        ConfigError: it cannot be read, a line of it is wrong, or it has no command of a host.
    """
    try:
        with path.open("rb") as file:
            entries = list(_entries(path, file))
    except OSError as error:
        raise ConfigError([f"replay {path}: {error.strerror}"]) from error
    if not any(mark in entry.data for entry in entries for mark in _IN_PORTIONS):
        addresses = _Addresses.of(entries)
        entries = [found for each in entries if (found := _with_line_end(path, each, addresses))]
    steps = tuple(_steps(entries))
    if not any(isinstance(step, FromHost) for step in steps):
        raise ConfigError([f"replay {path}: nothing in it was said by a host"])
    return steps


def unescaped(text: str) -> bytes:
    r"""Return the bytes of a transcript's text.

    Raises:
        ValueError: neither printable ASCII nor one of `\\ \r \n \t \xNN`.
    """
    if not _ESCAPED.fullmatch(text):
        raise ValueError("an escape or a character that no transcript has")
    plain = _ESCAPE.sub(lambda m: _PLAIN[m[1]] if m[1] else chr(int(m[2], 16)), text)
    return plain.encode("latin-1")


def _entries(path: Path, lines: Iterable[bytes]) -> Iterator[Entry]:
    for number, raw in enumerate(lines, 1):
        if number > _MAX_LINES:
            raise _mistake(path, number, f"more than {_MAX_LINES} lines")
        if not raw.strip():
            continue
        match = _LINE.fullmatch(raw.decode("latin-1").rstrip("\r\n"))
        if match is None:
            raise _mistake(path, number, "not of the form TIME > TEXT or TIME < TEXT")
        try:
            moment = datetime.fromisoformat(match[1])
            data = unescaped(match[3])
        except ValueError as error:
            raise _mistake(path, number, str(error)) from None
        if moment.tzinfo is None:
            raise _mistake(path, number, f"the time {match[1]} has no offset such as +09:00")
        yield Entry(number, moment.timestamp(), Direction(match[2]), data)


def _mistake(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError([f"replay {path}, line {line}: {what}"])


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Addresses of a recording, for rows in which parts of them are masked like secrets.

    That happens to digits that are also in the B-route ID.

    Attributes:
        meters: MAC addresses that the host joined.
        own: IPv6 and MAC addresses of the dongle.
    """

    meters: tuple[bytes, ...]
    own: tuple[bytes, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "_Addresses":
        """Return the addresses of the lines that are never masked."""
        meters, own = [], []
        for entry in entries:
            if joined := _JOIN.fullmatch(entry.data):
                meters.append(_mac(joined[1]))
            elif received := _RECEIVED.match(entry.data):
                own += [received[1], _mac(received[1])]
        return cls(tuple(dict.fromkeys(meters)), tuple(dict.fromkeys(own)))

    def filled_in(self, line: bytes) -> bytes:
        """Return a line of the dongle with its masked addresses filled in, as far as known."""
        if MASK not in line:
            return line
        if row := _ADDRESS_ROW.fullmatch(line):
            return row[1] + _first_match(row[2], self.meters)
        if line.startswith(b"EINFO "):
            return b" ".join(_first_match(word, self.own) for word in line.split(b" "))
        return line


def _first_match(word: bytes, known: tuple[bytes, ...]) -> bytes:
    return next((each for each in known if matches(word, each)), word)


def _mac(address: bytes) -> bytes:
    """Return the MAC address of a link-local address in full (RFC 4291, appendix A)."""
    interface = int(address.replace(b":", b"")[16:], 16)
    return b"%016X" % (interface ^ 0x02 << 56)


def _with_line_end(path: Path, entry: Entry, addresses: _Addresses) -> Entry | None:
    """Return the bytes of a line of a running kei's transcript; None for line ends."""
    data = entry.data
    if frame := _FRAME.fullmatch(data):
        return replace(entry, data=bytes.fromhex(frame[1].decode("ascii")) + (frame[2] or b""))
    if entry.direction is Direction.DONGLE:
        return replace(entry, data=addresses.filled_in(_dongle_line(data)) + CRLF)
    if _LINE_ENDS.fullmatch(data):
        return None
    if _CUT_OFF.search(data):
        raise _mistake(path, entry.line, "cut off by the recorder, so that it cannot be compared")
    sendto = _SENDTO.fullmatch(data)
    if sendto is None:
        return replace(entry, data=data + CRLF)
    if len(sendto[2]) % 2:
        raise _mistake(path, entry.line, "an odd number of hexadecimal digits")
    return replace(entry, data=sendto[1] + bytes.fromhex(sendto[2].decode("ascii")))


def _dongle_line(text: bytes) -> bytes:
    if damaged := _DAMAGED.fullmatch(text):
        return b"ERXUDP ".ljust(int(damaged[1]), b"?")
    whole = _CUT_OFF.sub(b"", text)
    return _LEFT_OUT.sub(lambda left: b"00" * int(left[1]), whole)


def _steps(entries: Iterable[Entry]) -> Iterator[Step]:
    reader = HostReader()
    begun: int | None = None
    latest: HostCommand | None = None
    before: float | None = None
    for entry in entries:
        pause = 0.0 if before is None else max(0.0, entry.at - before)
        before = entry.at
        if entry.direction is Direction.DONGLE:
            yield _output(entry, pause, latest)
            latest = None
            continue
        begun = begun or entry.line
        reader.feed(entry.data)
        while (command := reader.next()) is not None:
            if command == EMPTY_LINE:
                continue
            yield FromHost(begun, command)
            latest, begun = command, entry.line
        if reader.is_empty:
            begun = None


def _output(entry: Entry, pause_s: float, latest: HostCommand | None) -> FromDongle:
    """Return the step of a dongle's line, which may begin with the echo of the latest command."""
    match latest:
        case Line(text) | Datagram(header=text):
            first, end, rest = entry.data.partition(b"\r")
            if matches(first, text):
                return FromDongle(entry.line, pause_s, end + rest, echo=True)
    return FromDongle(entry.line, pause_s, entry.data)


def matches(masked: bytes, text: bytes) -> bool:
    """Return whether a text is the recorded one, whose masked parts match anything."""
    if MASK not in masked:
        return masked == text
    pattern = b".*".join(re.escape(part) for part in masked.split(MASK))
    return re.fullmatch(pattern, text, re.DOTALL) is not None
