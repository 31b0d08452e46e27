"""Filters for well-formed lines that are not recorded: radio repeats, outliers, made-up series."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from kei.sensors.line_parser import Line, Reason
from kei.settings.serial import SeriesCheck

REPEATS_WITHIN = 10  # lines of the port
JUMPS_BELIEVED = 3  # in a row: then it is a new level
SERIES_MAX = 1000  # of a port, since the start

Series = tuple[str, str]  # UnitID and SensorID


class Repeats:
    """Finds lines that a radio network delivers more than once, on several routes.

    Lines without a DataID of their own are never repeats: two equal values in a row are normal.
    """

    def __init__(self) -> None:
        self._last: deque[list[bytes]] = deque(maxlen=REPEATS_WITHIN)

    def is_repeat(self, line: Line, raw: bytes) -> bool:
        """Return whether a line is one of the last ten, byte by byte; remember it if not."""
        fields = [field.strip(b" \t") for field in raw.split(b",")]
        if line.data_id is not None and fields in self._last:
            return True
        self._last.append(fields)
        return False


class SeriesLimit:
    """Finds the lines of ever-new series, which noise or a wrong sketch makes up without end.

    Args:
        expected: the series that are recorded whatever else comes.
    """

    def __init__(self, expected: Iterable[Series]) -> None:
        self._series = set(expected)

    def is_one_too_many(self, series: Series) -> bool:
        """Return whether a series is new, and there are as many as a port may have."""
        if series in self._series:
            return False
        if len(self._series) >= SERIES_MAX:
            return True
        self._series.add(series)
        return False


class Outliers:
    """Finds values that the checks of their series, one each at most, do not allow."""

    def __init__(self, checks: Iterable[SeriesCheck]) -> None:
        self._series = {(check.unit, check.sensor): _Series(check) for check in checks}

    def check(self, line: Line) -> Reason | None:
        """Return why a value is not to be recorded; None if it is."""
        series = self._series.get((line.unit, line.sensor))
        return None if series is None else series.check(line.value)


class _Series:
    """Checks one series; remembers its last accepted value and the jumps away from it."""

    def __init__(self, limits: SeriesCheck) -> None:
        self._limits = limits
        self._accepted: Decimal | None = None
        self._jumps = 0

    def check(self, value: Decimal) -> Reason | None:
        limits = self._limits
        if limits.minimum is not None and value < limits.minimum:
            return Reason.OUT_OF_RANGE
        if limits.maximum is not None and value > limits.maximum:
            return Reason.OUT_OF_RANGE
        if self._is_jump(value):
            self._jumps += 1
            if self._jumps < JUMPS_BELIEVED:
                return Reason.JUMP
        self._jumps = 0
        self._accepted = value
        return None

    def _is_jump(self, value: Decimal) -> bool:
        if self._limits.variation is None or self._accepted is None:
            return False
        return abs(value - self._accepted) > self._limits.variation
