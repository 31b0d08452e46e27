"""The meter's half-hour registers as kei has recorded them, and the energy that follows."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from kei.core.clock import epoch_ms
from kei.core.errors import ConfigError
from kei.core.reading import Reading
from kei.echonet.meter_class import COEFFICIENT_WHERE_ABSENT, YEARS
from kei.energy.periods import By, Period, begun
from kei.energy.registers import HALF_HOUR_MS, Registers, range_kwh
from kei.energy.report import Report, Row
from kei.settings.config import Config
from kei.store import half_hours
from kei.store.segments import breaks
from kei.store.text import DailyFile
from kei.tariff.use import Use, use_of

ROWS_MAX = 100_000  # of one report, eleven years of hours
UNIT_WHERE_ABSENT = "BR"  # of a jobs.toml whose [broute] has been removed
BOUGHT, SOLD = "EA", "EB"
_DIGITS, _COEFFICIENT, _UNIT = "D7", "D3", "E1"
# The meter sends its registers within 5 minutes of :00 and :30 (ECHONET AIF low-voltage smart
# electric energy meter & HEMS controller, 3.2.1); then a controller asks for them.
LATE_MS = 600_000
DIGITS = range(1, 9)  # of a counter, as the table of class 0x0288 has it for EPC D7

AtHalfHours: TypeAlias = Callable[
    [Path, DailyFile, int, int, str, Sequence[str]], Iterator[tuple[int, dict[str, Decimal]]]
]


def unit_of(settings: Config) -> str:
    """Return the UnitID of the meter, whether it is still in jobs.toml or not."""
    return UNIT_WHERE_ABSENT if settings.broute is None else settings.broute.unit


class RecordedMeter:
    """What kei has recorded of the meter, read by another process than the recorder.

    Args:
        settings: say where, and under which UnitID.
        zone: the local time zone.
        at_half_hours: finds the registers, as the function of that name does.

    Raises:
        StoreError: there is no database, or it cannot be read; so every method.
    """

    def __init__(
        self,
        settings: Config,
        zone: tzinfo,
        at_half_hours: AtHalfHours = half_hours.at_half_hours,
    ) -> None:
        self._zone = zone
        self._at_half_hours = at_half_hours
        recorder, broute = settings.recorder, settings.broute
        self.unit = unit_of(settings)
        self._database = recorder.database
        self._text = DailyFile(recorder.directory, recorder.fname_base, "", zone)
        self._last = half_hours.newest(self._database, self._text, self.unit)
        self._unit_where_absent = None if broute is None else broute.energy_unit

    @property
    def has_registers(self) -> bool:
        """Whether there is any register."""
        return BOUGHT in self._last

    def report(
        self, from_ms: int, to_ms: int, by: By, now_ms: int, rows_max: int = ROWS_MAX
    ) -> tuple[Report, Iterator[Row]]:
        """Return the energy of a range up to the present, and its rows, which are to be taken once.

        Args:
            from_ms: the first instant, milliseconds since 1970 in UTC.
            to_ms: the first instant behind the range.
            by: what a row covers.
            now_ms: the present.
            rows_max: how many rows it may have.

        Raises:
            ConfigError: no meter is that old, or it would be too many rows.
        """
        now_ms = max(now_ms, self._newest_ms)
        if from_ms < epoch_ms(datetime(YEARS.start, 1, 1, tzinfo=self._zone)):
            raise ConfigError([f"from: there was no smart meter before {YEARS.start}"])
        half_hours_each = {By.HALF_HOUR: 1, By.HOUR: 2}.get(by, 48)
        rows = (min(to_ms, now_ms) - from_ms) // (half_hours_each * HALF_HOUR_MS)
        if rows > rows_max:
            what = f"by {by.value}: that is {rows} rows"
            raise ConfigError([f"{what}; choose a range of at most {rows_max}, or days"])
        whole, expected = begun(from_ms, to_ms, by, now_ms, self._zone)
        report = Report(
            whole,
            until_ms=now_ms - LATE_MS,
            range_=self._range_kwh,
            breaks=breaks(self._database, self.unit),
        )
        return report, report.rows(expected, self._registers(whole))

    def use(self, from_ms: int, to_ms: int, now_ms: int) -> tuple[Use, Use | None]:
        """Return what was bought and sold in a range up to the present, by half-hours.

        Args:
            from_ms: the first instant, milliseconds since 1970 in UTC.
            to_ms: the first instant behind the range.
            now_ms: the present.

        Returns:
            both; None for what was sold if the meter has never told.
        """
        until_ms = max(now_ms, self._newest_ms) - LATE_MS
        end_ms = max(from_ms, min(to_ms, until_ms - until_ms % HALF_HOUR_MS))
        bought: list[tuple[int, Decimal]] = []
        sold: list[tuple[int, Decimal]] = []
        for found in self._registers(Period(from_ms, to_ms)):
            if found.bought is not None:
                bought.append((found.time_ms, found.bought))
            if found.sold is not None:
                sold.append((found.time_ms, found.sold))
        of_bought, of_sold = (
            use_of(each, from_ms, end_ms, self._range_kwh) for each in (bought, sold)
        )
        return of_bought, of_sold if SOLD in self._last else None

    @property
    def _newest_ms(self) -> int:
        """The time of the register that was recorded last: this machine's clock may be behind."""
        last = (self._last.get(sensor) for sensor in (BOUGHT, SOLD))
        return max((reading.time_ms for reading in last if reading is not None), default=0)

    @property
    def _range_kwh(self) -> Decimal | None:
        """At how many kWh the registers begin again at 0; None if the meter has not told."""
        digits, unit = self._value(_DIGITS), self._value(_UNIT) or self._unit_where_absent
        if digits is None or digits not in DIGITS or unit is None:
            return None
        coefficient = self._value(_COEFFICIENT) or Decimal(COEFFICIENT_WHERE_ABSENT)
        return range_kwh(digits, coefficient, unit)

    def _value(self, sensor: str) -> Decimal | None:
        reading: Reading | None = self._last.get(sensor)
        return None if reading is None else reading.value

    def _registers(self, whole: Period) -> Iterator[Registers]:
        """Yield the registers of a range, that at its end included."""
        within = (whole.first_ms, whole.last_ms)
        for time_ms, values in self._at_half_hours(
            self._database, self._text, *within, self.unit, (BOUGHT, SOLD)
        ):
            yield Registers(time_ms, values.get(BOUGHT), values.get(SOLD))
