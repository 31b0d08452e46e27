"""Plays the dongle's side of a recording, and compares what the client says with it. No I/O.

Before the dongle says something it pauses as long as it did when it was recorded, counted from
what came before: the client's command, or another line of the dongle. That holds for lines that it
said of itself, too; if the client goes on before such a line was due, it is said at once, so that
all keep their order. Those before the first command are said with it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kei.echonet.frame import Esv
from kei.simulator.dongle.command_reader import (
    BadHeader,
    Command,
    CommandReader,
    Datagram,
    Line,
    Overrun,
)
from kei.simulator.replay.recording import MASK, Heard, Said, Step, fits

_LAST_WORD_S = 1.0  # for the client to read it before the port goes away
_CREDENTIALS = (b"SKSETPWD", b"SKSETRBID", b"SKSETPSK")
_ECHONET = b"\x10\x81"
_PAIRING_ID_CHARS = 8
_PAIRING_ID = re.compile(rb"(PairID:)([0-9A-Za-z*]+)")
_ANSWER = re.compile(
    rb"(ERXUDP \S+ \S+ 0E1A 0E1A [0-9A-F]{16} (?:[0-9A-F]{2} )?[012] (?:[01] )?[0-9A-F]{4} )"
    rb"(?:1081([0-9A-F]{4})[0-9A-F]{12}([0-9A-F]{2})|\x10\x81(..).{6}(.))",
    re.DOTALL,
)
_ESV_AT = 10  # in an ECHONET Lite frame


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a recording is played.

    Attributes:
        speed: how much faster than it was recorded.
        longest_s: no pause is longer; None leaves them as they are.
    """

    speed: float = 1.0
    longest_s: float | None = None

    def pause(self, recorded_s: float) -> float:
        """Return how long to pause for so long a pause in the recording, seconds."""
        pause = recorded_s / self.speed
        return pause if self.longest_s is None else min(pause, self.longest_s)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the client leaves the recording.

    Attributes:
        line: of the file.
        expected: what was recorded, for people, without credentials.
        got: what came, likewise.
    """

    line: int
    expected: str
    got: str


class Replay:
    """A device that says what another one has said.

    Args:
        steps: the recording; something is said by the host in it.
        pace: how fast.
        on_over: called once, in `receive` or `poll`: with the first difference, or with None when
            everything has been played.

    Attributes:
        unplugged: False; recordings do not tell of that.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        pace: Pace,
        on_over: Callable[[Difference | None], None],
    ) -> None:
        self.unplugged = False
        self._steps = steps
        self._pace = pace
        self._on_over = on_over
        self._next = 0
        self._reader = CommandReader()
        self._out = bytearray()
        self._latest_at: float | None = None  # when the latest step was; None before the first
        self._over = False
        self._echo = b""
        # Of the client's requests, by those recorded: transaction number and service.
        self._tids: dict[bytes, tuple[bytes, int]] = {}
        self._pairing_ids: tuple[bytes, bytes] | None = None  # recorded, the client's

    @property
    def expected(self) -> Said | None:
        """What the client should say next; None when nothing is left for it to say."""
        return next((step for step in self._steps[self._next :] if isinstance(step, Said)), None)

    @property
    def is_played(self) -> bool:
        """Whether everything has been said."""
        return self._next == len(self._steps)

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the host, in any portions, at a monotonic time."""
        self._work(now)
        self._reader.feed(data)
        while not self._over and (command := self._reader.next()) is not None:
            self._compare(command, now)

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next, monotonic seconds."""
        if self._over or self._latest_at is None:
            return None
        if self.is_played:
            return self._latest_at + _LAST_WORD_S
        step = self._steps[self._next]
        return self._latest_at + self._pace.pause(step.pause_s) if isinstance(step, Heard) else None

    def poll(self, now: float) -> bytes:
        """Say what is due, and return everything said since the last call."""
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
                self._say_next(due)

    def _compare(self, command: Command, now: float) -> None:
        expected = self.expected
        if self._latest_at is None:
            self._latest_at = now
        while self._next < len(self._steps) and self._steps[self._next] is not expected:
            self._say_next(now)
        if expected is None:  # what comes after the recording is nobody's business
            return
        if not _same(expected.command, command):
            self._end(Difference(expected.line, shown(expected.command), shown(command)))
            return
        self._carry_over(expected.command, command)
        self._next += 1
        self._latest_at = now

    def _end(self, difference: Difference | None) -> None:
        self._over = True
        self._on_over(difference)

    def _carry_over(self, recorded: Command, came: Command) -> None:
        """Keep what the recorded answers have to be changed by."""
        match recorded, came:
            case Datagram(payload=old), Datagram(header=header, payload=new):
                self._echo = header
                if old.startswith(_ECHONET) and len(new) > _ESV_AT:
                    self._tids[old[2:4]] = new[2:4], new[_ESV_AT]
            case Line(old), Line(new):
                self._echo = new
                if new.startswith(b"SKSETRBID"):
                    self._pairing_ids = (old[-_PAIRING_ID_CHARS:], new[-_PAIRING_ID_CHARS:])

    def _say_next(self, at: float) -> None:
        step = self._steps[self._next]
        assert isinstance(step, Heard), "the client says the others"
        self._next += 1
        self._latest_at = at
        data = _ANSWER.sub(self._with_own_tid, step.data)
        data = _PAIRING_ID.sub(self._with_own_pairing_id, data)
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
        """Return what a recorded number is to be changed to; None if it is the meter's own."""
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


def shown(command: Command) -> str:
    """Return a command for people: one line, payloads as hexadecimal digits, no credentials."""
    match command:
        case Line(text):
            verb = _verb(text)
            return _escaped(verb + b" " + MASK if verb in _CREDENTIALS else text)
        case Datagram(header=header, payload=payload):
            return _escaped(header) + payload.hex().upper()
        case BadHeader(header):
            return _escaped(header)
        case Overrun():
            return "(a line without end)"


def _same(recorded: Command, came: Command) -> bool:
    """Return whether a command is the recorded one: credentials and TIDs may be others."""
    match recorded, came:
        case Line(old), Line(new):
            return fits(old, new) or _verb(old) == _verb(new) in _CREDENTIALS
        case Datagram(payload=old), Datagram(payload=new) if old.startswith(_ECHONET):
            same_head = recorded.header == came.header
            return same_head and old[:2] == new[:2] and old[4:] == new[4:]
    return recorded == came


def _verb(text: bytes) -> bytes:
    return text.split(b" ", 1)[0]


def _escaped(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")
