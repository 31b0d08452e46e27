"""Serial ports with sensors: `[[serial]]` and `[[serial.checks]]` of jobs.toml."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from kei.settings import text_rules
from kei.settings.broute import BAUDRATES
from kei.settings.keys import (
    DAY_S,
    Conflict,
    Duration,
    Flag,
    Group,
    Number,
    OneOf,
    Port,
    Tables,
    Text,
    Word,
    key,
    table,
)
from kei.settings.text_rules import Wrong

SIMULATED_SENSORS = "sim-sensor:"  # begins the port of a simulated board; its options follow
BYTESIZES, STOPBITS = (5, 6, 7, 8), (1, 2)  # what termios(3) has
STALE_MIN_S, STALE_MAX_S = 1, 30 * DAY_S  # what is less, noise on the line costs


class LineEnd(StrEnum):
    """What ends a line."""

    LF = "lf"  # with or without CR before it
    CRLF = "crlf"  # both, or it goes on
    CR = "cr"


# The letters that pyserial has.
PARITY = Word(
    {name: name[0].upper() for name in ("none", "even", "odd", "mark", "space")},
    {letter: letter.upper() for letter in "neoms"},
)
LINE_END = Word(
    {each.value: each for each in LineEnd},
    {"\n": LineEnd.LF, "\r\n": LineEnd.CRLF, "\r": LineEnd.CR},
)


@table()
class PortSettings:
    """How a port is opened; `drops_dtr` None leaves that flag of the port as it is."""

    baudrate: int = key(OneOf(BAUDRATES), "Bits a second.", default=9600)
    bytesize: int = key(OneOf(BYTESIZES), "Data bits.", default=8)
    parity: str = key(PARITY, "The parity bit; its first letter will do.", default="N")
    stopbits: int = key(OneOf(STOPBITS), "Stop bits.", default=1)
    dtr: bool = key(Flag(), "Whether the line DTR is up while the port is open.", default=True)
    rts: bool = key(Flag(), "Whether the line RTS is up while the port is open.", default=True)
    drops_dtr: bool | None = key(
        Flag(),
        "Whether each start of kei resets an Arduino (DTR falls at its end).",
        default=True,
        name="reset_on_open",
    )

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what contradicts."""
        if not self.drops_dtr and not self.dtr:
            remedy = "Linux raises DTR whenever it opens a port: leave dtr out, so that it stays up"
            yield "dtr", Wrong("is not possible with reset_on_open = false", remedy)


@table()
class SeriesCheck:
    """What a value of one series of the port may be; each limit may be left out."""

    unit: str = key(
        Text(text_rules.identifier, text_rules.ID_SPAN), "UnitID of the series.", example='"A1"'
    )
    sensor: str = key(
        Text(text_rules.identifier, text_rules.ID_SPAN), "SensorID of the series.", example='"T1"'
    )
    minimum: Decimal | None = key(
        Number(), "The smallest good value.", default=None, name="min", example="-40"
    )
    maximum: Decimal | None = key(
        Number(), "The largest good value.", default=None, name="max", example="85"
    )
    variation: Decimal | None = key(
        Number(),
        "The largest good step, above 0; a larger one has to come three times in a row.",
        default=None,
        example="10",
    )

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what contradicts."""
        low, high, step = self.minimum, self.maximum, self.variation
        if low is not None and high is not None and low > high:
            yield "min", Wrong(f"{low} is above max = {high}", "swap or mend the two")
        if step is not None and step <= 0:
            yield "variation", Wrong(f"{step} is out of range", "it must be above 0")


@table()
class SensorSettings:
    """A port on which sensors send lines, one table a port."""

    port: str = key(
        Port(sensors=True),
        'As `ls /dev/serial/by-id/*` shows it; "sim-sensor:" is a board inside kei.',
        example='"/dev/ttyACM0"',
    )
    framing: PortSettings = key(Group(PortSettings))
    encoding: str = key(
        Text(text_rules.encoding, "one that contains ASCII"),
        "What the bytes mean; it only matters for the log, as good lines are ASCII.",
        default="ascii",
    )
    line_end: LineEnd = key(
        LINE_END,
        'What ends a line; "lf" is with or without CR before it.',
        default=LineEnd.LF,
    )
    stale_after_s: float | None = key(
        Duration(STALE_MIN_S, STALE_MAX_S),
        "How long a sensor may be silent before it is reported; left out: for ever.",
        default=None,
        example='"10m"',
    )
    checks: tuple[SeriesCheck, ...] = key(
        Tables(SeriesCheck, by=("unit", "sensor"), unique="keep one check for each series"),
        default=(),
    )
