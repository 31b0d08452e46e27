"""Serial ports with sensors: `[[serial]]` of jobs.toml."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PortSettings:
    """How a port is opened.

    Attributes:
        baudrate: bits a second.
        bytesize: data bits, 5 to 8.
        parity: `N`, `E`, `O`, `M` or `S`, as pyserial has them.
        stopbits: 1 or 2.
        dtr: the line DTR once the port is open.
        rts: the line RTS once the port is open.
        drops_dtr: whether DTR falls when the port is closed; None leaves it as it is.
    """

    baudrate: int
    bytesize: int = 8
    parity: str = "N"
    stopbits: int = 1
    dtr: bool = True
    rts: bool = True
    drops_dtr: bool | None = None


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
