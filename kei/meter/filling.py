"""Fills the gaps of a meter's record from its memory, for as long as it stays joined."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import structlog

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import NotReady, RetryLater
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.echonet.history import DAYS_MAX
from kei.echonet.meter_class import METER_ZONE, Scale
from kei.echonet.superclass import EPC_DATE, EPC_READABLE, EPC_TIME
from kei.meter.decoder import MeterDecoder
from kei.meter.gaps import DAY_MS, Gap, Gaps, days_before, start_ms
from kei.meter.history import (
    NORMAL,
    REVERSE,
    Counts,
    HistoryReader,
    HistoryStatus,
    Refused,
    Way,
    ways,
)
from kei.meter.segmenter import IDENTITY_EPCS, Segmenter, identity_of
from kei.meter.stamps import AHEAD_MS
from kei.store.database import Database
from kei.store.half_hours import HalfHours
from kei.store.segments import Identity, Segments

log = structlog.stdlib.get_logger("kei.history")

EPC_REVERSE = 0xEB
CLOCK_EPCS = (EPC_DATE, EPC_TIME)
DUE_S = 300  # by the meter's clock, which is known to half a minute only
MISSES_MAX = 3  # days in a row: the meter, or the link, is not up to it at present
REVERSE_MISSES_MAX = 3  # days in a row without E4, until it is given up for this join
TELL_EVERY_DAYS = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be complete.

    Attributes:
        unit: UnitID of the meter.
        days: today, and so many days before.
        has_reverse: whether sold energy is wanted, too.
        retention_ms: for so long readings stay in the database: older ones are not filled.
    """

    unit: str
    days: int
    has_reverse: bool
    retention_ms: int


class Progress:
    """How far the record has been made complete; told by one thread, read by any.

    Args:
        clock: monotonic time.

    Attributes:
        status: a snapshot.
        incidents: what is in the way.
    """

    def __init__(self, clock: Clock) -> None:
        self.incidents = Incidents(log, clock)
        self.status = HistoryStatus(0, 0, 0, "waiting for the meter")

    def tell(self, doing: str) -> None:
        """Tell what is done now, or what it waits for, in words for a person."""
        self.status = replace(self.status, doing=doing)

    def left(self, gaps: Sequence[Gap]) -> None:
        """Tell what is missing still."""
        count = sum(gap.count for gap in gaps)
        self.status = replace(self.status, missing=count, days_left=len(gaps))

    def filled(self, count: int) -> None:
        """Tell that so many values have been made good."""
        self.status = replace(self.status, filled=self.status.filled + count)


