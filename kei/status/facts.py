"""The facts about a kei: what it says itself, and what its database says."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import zip_longest
from pathlib import Path

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.echonet.meter_class import UNIT_OF_SENSOR
from kei.meter.expected import Expected
from kei.settings.upload import What
from kei.status.outline import Outline, utc_offset_s
from kei.status.snapshot import Snapshot
from kei.store.queue import Waiting
from kei.store.read_only import Query, read_overview, readings
from kei.store.text import DailyFile
from kei.upload.traffic import UploadStatus

FUTURE_LIMIT_S = 60.0  # the meter's own clock may be ahead; any more, and a clock was wrong
LOOK_BACK_MS = 2 * 86_400_000  # for the newest reading that is not from the future


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload target.

    Attributes:
        name: of the target.
        late_s: how old a row is when its first upload is due, at most.
        waiting: the rows for it in the database; None when that cannot be read.
        live: the state in the running kei; None when none runs.
        post_limit_s: how long a POST may take, seconds.
    """

    name: str
    late_s: float
    waiting: Waiting | None
    live: UploadStatus | None
    post_limit_s: float = math.inf

    @property
    def oldest_ms(self) -> int | None:
        """The time of the oldest row that waits; None if none does, or that is not known."""
        return self.waiting.oldest_ms if self.waiting else None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that could be found out.

    Attributes:
        now_ms: when that was, milliseconds since 1970 in UTC.
        zone: local time of that kei.
        unit: UnitID of the meter; None without a `[broute]` table.
        expected: the properties that the meter is asked for.
        snapshot: the answer of the running kei; None if none runs, or it does not answer.
        silence: why a kei that runs does not answer; None if it does, or none runs.
        series: the newest reading of each series; one from the future only if it has no other of
            the last two days.
        uploads: in the order of the configuration.
        database_fault: why the database cannot be read; None if it can.
        pending: how many readings have no line in the text yet.
        mistakes: of jobs.toml as it is now, complete lines.
        is_zone_foreign: whether `zone` is another than that of the process that asks.
    """

    now_ms: int
    zone: tzinfo
    unit: str | None
    expected: tuple[Expected, ...]
    snapshot: Snapshot | None
    silence: str | None
    series: tuple[Reading, ...]
    uploads: tuple[Upload, ...]
    database_fault: str | None
    pending: int = 0
    mistakes: tuple[str, ...] = ()
    is_zone_foreign: bool = False

    @property
    def refused(self) -> tuple[str, ...]:
        """Why jobs.toml is not in force, one line each; empty if it is."""
        return self.mistakes or (self.snapshot and self.snapshot.refused) or ()

    @property
    def runs(self) -> bool:
        """Whether a kei runs, even if it does not answer."""
        return self.snapshot is not None or self.silence is not None

    def age_s(self, time_ms: int) -> float:
        """Return how long ago an instant was; negative for one in the future."""
        return (self.now_ms - time_ms) / 1000

    def unit_of_measure(self, reading: Reading) -> str | None:
        """Return what a reading is measured in; None where it has no unit, or kei knows none."""
        return UNIT_OF_SENSOR.get(reading.sensor) if reading.unit == self.unit else None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says.

    Attributes:
        series: the newest reading of each series.
        waiting: for each upload target of the configuration; empty if that is not known.
        fault: why the database cannot be read; None if it can.
        pending: how many readings have no line in the text yet.
    """

    series: tuple[Reading, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    fault: str | None = None
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the running kei says.

    Attributes:
        snapshot: its status; None if none runs, or it does not answer.
        silence: why a kei that runs does not answer; None if it does, or none runs.
    """

    snapshot: Snapshot | None = None
    silence: str | None = None


def read_database(outline: Outline, clock: Clock) -> Stored:
    """Return what the database says; for as long as its disk needs."""
    database, text = Path(outline.database), outline.text(clock)
    targets = [(target.name, What(target.what)) for target in outline.targets]
    try:
        contents = read_overview(database, text, targets, clock)
        ordered = sorted(contents.last, key=lambda each: _place(each, outline))
        series = _present(ordered, database, text, clock)
    except StoreError as error:
        return Stored(fault=str(error))
    return Stored(series, contents.waiting, pending=contents.pending)


def facts_of(
    outline: Outline,
    answer: Answer,
    stored: Stored,
    clock: Clock,
    mistakes: tuple[str, ...] = (),
) -> Facts:
    """Put together what has been found out."""
    return Facts(
        now_ms=clock.now_ms(),
        zone=outline.zone(clock),
        unit=outline.unit,
        expected=outline.expected,
        snapshot=answer.snapshot,
        silence=answer.silence,
        series=stored.series,
        uploads=tuple(_uploads(outline, stored.waiting, answer.snapshot)),
        database_fault=stored.fault,
        # The running kei counts those in its memory, too.
        pending=answer.snapshot.recorder.pending if answer.snapshot else stored.pending,
        mistakes=mistakes,
        is_zone_foreign=outline.utc_offset_s != utc_offset_s(clock),
    )


def _present(
    last: Sequence[Reading], database: Path, text: DailyFile, clock: Clock
) -> tuple[Reading, ...]:
    """Return the last recorded reading of each series, or an earlier one if it is from the future.

    The time of a meter's half-hour value is the meter's own, which may have been wrong.
    """
    until_ms = clock.now_ms() + round(FUTURE_LIMIT_S * 1000)
    earlier: dict[tuple[str, str], Reading] = {}
    if any(each.time_ms > until_ms for each in last):  # all in one pass: there may be a thousand
        query = Query(until_ms - LOOK_BACK_MS, until_ms + 1)
        for each in readings(database, text, query):
            earlier[each.unit, each.sensor] = each
    return tuple(
        each if each.time_ms <= until_ms else earlier.get((each.unit, each.sensor), each)
        for each in last
    )


def _place(reading: Reading, outline: Outline) -> tuple[bool, str, str]:
    """Return a key for the order of the series: the meter's first, then by name."""
    return reading.unit != outline.unit, reading.unit, reading.sensor


def _uploads(
    outline: Outline, waiting: tuple[Waiting, ...], snapshot: Snapshot | None
) -> Iterator[Upload]:
    live = {upload.target: upload for upload in snapshot.uploads} if snapshot else {}
    for target, rows in zip_longest(outline.targets, waiting):
        yield Upload(target.name, target.late_s, rows, live.get(target.name), target.post_limit_s)
