"""The threads of an engine: each has a name, a body, and somebody who notices when it dies."""

import threading
from collections import deque
from typing import Protocol

import structlog

from kei.core.clock import Clock
from kei.core.heartbeat import Heartbeat

log = structlog.stdlib.get_logger("kei.threads")

DEATHS, DEATHS_WITHIN_S = 3, 600.0  # then starting it again is no help


class Body(Protocol):
    """What a thread of its own runs."""

    def run(self) -> None:
        """Go on until stopped."""

    def stop(self) -> None:
        """Make `run` return soon; any thread."""


class Workers:
    """Runs bodies. Used by one thread.

    Args:
        clock: for time limits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bodies: dict[str, Body] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._heartbeats: dict[str, Heartbeat] = {}
        self._deaths: dict[str, deque[float]] = {}

    def start(self, name: str, body: Body, heartbeat: Heartbeat | None = None) -> None:
        """Run a body in a thread of this name, which no other has.

        Args:
            name: of the thread.
            body: what it runs.
            heartbeat: by which it is seen that the body moves; None for one that may wait for ever.
        """
        assert name not in self._bodies, f"a second thread {name}"
        self._bodies[name] = body
        if heartbeat is not None:
            self._heartbeats[name] = heartbeat
        self._run(name)

    def stop(self, *names: str, limit_s: float) -> None:
        """End threads, all at once; those that do not exist are passed over.

        Args:
            names: of the threads.
            limit_s: how long to wait for the end of all of them; their bodies do not matter then.
        """
        there = [name for name in names if name in self._bodies]
        for name in there:
            self._heartbeats.pop(name, None)
            self._deaths.pop(name, None)
            self._bodies.pop(name).stop()
        end = self._clock.monotonic() + limit_s
        for name in there:
            self._threads.pop(name).join(max(0.0, end - self._clock.monotonic()))

    def look_after(self) -> None:
        """Start a thread that has died again.

        Each body is made to survive, so that its death is our bug.
        """
        for name, thread in list(self._threads.items()):
            if not thread.is_alive():
                log.critical("thread_died", thread=name)
                self._deaths.setdefault(name, deque(maxlen=DEATHS)).append(self._clock.monotonic())
                self._run(name)

    def stuck(self) -> list[str]:
        """Return the names of the threads that are beyond help from within this process.

        Those that hang, and those that die again as soon as they are started.
        """
        since = self._clock.monotonic() - DEATHS_WITHIN_S
        hanging = [name for name, heartbeat in self._heartbeats.items() if heartbeat.has_stopped]
        dying = [
            name
            for name, deaths in self._deaths.items()
            if len(deaths) == DEATHS and deaths[0] >= since
        ]
        return [*hanging, *(name for name in dying if name not in hanging)]

    def names(self) -> tuple[str, ...]:
        """Return the names of the threads that have been started and not ended."""
        return tuple(self._bodies)

    def _run(self, name: str) -> None:
        thread = threading.Thread(target=self._bodies[name].run, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()
