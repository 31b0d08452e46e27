"""The connection to the dongle, and the conversation over it.

The thread that holds the `PriorityLock` of the session calls `Link.send`, `Link.receive` and what
is built on them; the transport's reader thread calls `Link.on_data`; the rest may be called from
any thread.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from kei.core.clock import Clock
from kei.core.errors import KeiError, PortLost, Stopping
from kei.wisun.inbox import INBOX_MAX, Inbox
from kei.wisun.interfaces import (
    Event,
    EventNumber,
    Fail,
    Inbound,
    Message,
    Noise,
    Reason,
    Tap,
    Transport,
)
from kei.wisun.skstack import Parser as SkParser

OnRaw = Callable[[bytes, Message], None]
"""Called with the bytes of each message, and the message."""

MISUNDERSTANDINGS = (Reason.NOT_UNDERSTOOD, Reason.OUT_OF_RANGE)
STOOD_STILL_S = 1.0  # a wait that lasts longer than it should by so much
AFTER_STANDING_S = 2.0  # until then all threads have gone on, and the dongle has if it stood, too


class CommandRefused(KeiError):
    """The dongle refused a command, whose name is given, for this reason."""

    def __init__(self, name: str, fail: Fail) -> None:
        super().__init__(f"the dongle refused {name}" + (f" ({fail.code})" if fail.code else ""))
        self.reason = fail.reason


class NoReply(KeiError):
    """The dongle did not answer a command in time; `heard` is what came instead."""

    def __init__(self, text: str, heard: Iterable[Inbound] = ()) -> None:
        super().__init__(text)
        self.heard = tuple(heard)


class Parser(Protocol):
    """Turns the bytes of a dongle into messages, whatever the size of the chunks."""

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete, in order."""

    @property
    def is_waiting(self) -> bool:
        """Whether a message has begun and is not complete, so that others may be hidden in it."""

    def give_up(self) -> list[Message]:
        """Take an incomplete message as noise, and return the messages behind it."""


