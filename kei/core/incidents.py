"""Incidents: a fault is logged once, counted while it lasts, and summed up when it ends."""

import logging
import threading
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock

_NOT_REPEATED = frozenset({"hint", "reason", "trace"})  # fields that the line of the end leaves out


@dataclass(slots=True)
class _Incident:
    since: float
    count: int
    fields: dict[str, object]
    last: float
    why: str


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that lasts.

    Attributes:
        fault: its name.
        why: the hint or reason that it was raised with last; may be empty, and hold secrets.
        since_s: seconds since it began.
        last_s: seconds since it happened last.
    """

    fault: str
    why: str
    since_s: float
    last_s: float

    def __str__(self) -> str:
        """Return name and cause in one line, which may hold secrets."""
        return f"{self.fault}: {self.why}" if self.why else self.fault


class Incidents:
    """The faults of one part of kei that last at present. Thread-safe.

    Args:
        log: where they are logged.
        clock: measures how long they last.
    """

    def __init__(self, log: BoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._present: dict[tuple[str, object], _Incident] = {}

    def raised(
        self, fault: str, *, key: object = None, level: int = logging.WARNING, **fields: object
    ) -> None:
        """Log a fault when it begins; while it lasts, only count it.

        Args:
            fault: its name, which is the log event (`meter_not_found`).
            key: tells faults of the same name apart (a port, a target).
            level: of the log line.
            fields: further fields of the log line.
        """
        now, why = self._clock.monotonic(), str(fields.get("hint") or fields.get("reason") or "")
        with self._lock:
            incident = self._present.pop((fault, key), None)
            if incident is not None:
                incident.count += 1
                incident.last, incident.why = now, why
                self._present[fault, key] = incident  # behind the others: it is the latest
                return
            self._present[fault, key] = _Incident(now, 1, fields, now, why)
        self._log.log(level, fault, **fields)

    def ended(self, fault: str, *, key: object = None) -> None:
        """Log the end of a fault with its count and duration; do nothing if there is none."""
        with self._lock:
            incident = self._present.pop((fault, key), None)
        if incident is None:
            return
        self._log.info(
            "fault_ended",
            fault=fault,
            count=incident.count,
            duration_s=round(self._clock.monotonic() - incident.since, 1),
            **{name: each for name, each in incident.fields.items() if name not in _NOT_REPEATED},
        )

    def latest(self) -> Lasting | None:
        """Return the fault that happened last of those that last; None if all is well."""
        now = self._clock.monotonic()
        with self._lock:
            for (fault, _), incident in reversed(self._present.items()):
                return Lasting(fault, incident.why, now - incident.since, now - incident.last)
        return None

    def all_ended(self) -> None:
        """Log the end of every fault that lasts."""
        with self._lock:
            present = list(self._present)
        for fault, key in present:
            self.ended(fault, key=key)
