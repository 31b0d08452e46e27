"""Plays the dongle's side of a recording, and compares the client's side with it. No I/O.

Before each line the dongle pauses as long as in the recording, counted from the step before: the
client's command, or another line. If the client goes on before an unsolicited line is due, it is
written at once, so that the order stays. Lines before the first command are written with it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kei.echonet.frame import Esv
from kei.simulator.port.transcript import escaped
from kei.simulator.replay import frames
from kei.simulator.replay.host_reader import MASK, Frame, HostCommand, HostReader
from kei.simulator.replay.recording import FromDongle, FromHost, Step, matches
from kei.simulator.skstack.command_reader import (
    EMPTY_LINE,
    BadHeader,
    Datagram,
    Line,
    Overrun,
)

_LINGER_S = 1.0  # for the client to read the last line before the port is closed
_CREDENTIALS = (b"SKSETPWD", b"SKSETRBID", b"SKSETPSK")
_PAIRING_ID_CHARS = 8
_PAIRING_ID = re.compile(rb"(PairID:)([0-9A-Za-z*]+)")
_ANSWER = re.compile(
    rb"(ERXUDP \S+ \S+ 0E1A 0E1A [0-9A-F]{16} (?:[0-9A-F]{2} )?[012] (?:[01] )?[0-9A-F]{4} )"
    rb"(?:1081([0-9A-F]{4})[0-9A-F]{12}([0-9A-F]{2})|\x10\x81(..).{6}(.))",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a recording is played: `speed` divides its pauses, `longest_s` limits them."""

    speed: float = 1.0
    longest_s: float | None = None

    def pause(self, recorded_s: float) -> float:
        """Return the length of a recorded pause when played, seconds."""
        pause = recorded_s / self.speed
        return pause if self.longest_s is None else min(pause, self.longest_s)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the client differs from a line of the recording; printable, without credentials."""

    line: int
    expected: str
    got: str


class Replay:
    """A device that plays a recording.

    Args:
        steps: the recording, with a command of the host at least.
        pace: how fast.
        on_over: called once, in `receive` or `poll`: with the first difference, or with None when
            everything has been played.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        pace: Pace,
        on_over: Callable[[Difference | None], None],
    ) -> None:
        self.unplugged = False  # recordings know no power cuts
        self._steps = steps
        self._pace = pace
        self._on_over = on_over
        self._next = 0
        self._reader = HostReader()
        self._out = bytearray()
        self._latest_at: float | None = None  # when the latest step was; None before the first
        self._over = False
        self._echo = b""
        # Of the client's requests, by those recorded: transaction number and service.
        self._tids: dict[bytes, tuple[bytes, int]] = {}
        self._pairing_ids: tuple[bytes, bytes] | None = None  # recorded, the client's

    @property
    def expected(self) -> FromHost | None:
        """The next command of the client; None when there are no more."""
        return next(
            (step for step in self._steps[self._next :] if isinstance(step, FromHost)), None
        )

    @property
    def is_played(self) -> bool:
        """Whether all steps have been played."""
        return self._next == len(self._steps)

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the host, in any portions, at a monotonic time."""
        self._work(now)
        self._reader.feed(data)
        while not self._over and (command := self._reader.next()) is not None:
            if command != EMPTY_LINE:
                self._compare(command, now)

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next, monotonic seconds."""
        if self._over or self._latest_at is None:
            return None
        if self.is_played:
            return self._latest_at + _LINGER_S
        step = self._steps[self._next]
        return (
            self._latest_at + self._pace.pause(step.pause_s)
            if isinstance(step, FromDongle)
            else None
        )

    def poll(self, now: float) -> bytes:
        """Return what was written since the last call, including what is due."""
        self._work(now)
        out = bytes(self._out)
        self._out.clear()
        return out

    def power_on(self) -> None:
        """Go on where it was."""

    def _work(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            if self.is_played:
                self._end(None)
            else:
                self._write_next(due)

    def _compare(self, command: HostCommand, now: float) -> None:
        expected = self.expected
        if self._latest_at is None:
            self._latest_at = now
        while self._next < len(self._steps) and self._steps[self._next] is not expected:
            self._write_next(now)
        if expected is None:  # after the recording anything may come
            return
        if not _same(expected.command, command):
            self._end(Difference(expected.line, shown(expected.command), shown(command)))
            return
        self._note_replacements(expected.command, command)
        self._next += 1
        self._latest_at = now

    def _end(self, difference: Difference | None) -> None:
        self._over = True
        self._on_over(difference)

    def _note_replacements(self, recorded: HostCommand, came: HostCommand) -> None:
        """Note the values of the client that replace recorded ones in the answers."""
        match recorded, came:
            case Datagram(payload=old), Datagram(header=header, payload=new):
                self._echo = header
                self._note_tid(old, new)
            case Frame(), Frame():
                self._note_tid(frames.payload_of(recorded), frames.payload_of(came))
            case Line(old), Line(new):
                self._echo = new
                if new.startswith(b"SKSETRBID"):
                    self._pairing_ids = (old[-_PAIRING_ID_CHARS:], new[-_PAIRING_ID_CHARS:])

    def _note_tid(self, old: bytes, new: bytes) -> None:
        if old.startswith(frames.ECHONET) and len(new) > frames.ESV_AT:
            self._tids[old[2:4]] = new[2:4], new[frames.ESV_AT]

    def _write_next(self, at: float) -> None:
        step = self._steps[self._next]
        assert isinstance(step, FromDongle), "the client says the others"
        self._next += 1
        self._latest_at = at
        data = _ANSWER.sub(self._with_own_tid, step.data)
        data = _PAIRING_ID.sub(self._with_own_pairing_id, data)
        data = frames.with_tids(data, self._client_tid)
        self._out += self._echo + data if step.echo else data

    def _with_own_tid(self, answer: re.Match[bytes]) -> bytes:
        whole = answer.group()
        is_hex = answer[2] is not None
        tid = bytes.fromhex(answer[2].decode("ascii")) if is_hex else answer[4]
        service = int(answer[3], 16) if is_hex else answer[5][0]
        own = self._client_tid(tid, service)
        if own is None:
            return whole
        start, end = answer.span(2 if is_hex else 4)
        start, end = start - answer.start(), end - answer.start()
        return whole[:start] + (own.hex().upper().encode() if is_hex else own) + whole[end:]

    def _client_tid(self, recorded: bytes, service: int) -> bytes | None:
        """Return the client's TID for a recorded one; None if it is the meter's own."""
        own, asked = self._tids.get(recorded, (None, None))
        if service == Esv.INFC or (service == Esv.INF and asked != Esv.INF_REQ):
            return None
        if service == Esv.INF:
            del self._tids[recorded]  # a later one is the meter's own
        return own

    def _with_own_pairing_id(self, row: re.Match[bytes]) -> bytes:
        if self._pairing_ids is None:
            return row.group()
        recorded, own = self._pairing_ids
        return row[1] + own if row[2] in {recorded, MASK} else row.group()


def shown(command: HostCommand) -> str:
    """Return a command as a printable line, payloads as hexadecimal digits, without credentials."""
    match command:
        case Line(text):
            verb = _verb(text)
            return escaped(verb + b" " + MASK if verb in _CREDENTIALS else text)
        case Datagram(header=header, payload=payload):
            return escaped(header) + payload.hex().upper()
        case BadHeader(header):
            return escaped(header)
        case Overrun():
            return "(a line without end)"
        case Frame():
            return frames.shown(command)


def _same(recorded: HostCommand, came: HostCommand) -> bool:
    """Return whether a command is the recorded one; credentials and TIDs may differ."""
    match recorded, came:
        case Line(old), Line(new):
            return matches(old, new) or _verb(old) == _verb(new) in _CREDENTIALS
        case Datagram(payload=old), Datagram(payload=new) if old.startswith(frames.ECHONET):
            same_head = recorded.header == came.header
            return same_head and old[:2] == new[:2] and old[4:] == new[4:]
        case Frame(), Frame():
            return frames.is_same(recorded, came)
    return recorded == came


def _verb(text: bytes) -> bytes:
    return text.split(b" ", 1)[0]
