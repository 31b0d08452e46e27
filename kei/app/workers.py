"""The threads of an engine: each has a name and a target, and is started again when it dies."""

import threading
from collections import deque
from typing import Protocol

import structlog

from kei.core.clock import Clock
from kei.core.heartbeat import Heartbeat

log = structlog.stdlib.get_logger("kei.threads")

DEATHS, DEATHS_WITHIN_S = 3, 600.0  # then starting it again is no help


class WorkerTarget(Protocol):
    """What runs in a thread of its own."""

    def run(self) -> None:
        """Run until stopped."""

    def stop(self) -> None:
        """Make `run` return soon; any thread."""


class Workers:
    """Runs targets, each in a thread. Used by one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._targets: dict[str, WorkerTarget] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._heartbeats: dict[str, Heartbeat] = {}
        self._deaths: dict[str, deque[float]] = {}

    def start(self, name: str, target: WorkerTarget, heartbeat: Heartbeat | None = None) -> None:
        """Run a target in a thread of this name, which no other has.

        Args:
            name: of the thread.
            target: what it runs.
            heartbeat: of the target, to tell when it hangs; None for one that may wait for ever.
        """
        assert name not in self._targets, f"a second thread {name}"
        self._targets[name] = target
        if heartbeat is not None:
            self._heartbeats[name] = heartbeat
        self._run(name)

    def stop(self, *names: str, limit_s: float) -> None:
        """End threads, all at once; those that do not exist are passed over.

        Args:
            names: of the threads.
            limit_s: how long to wait for the end of all of them; after that they are left alone.
        """
        there = [name for name in names if name in self._targets]
        for name in there:
            self._heartbeats.pop(name, None)
            self._deaths.pop(name, None)
            self._targets.pop(name).stop()
        end = self._clock.monotonic() + limit_s
        for name in there:
            self._threads.pop(name).join(max(0.0, end - self._clock.monotonic()))

    def restart_dead(self) -> None:
        """Start threads that have died again.

        Each target is made to survive any error, so that its death is our bug.
        """
        for name, thread in list(self._threads.items()):
            if not thread.is_alive():
                log.critical("thread_died", thread=name)
                self._deaths.setdefault(name, deque(maxlen=DEATHS)).append(self._clock.monotonic())
                self._run(name)

    def stuck(self) -> list[str]:
        """Return the names of the threads that only a new process can help.

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
        return tuple(self._targets)

    def _run(self, name: str) -> None:
        thread = threading.Thread(target=self._targets[name].run, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()