class Link:
    """The conversation over one open port at a time, in SKSTACK-IP until `speak`.

    Args:
        clock: for deadlines.
        on_message: called with every message first, in the reader thread; returns what the
            conversation in progress gets to see of it, if anything.
        tap: observes all bytes; None for no observer.

    Attributes:
        noise_lines: lines so far that mean nothing.
    """

    def __init__(
        self,
        clock: Clock,
        on_message: Callable[[Message], Inbound | None],
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._on_message = on_message
        self._tap = tap
        self._on_raw = None if tap is None else tap.received
        self._new_parser: Callable[[OnRaw | None], Parser] = SkParser
        self._parser: Parser = self._new_parser(self._on_raw)
        self._transport: Transport | None = None
        self._inbox = Inbox(clock)
        self._halted: KeiError | None = None
        self._stopping = False
        self._patient_until = 0.0  # monotonic; after the machine has stood still
        self.noise_lines = 0

    def attach(self, transport: Transport) -> None:
        """Use this port from now on."""
        self._transport = transport

    def detach(self) -> None:
        """Close the port, if one is open, and drop half-read lines."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._parser = self._new_parser(self._on_raw)

    def speak(self, new_parser: Callable[[OnRaw | None], Parser]) -> None:
        """Take what comes from now on in this grammar."""
        self._new_parser = new_parser
        self._parser = new_parser(self._on_raw)

    @property
    def is_open(self) -> bool:
        """Whether there is a port."""
        return self._transport is not None

    def explain(self, error: KeiError) -> str:
        """Return the text of an error with what the owner may have to do about it."""
        if isinstance(error, NoReply) and self._transport is not None:
            if others := self._transport.holders():
                return f"{error}; the port is also used by {', '.join(others)}"
        elif isinstance(error, CommandRefused) and error.reason in MISUNDERSTANDINGS:
            return f'{error}; is broute.dongle right? "auto" finds out by itself'
        return str(error)

    def on_data(self, data: bytes) -> None:
        """Take bytes from the port, or none when it has been quiet for a while (reader thread)."""
        parser = self._parser  # another thread may replace it
        found = parser.feed(data)
        while not data and parser.is_waiting:
            found += parser.give_up()
        for message in found:
            if isinstance(message, Noise):
                self.noise_lines += 1
            elif (inbound := self._on_message(message)) is not None:
                self._inbox.put(inbound)

    def halt(self, error: KeiError) -> None:
        """Make the conversation in progress, and later ones until `resume`, end with this error."""
        self._halted = error
        self._inbox.wake()

    def resume(self) -> None:
        """Allow conversations again after `halt`; a stop stays."""
        self._halted = None

    def stop(self) -> None:
        """Make every conversation end with `Stopping`, until `allow_leaving`."""
        self._stopping = True
        self._inbox.wake()

    def allow_leaving(self) -> None:
        """Allow conversations after `stop`, to end the PANA session, if there is a port."""
        self._stopping = False
        if not isinstance(self._halted, PortLost):
            self._halted = None

    def begin(self) -> None:
        """Begin a conversation: drop what is left of the one before."""
        self._inbox.clear()

    def send(self, data: bytes) -> None:
        """Begin a conversation with these bytes; raises what `write` does."""
        self.begin()
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send within the conversation that has begun.

        Raises:
            PortLost: the port is gone.
            KeiError: what `halt` was called with, or `Stopping`.
        """
        self._check()
        if self._transport is None:
            raise PortLost("the port is not open")
        if self._tap is not None:
            self._tap.sent(data)
        self._transport.write(data)

    def receive(self, deadline: float) -> Inbound | None:
        """Return the next message, or None at the deadline (monotonic).

        A machine that stands still for seconds stops the reader's thread, too: what has come by
        the deadline is waited for, once, as all might stand still again and again.

        Raises:
            KeiError: what `halt` was called with, or `Stopping`.
        """
        was_patient = False
        while True:
            began = self._clock.monotonic()
            deadline = max(deadline, self._patient_until)
            inbound = self._inbox.get(self._clock.wait_s(deadline - began))
            self._check()
            now = self._clock.monotonic()
            if inbound is not None:
                return inbound
            if now >= deadline:
                if was_patient or now < max(began, deadline) + STOOD_STILL_S:
                    return None
                was_patient = True
                self._patient_until = now + AFTER_STANDING_S

    def _check(self) -> None:
        if self._stopping:
            raise Stopping("kei is being stopped")
        if self._halted is not None:
            raise self._halted

    def receive_for(self, timeout_s: float) -> Iterator[Inbound]:
        """Yield the messages that come within a time from now; raises what `receive` does."""
        deadline = self._clock.monotonic() + timeout_s
        while (inbound := self.receive(deadline)) is not None:
            yield inbound

    def drain(self, quiet_s: float, limit_s: float) -> None:
        """Drop messages until none has come for a while or the limit is over."""
        limit = self._clock.monotonic() + limit_s
        while self._clock.monotonic() < limit:
            if self.receive(self._clock.monotonic() + quiet_s) is None:
                return

    def converse(
        self, data: bytes, name: str, timeout_s: float, verdict: Callable[[Inbound], bool | Fail]
    ) -> list[Inbound]:
        """Send a command and return what came until its reply was complete, its end included.

        Args:
            data: the bytes to send.
            name: of the command, for error texts; never its arguments, they may be secret.
            timeout_s: how long the reply may take.
            verdict: whether a message is the end of the reply, or the refusal that it is.

        Raises:
            CommandRefused: the dongle does not do it.
            NoReply: nothing of that within the time, or the dongle has restarted.
            PortLost: the port is gone.
        """
        self.send(data)
        heard: deque[Inbound] = deque(maxlen=INBOX_MAX)
        for message in self.receive_for(timeout_s):
            heard.append(message)
            if isinstance(message, Event) and message.number == EventNumber.RESTARTED:
                raise NoReply("the dongle has restarted", heard)
            match verdict(message):
                case Fail() as fail:
                    raise CommandRefused(name, fail)
                case True:
                    return list(heard)
        raise NoReply(f"the dongle did not answer {name} within {timeout_s:g} s", heard)
