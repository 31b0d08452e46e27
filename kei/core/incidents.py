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
        with self._lock:
            incident = self._present.get((fault, key))
            if incident is not None:
                incident.count += 1
                return
            self._present[fault, key] = _Incident(self._clock.monotonic(), 1, fields)
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

    def all_ended(self) -> None:
        """Log the end of every fault that lasts."""
        with self._lock:
            present = list(self._present)
        for fault, key in present:
            self.ended(fault, key=key)
