"""What a port with sensors is told, and what it tells."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from kei.ports import PortSettings


class LineEnd(StrEnum):
    """What ends a line."""

    LF = "lf"  # with or without CR before it
    CRLF = "crlf"  # both, or it goes on
    CR = "cr"


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """What a value of one series of a port may be.

    Attributes:
        unit: UnitID of the series.
        sensor: SensorID of the series.
        minimum: the smallest good value; None for any.
        maximum: the largest good value, not below the minimum; None for any.
        variation: the largest good step from one value to the next, above 0; None for any.
    """

    unit: str
    sensor: str
    minimum: Decimal | None
    maximum: Decimal | None
    variation: Decimal | None


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """A port on which sensors send lines.

    Attributes:
        port: absolute path of the device, or `sim-sensor:` with options behind it.
        framing: how it is opened.
        encoding: what the bytes mean; one in which ASCII is itself.
        line_end: what ends a line.
        stale_after_s: a sensor that is silent for longer is told; None = none is.
        checks: at most one a series.
    """

    port: str
    framing: PortSettings
    encoding: str
    line_end: LineEnd
    stale_after_s: float | None
    checks: tuple[SeriesCheck, ...]


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """How a port is doing.

    Attributes:
        port: as jobs.toml has it.
        fault: why it is not open; None if it is.
        since_s: for how many seconds that has been so.
        accepted: lines recorded since the start.
        rejected: lines left out since the start, by `kei.sensors.lines.Reason`.
        heard_s: seconds since something arrived; None if nothing has since the start.
        silent: series, `UnitID,SensorID`, that have been silent for too long.
    """

    port: str
    fault: str | None
    since_s: float
    accepted: int
    rejected: dict[str, int]
    heard_s: float | None
    silent: tuple[str, ...]
