"""A look at the disk that is not waited for longer than a while, however long the disk takes."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.incidents import Incidents

log = structlog.stdlib.get_logger("kei.web")

WAIT_S = 2.0

Found = TypeVar("Found")


class _Look(Generic[Found]):
    """One look.

    Attributes:
        begun: when, by the monotonic clock.
        ended: whether it is over.
        found: what it found; None if nothing could be read.
    """

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.ended = threading.Event()
        self.found: Found | None = None


class DiskLook(Generic[Found]):
    """Looks in a thread of its own; all who ask meanwhile get the same. Thread-safe.

    A read that a disk does not answer cannot be ended: so there is one at a time, and whoever asks
    while it has taken too long already does not wait at all.

    Args:
        look: reads the disk; may raise KeiError.
        clock: for the time.
    """

    def __init__(self, look: Callable[[], Found], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._incidents = Incidents(log, clock)
        self._lock = threading.Lock()
        self._under_way: _Look[Found] | None = None

    def found(self) -> Found | None:
        """Return what the disk says; None if it does not, or not within `WAIT_S`."""
        with self._lock:
            look = self._under_way
            if look is None or look.ended.is_set():
                look = _Look(self._clock.monotonic())
                threading.Thread(
                    target=self._run, args=[look], name="web-look", daemon=True
                ).start()
                self._under_way = look  # now that it can end: there may be no memory for a thread
        left_s = look.begun + WAIT_S - self._clock.monotonic()
        if look.ended.wait(max(0.0, left_s)):
            return look.found
        self._incidents.raised("metrics_disk_not_read", reason="the disk does not answer")
        return None

    def _run(self, look: _Look[Found]) -> None:
        try:
            look.found = self._look()
            self._incidents.ended("metrics_disk_not_read")
        except KeiError as error:
            self._incidents.raised("metrics_disk_not_read", reason=str(error))
        except Exception:
            log.exception("metrics_failed")
        finally:
            look.ended.set()
