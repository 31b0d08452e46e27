"""The simulator as a running thing: serves one client after another on a pseudo terminal."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from kei.core.clock import Clock, SystemClock
from kei.simulator.build import build
from kei.simulator.control import Console
from kei.simulator.options import SimulatorOptions
from kei.simulator.port.link_path import PrivateFolder, claim_link
from kei.simulator.port.terminal import Terminal
from kei.simulator.port.transcript import Direction, Transcript

log = structlog.stdlib.get_logger("kei.simulator")

_LONGEST_WAIT_S = 60.0
_LOOK_FOR_CLIENT_S = 0.02  # Linux does not wake anybody when a client opens a pseudo terminal
_MAX_UNSENT_BYTES = 65_536  # a client that does not read loses the rest, as with a real UART


class Device(Protocol):
    """What speaks on the port; times are monotonic seconds.

    Attributes:
        unplugged: set when the port is to be taken away.
    """

    unplugged: bool

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the host, in any portions."""

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next."""

    def poll(self, now: float) -> bytes:
        """Do what is due and return what is written to the host since the last call."""

    def power_on(self) -> None:
        """Start anew: the port is there again."""


class Simulator:
    """A virtual dongle on a pseudo terminal.

    Args:
        options: what to simulate, and the transcript.
        clock: wall and monotonic time.
        link: symbolic link to be made; None makes one in a folder of its own.
        on_ready: called in the serving thread as soon as clients can open the port.
        device: what speaks on the port; None builds the dongle that the options describe.
        console: where lines for the device come from, if anywhere.

    Attributes:
        port: what clients open; valid from the start, before `run`, and while unplugged.

    Raises:
        ConfigError: the link or the transcript cannot be made.
        OSError: the machine has no pseudo terminal left.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        clock: Clock | None = None,
        link: Path | None = None,
        on_ready: Callable[[], None] | None = None,
        device: Device | None = None,
        console: Console | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._on_ready = on_ready
        self._timing = options.timing()
        self._device = device or build(options, self._clock)
        self._console = console
        self._unsent = bytearray()
        self._client = False
        self._interest = 0
        self._back_at: float | None = None
        self._lock = threading.RLock()  # re-entrant: a signal handler may stop what is starting
        self._serving = False
        self._stopping = threading.Event()
        with contextlib.ExitStack() as opened:
            self._transcript = self._open_transcript(options.transcript, opened)
            if link is None:
                folder = PrivateFolder()
                opened.callback(folder.close)
                link = folder.path / "dongle"
            else:
                opened.enter_context(claim_link(link))
            self._link = link
            self.port = str(link)
            self._terminal: Terminal | None = Terminal(link)
            opened.callback(self._hang_up)
            self._waker, self._woken = socket.socketpair()
            opened.enter_context(self._waker)
            opened.enter_context(self._woken)
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._selector.register(self._woken, selectors.EVENT_READ)
            if console is not None and console.can_be_waited_on:
                self._selector.register(console, selectors.EVENT_READ)
            self._opened = opened.pop_all()

    def _open_transcript(
        self, path: Path | None, opened: contextlib.ExitStack
    ) -> Transcript | None:
        if path is None:
            return None
        transcript = Transcript(path, self._clock)
        opened.callback(transcript.close)
        return transcript

    def run(self) -> None:
        """Serve until `stop`; then close the port and remove the link.

        After an error it may be called again: the port comes back under its old name.

        Raises:
            ConfigError: the link cannot be made any more.
            OSError: the terminal or the transcript failed.
        """
        with self._lock:
            if self._stopping.is_set():
                return
            self._serving = True
        try:
            if self._terminal is None and self._back_at is None:
                self._terminal = Terminal(self._link)
            if self._on_ready is not None:
                self._on_ready()
            if self._console is not None and self._console.is_file:
                while self._console.serve(self._clock.monotonic()):
                    pass  # a file is there as a whole
                self._console = None
            while not self._stopping.is_set():
                self._turn()
        finally:
            with self._lock:
                # In this order: a signal handler that comes in between must not close it, too.
                self._hang_up()
                self._serving = False
                if self._stopping.is_set():
                    self._opened.close()

    def stop(self) -> None:
        """Have `run` return; may be called from any thread, from a signal handler, and twice."""
        with self._lock:
            self._stopping.set()
            if self._serving:
                self._waker.send(b"\0")
            else:
                self._opened.close()

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if self._back_at is not None and now >= self._back_at:
            self._plug_in()
        self._say(self._device.poll(now))
        if self._device.unplugged and self._back_at is None:
            log.info("unplugged", port=self.port)
            self._hang_up()
            self._back_at = now + self._timing.unplugged_s
        self._look_for_client()
        for key, events in self._selector.select(self._patience(now)):
            if key.fileobj is self._woken:
                self._woken.recv(64)
            elif key.fileobj is self._console:
                self._serve_console(self._console)
            else:
                self._serve(events)

    def _patience(self, now: float) -> float:
        """Return how long nothing needs doing, in the machine's own seconds."""
        due = self._device.next_due()
        wait = _LONGEST_WAIT_S if due is None else self._clock.wait_s(due - now)
        return wait if self._client else min(wait, _LOOK_FOR_CLIENT_S)

    def _look_for_client(self) -> None:
        if self._terminal is not None and not self._client and self._terminal.client_present():
            log.debug("client_came", port=self.port)
            self._client = True
            self._listen_for(selectors.EVENT_READ)

    def _serve(self, events: int) -> None:
        assert self._terminal is not None, "nothing else is being listened to"
        if events & selectors.EVENT_READ:
            data = self._terminal.read()
            if data is None:
                self._client_left()
                return
            if data:
                self._note(Direction.HOST, data)
                self._device.receive(data, self._clock.monotonic())
        if events & selectors.EVENT_WRITE:
            self._flush()

    def _serve_console(self, console: Console) -> None:
        if not console.serve(self._clock.monotonic()):
            self._selector.unregister(console)
            self._console = None

    def _client_left(self) -> None:
        assert self._terminal is not None, "it has just been read"
        log.debug("client_left", port=self.port)
        self._client = False
        self._unsent.clear()
        self._listen_for(0)
        self._terminal.discard()

    def _say(self, data: bytes) -> None:
        """Write to the client; what nobody is there to read, or does not read, is lost."""
        if not data or not self._client:
            return
        self._note(Direction.DONGLE, data)
        self._unsent += data[: _MAX_UNSENT_BYTES - len(self._unsent)]
        self._flush()

    def _flush(self) -> None:
        assert self._terminal is not None, "there is a client"
        del self._unsent[: self._terminal.write(bytes(self._unsent))]
        self._listen_for(selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0))

    def _listen_for(self, interest: int) -> None:
        """Tell the selector what the terminal is waited for; 0 is nothing at all."""
        terminal, before = self._terminal, self._interest
        if terminal is None or interest == before:
            return
        self._interest = interest
        if not interest:
            self._selector.unregister(terminal)
        elif before:
            self._selector.modify(terminal, interest)
        else:
            self._selector.register(terminal, interest)

    def _hang_up(self) -> None:
        """Take the port away, whoever has it open."""
        if self._terminal is None:
            return
        self._listen_for(0)
        self._client = False
        self._unsent.clear()
        terminal, self._terminal = self._terminal, None
        terminal.close()

    def _plug_in(self) -> None:
        self._terminal = Terminal(self._link)
        self._back_at = None
        self._device.power_on()
        log.info("plugged_in", port=self.port)

    def _note(self, direction: Direction, data: bytes) -> None:
        if self._transcript is not None:
            self._transcript.note(direction, data)
