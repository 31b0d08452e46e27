"""What is left out although it is well-formed: radio repeats and outliers."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from kei.sensors.line_parser import Line, Reason
from kei.settings.serial import SeriesCheck

REPEATS_WITHIN = 10  # lines of the port
JUMPS_BELIEVED = 3  # in a row: then it is a new level


class Repeats:
    """Knows the last lines of a port.

    A radio network delivers a line more than once, by several ways. Lines without a DataID of
    their own are never repeats: two equal values in a row are nothing special.
    """

    def __init__(self) -> None:
        self._last: deque[bytes] = deque(maxlen=REPEATS_WITHIN)

    def is_repeat(self, line: Line, raw: bytes) -> bool:
        """Tell whether a line came before, and remember it if it did not.

        Args:
            line: what it says.
            raw: as it came, without its end.
        """
        if line.data_id is not None and raw in self._last:
            return True
        self._last.append(raw)
        return False


class Outliers:
    """Judges the values of series that have a check.

    Args:
        checks: at most one for a series.
    """

    def __init__(self, checks: Iterable[SeriesCheck]) -> None:
        self._judges = {(check.unit, check.sensor): _Judge(check) for check in checks}

    def judge(self, line: Line) -> Reason | None:
        """Return why a value is not to be recorded; None if it is."""
        judge = self._judges.get((line.unit, line.sensor))
        return None if judge is None else judge.judge(line.value)


class _Judge:
    """Judges one series; remembers its last accepted value and the jumps away from it."""

    def __init__(self, check: SeriesCheck) -> None:
        self._check = check
        self._accepted: Decimal | None = None
        self._jumps = 0

    def judge(self, value: Decimal) -> Reason | None:
        check = self._check
        if check.minimum is not None and value < check.minimum:
            return Reason.OUT_OF_RANGE
        if check.maximum is not None and value > check.maximum:
            return Reason.OUT_OF_RANGE
        if self._is_jump(value):
            self._jumps += 1
            if self._jumps < JUMPS_BELIEVED:
                return Reason.JUMP
        self._jumps = 0
        self._accepted = value
        return None

    def _is_jump(self, value: Decimal) -> bool:
        if self._check.variation is None or self._accepted is None:
            return False
        return abs(value - self._accepted) > self._check.variation
