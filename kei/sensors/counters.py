"""Counters and status of a port with sensors; rejected lines are logged at a limited rate."""

import math
import threading
from collections import Counter
from dataclasses import dataclass

import structlog

from kei.core.clock import Clock
from kei.sensors.line_parser import Reason

log = structlog.stdlib.get_logger("kei.sensors")

LOG_EVERY_S = 600.0  # for each reason: a radio receives noise for years

_NOT_LOGGED = frozenset({Reason.REPEAT})  # normal in a radio network
_LOGGED_ONCE = frozenset({Reason.TOO_MANY_SERIES})
_HINTS = {
    Reason.ENCODING: "noise, or another baudrate, parity or encoding than the board's",
    Reason.CHARACTERS: "noise, or another baudrate or parity than the board's",
    Reason.FIELDS: "a line is UnitID,SensorID,Value or UnitID,SensorID,Value,DataID",
    Reason.ID: "an ID has ASCII letters, digits, - and _ only",
    Reason.VALUE: "a value is a plain number like 23.5",
    Reason.TOO_LONG: "is line_end what the board sends?",
    Reason.OUT_OF_RANGE: "see min and max of its checks",
    Reason.JUMP: "see variation of its checks; the third in a row is believed",
    Reason.TOO_MANY_SERIES: "the port has 1000 series, no other is recorded until kei starts anew: "
    "is a part of the SensorID a running number?",
}


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """The state of a port with sensors.

    Attributes:
        port: as in jobs.toml.
        fault: why it is not open; None if it is.
        since_s: for how many seconds that has been so.
        accepted: lines recorded since the start.
        rejected: lines left out since the start, by `kei.sensors.line_parser.Reason`.
        heard_s: seconds since bytes last arrived; None if none have since the start.
        silent: series, `UnitID,SensorID`, that have been silent for too long.
    """

    port: str
    fault: str | None
    since_s: float
    accepted: int
    rejected: dict[str, int]
    heard_s: float | None
    silent: tuple[str, ...]


@dataclass(slots=True)
class _Unlogged:
    count: int
    logged_at: float | None


class LineCounters:
    """Counts the lines of one port, and logs rejected ones at a limited rate. Thread-safe."""

    def __init__(self, port: str, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._lock = threading.Lock()
        self._accepted = 0
        self._rejected: Counter[str] = Counter()
        self._unlogged: dict[Reason, _Unlogged] = {}

    def count_accepted(self, count: int) -> None:
        """Count lines that were recorded."""
        with self._lock:
            self._accepted += count

    def count_rejected(self, reason: Reason, text: str) -> None:
        """Count a line that was not recorded; log it unless one of that reason was lately.

        Args:
            reason: why.
            text: the line, with everything unprintable escaped.
        """
        with self._lock:
            self._rejected[reason.value] += 1
            if reason in _NOT_LOGGED:
                return
            unlogged = self._unlogged.setdefault(reason, _Unlogged(0, None))
            unlogged.count += 1
            now = self._clock.monotonic()
            pause_s = math.inf if reason in _LOGGED_ONCE else LOG_EVERY_S
            if unlogged.logged_at is not None and now - unlogged.logged_at < pause_s:
                return
            count, unlogged.count, unlogged.logged_at = unlogged.count, 0, now
        log.warning(
            "line_rejected",
            port=self._port,
            reason=reason.value,
            text=text,
            count=count,
            hint=_HINTS[reason],
        )

    def counts(self) -> tuple[int, dict[str, int]]:
        """Return how many lines were recorded, and how many were not, by reason."""
        with self._lock:
            return self._accepted, dict(self._rejected)