class Filling:
    """Asks a meter for those half-hours that the database lacks, the newest day first.

    It knows what this meter refuses and remembers, and so it ends with the join: the next one may
    be with another meter. One thread.

    Args:
        wanted: what is to be complete.
        reader: asks the meter.
        decoder: knows the meter.
        database: where the readings are.
        recover: records values that were made good, as `JobContext.recover`.
        progress: is told how far this has come.
    """

    def __init__(
        self,
        wanted: Wanted,
        reader: HistoryReader,
        decoder: MeterDecoder,
        database: Database,
        recover: Callable[[Sequence[Reading]], int],
        progress: Progress,
    ) -> None:
        self._wanted = wanted
        self._reader = reader
        self._decoder = decoder
        self._database = database
        self._recover = recover
        self._progress = progress
        self._incidents = progress.incidents
        half_hours = HalfHours(database)
        self._segmenter = Segmenter(Segments(database), half_hours, wanted.unit)
        self._begun = self._now_is
        self._gaps = Gaps(half_hours, database, wanted.unit, f"meter.{decoder.meter}.history_none")
        self._identity: Identity | None = None
        self._refused: set[Way] = set()
        self._differing: set[date] = set()  # the meter tells others than are recorded
        self._oldest: date | None = None  # what is before it the meter does not remember
        self._reverse_misses = 0
        self._misses = 0  # days in a row without an answer

    @property
    def is_over(self) -> bool:
        """Whether the meter has been joined anew, or the database is another one."""
        return self._begun != self._now_is

    @property
    def _now_is(self) -> tuple[int, int]:
        return self._decoder.joins, self._database.generation

    def run(self) -> None:
        """Fill what is missing, as far as the meter can be asked.

        Raises:
            KeiError: as of `HistoryReader`, and `StoreError`.
        """
        if self._identity is None:
            self._identity = self._meet()
        if (scale := self._decoder.scale) is None:
            self._progress.tell("waiting for the unit of the meter's register")
            return
        since_ms = self._segmenter.look_at(self._identified(self._identity, scale))
        for way in ways(self._decoder.readable, wants_reverse=self._wants_reverse):
            if way not in self._refused and self._fill_by(way, scale, since_ms):
                return
        self._incidents.raised(
            "history_lacking", hint="this meter gives no history, gaps cannot be filled"
        )
        self._progress.tell("this meter gives no history")

    @property
    def _wants_reverse(self) -> bool:
        readable = self._decoder.readable
        return self._wanted.has_reverse and readable is not None and EPC_REVERSE in readable

    def _meet(self) -> Identity:
        """Learn what the meter has, its clock, and which it is."""
        decoder = self._decoder
        if decoder.readable is None:  # the request jobs ask for it, too: it may be on its way
            decoder.take(self._reader.ask((EPC_READABLE,)), asked=(EPC_READABLE,))
        readable = decoder.readable or frozenset()
        if decoder.meter_clock.status.ahead_s is None and readable.issuperset(CLOCK_EPCS):
            # Whoever else asks for it may not have the answer yet: the day depends on it.
            decoder.meter_clock.take(self._ask(CLOCK_EPCS))
            if decoder.meter_clock.status.ahead_s is None:
                raise RetryLater("the meter does not tell its time")
        return identity_of(self._ask(tuple(epc for epc in IDENTITY_EPCS if epc in readable)))

    def _ask(self, epcs: tuple[int, ...]) -> dict[int, bytes]:
        """Return the data of properties, asked for in as many frames as this meter wants."""
        found: dict[int, bytes] = {}
        for first in range(0, len(epcs), self._decoder.most_at_once):
            at_once = epcs[first : first + self._decoder.most_at_once]
            found |= self._reader.ask(at_once).properties
        return found

    def _identified(self, identity: Identity, scale: Scale) -> Identity:
        """Return the meter as it is known, and how it counts as far as it says that itself."""
        if not self._decoder.is_scale_its_own:
            return identity
        return replace(identity, coefficient=scale.coefficient, energy_unit=scale.unit)

    def _fill_by(self, way: Way, scale: Scale, since_ms: int) -> bool:
        """Fill all gaps in one way; return False if the meter cannot be asked in that way."""
        gaps = list(self._missing(way, since_ms))
        before, asked, self._misses = self._progress.status.filled, 0, 0
        if len(gaps) > TELL_EVERY_DAYS:
            log.info("history_begins", days=len(gaps), hint="about five days a minute")
        for number, gap in enumerate(gaps):
            self._progress.left(gaps[number:])
            self._progress.tell(f"reading {gap.day}, {number} of {len(gaps)} days are done")
            try:
                found = self._read(gap, way)
            except Refused as error:
                if not asked and self._refuses(way):
                    return False
                self._note_oldest(gap.day, str(error))
                break
            if self.is_over:
                return True
            if found is not None:
                asked += 1
                self._take(gap, found, scale)
                if asked % TELL_EVERY_DAYS == 0:
                    log.info("history_progress", days_done=asked, days=len(gaps), at=str(gap.day))
        self._gaps.save(self._reader.now().date() - timedelta(days=DAYS_MAX + 1))
        self._progress.left(list(self._missing(way, since_ms)))
        if asked:
            filled = self._progress.status.filled - before
            log.info("history_filled", days=asked, values=filled)
        self._progress.tell("up to date")
        return True

    def _read(self, gap: Gap, way: Way) -> Mapping[str, Counts] | None:
        """Return what the meter tells of a day; None if it does not answer this time.

        Raises:
            RetryLater: that is so for several days in a row, or there is no session.
            Refused: it does not have it.
            Stopping: kei, or the reader, is being stopped.
        """
        try:
            found = self._reader.read(gap.day, way, gap.hours)
        except NotReady:
            raise
        except RetryLater as error:
            self._misses += 1
            self._incidents.raised("history_missed", reason=str(error))
            if self._misses == MISSES_MAX:
                raise
            return None
        self._misses = 0
        self._incidents.ended("history_missed")
        return found

    def _refuses(self, way: Way) -> bool:
        """Return whether the meter does not even tell of today in this way."""
        try:
            self._reader.read(self._reader.now().date(), way, range(1))
        except Refused as error:
            log.info("history_refused", reason=str(error))
            self._refused.add(way)
            return True
        return False

    def _missing(self, way: Way, since_ms: int) -> Iterator[Gap]:
        """Yield what is missing and may be had, the newest day first."""
        now, here_ms = self._reader.now(), self._reader.clock.now_ms()
        kept_ms = here_ms - self._wanted.retention_ms + DAY_MS  # what would be removed again
        # Stamps that are too old, or in the future, by this machine's clock are not recorded.
        old_ms = start_ms(local(here_ms, METER_ZONE).date() - timedelta(days=DAYS_MAX))
        from_ms = max(since_ms, kept_ms, old_ms)
        until_ms = min(epoch_ms(now) - DUE_S * 1000, here_ms + AHEAD_MS)
        sensors = (NORMAL, REVERSE) if way.has_reverse else (NORMAL,)
        if self._reverse_misses >= REVERSE_MISSES_MAX:
            sensors = (NORMAL,)
        for day in days_before(now.date(), self._wanted.days):
            if self._oldest is not None and day < self._oldest:
                return
            gap = self._gaps.of(day, sensors, from_ms, until_ms)
            if gap is not None and day not in self._differing:
                yield gap

    def _take(self, gap: Gap, found: Mapping[str, Counts], scale: Scale) -> None:
        """Record what was missing of a day."""
        if REVERSE in gap.missing:
            self._reverse_misses = 0 if REVERSE in found else self._reverse_misses + 1
        now_ms = epoch_ms(self._reader.now())
        readings = self._gaps.readings(gap, found, scale, now_ms)
        if readings is None:
            self._differing.add(gap.day)
            self._incidents.raised(
                "history_differs",
                key=gap.day,
                day=gap.day.isoformat(),
                hint="the meter tells other values than are recorded; this day is not filled",
            )
            return
        if not readings:
            return
        self._progress.filled(self._recover(readings))
        begin_ms = start_ms(gap.day)
        self._segmenter.look_for_falls(found, begin_ms - DAY_MS, begin_ms + DAY_MS, scale)

    def _note_oldest(self, refused: date, reason: str) -> None:
        """Note that the meter does not take a day, and so none that is older, for this join."""
        self._oldest = refused + timedelta(days=1)
        log.info("history_ends", oldest=self._oldest.isoformat(), reason=reason)
