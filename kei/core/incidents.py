"""Incidents that repeat: said once, counted while they last, and summed up when they end."""

import logging
import threading
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from kei.core.clock import Clock


@dataclass(slots=True)
class _Fault:
    since: float
    count: int
    fields: dict[str, object]


class Incidents:
    """The faults of one part of kei that are going on at present. Thread-safe.

    Args:
        log: where they are told.
        clock: for how long they lasted.
    """

    def __init__(self, log: BoundLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._present: dict[tuple[str, object], _Fault] = {}

    def raised(
        self, fault: str, *, key: object = None, level: int = logging.WARNING, **fields: object
    ) -> None:
        """Tell of a fault the first time, only count it after that.

        Args:
            fault: its name, which is the log event (`meter_not_found`).
            key: what tells it from others of that name (a port, a target).
            level: of the log line.
            fields: what a person needs to mend it.
        """
        with self._lock:
            known = self._present.get((fault, key))
            if known is not None:
                known.count += 1
                return
            self._present[fault, key] = _Fault(self._clock.monotonic(), 1, fields)
        self._log.log(level, fault, **fields)

    def ended(self, fault: str, *, key: object = None) -> None:
        """Tell that a fault is over, with its count and duration; nothing if it was not there."""
        with self._lock:
            known = self._present.pop((fault, key), None)
        if known is None:
            return
        self._log.info(
            "fault_ended",
            fault=fault,
            count=known.count,
            duration_s=round(self._clock.monotonic() - known.since, 1),
            **{name: value for name, value in known.fields.items() if name not in _NOT_REPEATED},
        )

    def all_ended(self) -> None:
        """Tell that every fault is over."""
        with self._lock:
            present = list(self._present)
        for fault, key in present:
            self.ended(fault, key=key)


_NOT_REPEATED = frozenset({"hint", "reason"})
