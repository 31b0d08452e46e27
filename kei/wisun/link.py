"""One conversation at a time with the dongle: commands, their replies, and waiting for lines.

Workers: the transport's reader calls `on_data` and `on_lost`; everybody else talks through
`command` and `next` while holding the session's lock.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from kei.core.clock import Clock
from kei.core.errors import KeiError, PortLost, Stopping
from kei.echonet.frame import Frame
from kei.wisun.skstack import Fail, Message, Noise, Ok, Parser
from kei.wisun.transport import Transport

_NOT_UNDERSTOOD = (4, 5, 6)  # FAIL codes: unknown command, number of arguments, their form
STALE_S = 2.0  # a line of 2.6 kB takes a quarter of a second at 115200 baud
REPLY_TIMEOUT_S = 5.0  # a plain command takes 5-15 ms, "may take seconds" (command reference)


class CommandRefused(KeiError):
    """The dongle answered `FAIL ERxx`; `code` is the number."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"the dongle refused {what} (ER{code:02d})")
        self.code = code

    @property
    def is_misunderstanding(self) -> bool:
        """Whether the dongle does not know such a command, so that it is of another kind."""
        return self.code in _NOT_UNDERSTOOD


class NoReply(KeiError):
    """The dongle did not answer a command in time."""


@dataclass(frozen=True, slots=True)
class Received:
    """An ECHONET Lite answer that the conversation waits for.

    Attributes:
        frame: the message.
        at_ms: when it came, milliseconds since 1970 in UTC.
    """

    frame: Frame
    at_ms: int


Heard = Message | Received


class Tap(Protocol):
    """Who is shown everything that is said on the port; must not raise."""

    def said(self, data: bytes) -> None:
        """Take bytes that are sent; may hold the credentials."""

    def heard(self, raw: bytes, message: Message) -> None:
        """Take bytes that were received and what they mean; may hold the credentials."""


class Link:
    """The conversation over one open port at a time.

    Args:
        clock: for deadlines.
        on_message: sees every message first, in the reader thread, and returns what the
            conversation in progress should hear of it, if anything.
        tap: is shown everything that is said; None for nobody.
    """

    def __init__(
        self,
        clock: Clock,
        on_message: Callable[[Message], Heard | None],
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._on_message = on_message
        self._tap = tap
        self._parser = self._new_parser()
        self._transport: Transport | None = None
        self._inbox: SimpleQueue[Heard | None] = SimpleQueue()
        self._halted: KeiError | None = None
        self._stopping = False
        self._data_at = 0.0
        self.noise_lines = 0

    def attach(self, transport: Transport) -> None:
        """Talk over this port from now on."""
        self._transport = transport

    def detach(self) -> None:
        """Close the port, if one is open, and forget half-read lines."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._parser = self._new_parser()

    def _new_parser(self) -> Parser:
        return Parser(self._tap.heard if self._tap is not None else None)

    @property
    def is_open(self) -> bool:
        """Whether there is a port to talk over."""
        return self._transport is not None

    def shared_with(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`."""
        transport = self._transport
        return () if transport is None else transport.shared_with()

    def on_data(self, data: bytes) -> None:
        """Take bytes from the port (reader thread)."""
        last, self._data_at = self._data_at, self._clock.monotonic()
        stale = self._parser.is_waiting and self._data_at - last > STALE_S
        before = self._parser.give_up() if stale else []
        for message in [*before, *self._parser.feed(data)]:
            if isinstance(message, Noise):
                self.noise_lines += 1
            elif (heard := self._on_message(message)) is not None:
                self._inbox.put(heard)

    def halt(self, error: KeiError) -> None:
        """Make the conversation in progress, and later ones until `resume`, end with this error."""
        self._halted = error
        self._inbox.put(None)

    def resume(self) -> None:
        """Allow conversations again after `halt`; a stop stays."""
        self._halted = None

    def stop(self) -> None:
        """Make every conversation end with `Stopping`, until `allow_last_words`."""
        self._stopping = True
        self._inbox.put(None)

    def allow_last_words(self) -> None:
        """Allow conversations after `stop`, to take leave of the meter, if there is a port."""
        self._stopping = False
        if not isinstance(self._halted, PortLost):
            self._halted = None

    def _check(self) -> None:
        if self._stopping:
            raise Stopping("kei is being stopped")
        if self._halted is not None:
            raise self._halted

    def say(self, data: bytes) -> None:
        """Begin a conversation: forget what was left of the one before, and send.

        Raises:
            PortLost: the port is gone.
            KeiError: what `halt` was called with, or `Stopping`.
        """
        while not self._inbox.empty():
            self._inbox.get()
        self._check()
        if self._transport is None:
            raise PortLost("the port is not open")
        if self._tap is not None:
            self._tap.said(data)
        self._transport.write(data)

    def next(self, deadline: float) -> Heard | None:
        """Return what is heard next, or None at the deadline (monotonic).

        Raises:
            KeiError: what `halt` was called with, or `Stopping`.
        """
        while True:
            try:
                left_s = self._clock.wait_s(deadline - self._clock.monotonic())
                heard = self._inbox.get(timeout=left_s)
            except Empty:
                heard = None
            self._check()
            if heard is not None or self._clock.monotonic() >= deadline:
                return heard

    def heard(self, timeout_s: float) -> Iterator[Heard]:
        """Yield what is heard within a time from now."""
        deadline = self._clock.monotonic() + timeout_s
        while (heard := self.next(deadline)) is not None:
            yield heard

    def settle(self, quiet_s: float, limit_s: float) -> None:
        """Throw away what still comes, until nothing has come for a while or the limit is over."""
        limit = self._clock.monotonic() + limit_s
        while self._clock.monotonic() < limit:
            if self.next(self._clock.monotonic() + quiet_s) is None:
                return

    def command(self, data: bytes, what: str, *, timeout_s: float = REPLY_TIMEOUT_S) -> list[Heard]:
        """Send a command and return its reply: the data lines, then the `Ok`.

        Args:
            data: the line to send.
            what: its name for error texts; never its arguments, they may be secret.
            timeout_s: how long the reply may take.

        Raises:
            CommandRefused: `FAIL ERxx`.
            NoReply: nothing final within the time.
            PortLost: the port is gone.
        """
        self.say(data)
        lines: list[Heard] = []
        for message in self.heard(timeout_s):
            lines.append(message)
            match message:
                case Ok():
                    return lines
                case Fail(code):
                    raise CommandRefused(what, code)
        raise NoReply(f"the dongle did not answer {what} within {timeout_s:g} s")
