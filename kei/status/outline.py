"""What of its settings a kei is judged by; a running one says it of those that are in force."""

from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from pathlib import Path

from kei.core.clock import Clock, local
from kei.core.errors import Malformed
from kei.meter.expected import Expected, expected_of
from kei.settings.config import Config
from kei.settings.keys import DAY_S
from kei.settings.upload import What
from kei.store.text import DailyFile


@dataclass(frozen=True, slots=True)
class Target:
    """An upload target.

    Attributes:
        name: of the target.
        what: a value of `What`.
        late_s: how old a row is when its first upload is due, at most.
        post_limit_s: how long a POST may take, seconds.
    """

    name: str
    what: str
    late_s: float
    post_limit_s: float


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a kei records, and what it should do. Everybody on the machine may know it.

    Attributes:
        database: the SQLite file.
        directory: of the daily text files.
        fname_base: the end of their names.
        utc_offset_s: local time minus UTC at present, by which the times in them are written.
        unit: UnitID of the meter; None without a `[broute]` table.
        expected: the properties that the meter is asked for.
        targets: of uploads.

    Raises:
        Malformed: it cannot be that of a kei of this version.
    """

    database: str
    directory: str
    fname_base: str
    utc_offset_s: float
    unit: str | None
    expected: tuple[Expected, ...]
    targets: tuple[Target, ...]

    def __post_init__(self) -> None:  # it may come from another process
        is_whole = "\0" not in self.directory + self.fname_base
        are_known = {target.what for target in self.targets} <= set(What)
        if not (is_whole and are_known and abs(self.utc_offset_s) < DAY_S):
            raise Malformed("no status: settings that this version does not know")

    def zone(self, clock: Clock) -> tzinfo:
        """Return the local time of that kei: this process's own, unless they differ now."""
        if utc_offset_s(clock) == self.utc_offset_s:
            return clock.zone
        return timezone(timedelta(seconds=self.utc_offset_s))

    def text(self, clock: Clock) -> DailyFile:
        """Return the daily text files of readings."""
        return DailyFile(Path(self.directory), self.fname_base, "", self.zone(clock))


def outline_of(config: Config, clock: Clock) -> Outline:
    """Return the outline of a configuration."""
    recorder = config.recorder
    return Outline(
        database=str(recorder.database),
        directory=str(recorder.directory),
        fname_base=recorder.fname_base,
        utc_offset_s=utc_offset_s(clock),
        unit=config.broute.unit if config.broute else None,
        expected=expected_of(config.broute) if config.broute else (),
        targets=tuple(
            Target(
                target.name,
                target.what.value,
                (config.summary.cycle_s if target.what is What.SUMMARY else 0) + target.cycle_s,
                target.post_limit_s,
            )
            for target in config.upload
        ),
    )


def unknown(database: Path, clock: Clock) -> Outline:
    """Return the outline of settings of which only the database is known."""
    return Outline(str(database), "", "", utc_offset_s(clock), None, (), ())


def utc_offset_s(clock: Clock) -> float:
    """Return local time minus UTC at present."""
    offset = local(clock.now_ms(), clock.zone).utcoffset()
    assert offset is not None, "the time is aware"
    return offset.total_seconds()
