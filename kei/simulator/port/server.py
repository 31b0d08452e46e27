"""Serves a simulated device to one client after another on a pseudo terminal."""

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
from kei.simulator.port.terminal import PrivateFolder, Terminal, lock_link
from kei.simulator.port.transcript import Direction, Transcript

log = structlog.stdlib.get_logger("kei.simulator")

_LONGEST_WAIT_S = 60.0
_LOOK_FOR_CLIENT_S = 0.02  # Linux has no event for a client that opens a pseudo terminal
_MAX_UNSENT_BYTES = 65_536  # a client that does not read loses the rest, as on a real UART


class Device(Protocol):
    """The device on the port; times are monotonic seconds.

    Attributes:
        unplugged: set when the port is to be closed for a while.
    """

    unplugged: bool

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the host, in any portions."""

    def next_due(self) -> float | None:
        """Return when `poll` has something to do next."""

    def poll(self, now: float) -> bytes:
        """Do what is due and return what is written to the host since the last call."""

    def power_on(self) -> None:
        """Restart: the port is open again."""


class Simulator:
    """A simulated device on a pseudo terminal.

    Args:
        options: of the simulation; of other devices than dongles, those of the port count.
        clock: wall and monotonic time.
        link: symbolic link to be made; None makes one in a folder of its own.
        on_ready: called in the serving thread as soon as clients can open the port.
        device: None builds the dongle that the options describe.
        console: commands to the device.

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
        self._reconnect_at: float | None = None
        self._lock = threading.RLock()  # re-entrant: a signal handler may stop what is starting
        self._serving = False
        self._stopping = threading.Event()
        with contextlib.ExitStack() as opened:
            self._transcript: Transcript | None = None
            if options.transcript is not None:
                self._transcript = Transcript(options.transcript, self._clock)
                opened.callback(self._transcript.close)
            if link is None:
                folder = PrivateFolder()
                opened.callback(folder.close)
                link = folder.path / "dongle"
            else:
                opened.enter_context(lock_link(link))
            self._link = link
            self.port = str(link)
            self._terminal: Terminal | None = Terminal(link)
            opened.callback(self._disconnect)
            self._waker, self._wake_end = socket.socketpair()
            opened.enter_context(self._waker)
            opened.enter_context(self._wake_end)
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._selector.register(self._wake_end, selectors.EVENT_READ)
            if console is not None and console.can_be_waited_on:
                self._selector.register(console, selectors.EVENT_READ)
            self._opened = opened.pop_all()

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
            if self._terminal is None and self._reconnect_at is None:
                self._terminal = Terminal(self._link)
            if self._on_ready is not None:
                self._on_ready()
            if self._console is not None and self._console.is_file:
                while self._console.serve(self._clock.monotonic()):
                    pass  # a file is read as a whole
                self._console = None
            while not self._stopping.is_set():
                self._serve_once()
        finally:
            with self._lock:
                # In this order: a signal handler that comes in between must not close it, too.
                self._disconnect()
                self._serving = False
                if self._stopping.is_set():
                    self._opened.close()

    def stop(self) -> None:
        """Have `run` return; may be called by any thread or signal handler, and more than once."""
        with self._lock:
            self._stopping.set()
            if self._serving:
                self._waker.send(b"\0")
            else:
                self._opened.close()

    def _serve_once(self) -> None:
        now = self._clock.monotonic()
        if self._reconnect_at is not None and now >= self._reconnect_at:
            self._reconnect()
        self._send(self._device.poll(now))
        if self._device.unplugged and self._reconnect_at is None:
            log.info("unplugged", port=self.port)
            self._disconnect()
            self._reconnect_at = now + self._timing.unplugged_s
        self._look_for_client()
        for key, events in self._selector.select(self._wait_s(now)):
            if key.fileobj is self._wake_end:
                self._wake_end.recv(64)
            elif key.fileobj is self._console:
                self._serve_console(self._console)
            else:
                self._serve_client(events)

    def _wait_s(self, now: float) -> float:
        """Return how long to wait for the next event, in seconds of the machine."""
        due = self._device.next_due()
        wait = _LONGEST_WAIT_S if due is None else self._clock.wait_s(due - now)
        return wait if self._client else min(wait, _LOOK_FOR_CLIENT_S)

    def _look_for_client(self) -> None:
        if self._terminal is not None and not self._client and self._terminal.client_present():
            log.debug("client_came", port=self.port)
            self._client = True
            self._wait_for_events(selectors.EVENT_READ)

    def _serve_client(self, events: int) -> None:
        assert self._terminal is not None, "it has been waited for"
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
        self._wait_for_events(0)
        self._terminal.discard()

    def _send(self, data: bytes) -> None:
        """Write to the client; without one that reads, it is lost."""
        if not data or not self._client:
            return
        self._note(Direction.DONGLE, data)
        self._unsent += data[: _MAX_UNSENT_BYTES - len(self._unsent)]
        self._flush()

    def _flush(self) -> None:
        assert self._terminal is not None, "there is a client"
        del self._unsent[: self._terminal.write(bytes(self._unsent))]
        self._wait_for_events(selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0))

    def _wait_for_events(self, interest: int) -> None:
        """Have the selector wait for events of the terminal; 0 is none."""
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

    def _disconnect(self) -> None:
        """Close the port, also for a client that has it open."""
        if self._terminal is None:
            return
        self._wait_for_events(0)
        self._client = False
        self._unsent.clear()
        terminal, self._terminal = self._terminal, None
        terminal.close()

    def _reconnect(self) -> None:
        self._terminal = Terminal(self._link)
        self._reconnect_at = None
        self._device.power_on()
        log.info("plugged_in", port=self.port)

    def _note(self, direction: Direction, data: bytes) -> None:
        if self._transcript is not None:
            self._transcript.note(direction, data)
