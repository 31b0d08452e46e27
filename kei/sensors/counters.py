"""What came in on a port and what was left out: counted always, told now and then."""

import threading
from collections import Counter
from dataclasses import dataclass

import structlog

from kei.core.clock import Clock
from kei.sensors.line_parser import Reason

log = structlog.stdlib.get_logger("kei.sensors")

TELL_EVERY_S = 600.0  # of a reason: a radio brings noise for years

_NOT_TOLD = frozenset({Reason.REPEAT})  # a network does that
_HINTS = {
    Reason.ENCODING: "noise, or another baudrate, parity or encoding than the board's",
    Reason.CHARACTERS: "noise, or another baudrate or parity than the board's",
    Reason.FIELDS: "a line is UnitID,SensorID,Value or UnitID,SensorID,Value,DataID",
    Reason.ID: "an ID has ASCII letters, digits, - and _ only",
    Reason.VALUE: "a value is a plain number like 23.5",
    Reason.TOO_LONG: "is line_end what the board sends?",
    Reason.OUT_OF_RANGE: "see min and max of its checks",
    Reason.JUMP: "see variation of its checks; the third in a row is believed",
}


@dataclass(slots=True)
class _Untold:
    count: int
    told_at: float | None


class Tally:
    """Counts the lines of one port, and tells of rejected ones at a limited rate. Thread-safe.

    Args:
        port: its name, for the log.
        clock: for the rate.
    """

    def __init__(self, port: str, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._lock = threading.Lock()
        self._accepted = 0
        self._rejected: Counter[str] = Counter()
        self._untold: dict[Reason, _Untold] = {}

    def accepted(self, count: int) -> None:
        """Count lines that were recorded."""
        with self._lock:
            self._accepted += count

    def rejected(self, reason: Reason, text: str) -> None:
        """Count a line that was not, and tell of it unless one of that kind was told lately.

        Args:
            reason: why.
            text: the line, fit for a log.
        """
        with self._lock:
            self._rejected[reason.value] += 1
            if reason in _NOT_TOLD:
                return
            untold = self._untold.setdefault(reason, _Untold(0, None))
            untold.count += 1
            now = self._clock.monotonic()
            if untold.told_at is not None and now - untold.told_at < TELL_EVERY_S:
                return
            count, untold.count, untold.told_at = untold.count, 0, now
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
