"""The threads of an engine: each has a name, a body, and somebody who notices when it dies."""

import threading
from typing import Protocol

import structlog

from kei.clock import Clock

log = structlog.stdlib.get_logger("kei.threads")


class Body(Protocol):
    """What a thread of its own runs."""

    def run(self) -> None:
        """Go on until stopped."""

    def stop(self) -> None:
        """Make `run` return soon; any thread."""


class Threads:
    """Runs bodies. Used by one thread.

    Args:
        clock: for time limits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bodies: dict[str, Body] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, body: Body) -> None:
        """Run a body in a thread of this name, which no other has."""
        assert name not in self._bodies, f"a second thread {name}"
        self._bodies[name] = body
        self._run(name)

    def stop(self, *names: str, limit_s: float) -> None:
        """End threads, all at once; those that do not exist are passed over.

        Args:
            names: of the threads.
            limit_s: how long to wait for the end of all of them; their bodies do not matter then.
        """
        there = [name for name in names if name in self._bodies]
        for name in there:
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
                self._run(name)

    def names(self) -> tuple[str, ...]:
        """Return the names of the threads that have been started and not ended."""
        return tuple(self._bodies)

    def _run(self, name: str) -> None:
        thread = threading.Thread(target=self._bodies[name].run, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()
