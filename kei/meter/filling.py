"""Fills the gaps of a meter's record from its memory, for as long as it stays joined."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import structlog

from kei.core.clock import epoch_ms, local
from kei.core.errors import KeiError, NotReady, RetryLater
from kei.core.printable import counted
from kei.core.reading import Reading
from kei.echonet.history import DAYS_MAX
from kei.echonet.meter_class import METER_ZONE, Scale
from kei.echonet.superclass import EPC_DATE, EPC_READABLE, EPC_TIME
from kei.energy.registers import HALF_HOUR_MS
from kei.meter.beliefs import REFUSALS_MAX, Beliefs
from kei.meter.decoder import MeterDecoder
from kei.meter.gaps import DAY_MS, AnotherMeter, Gap, Gaps, OtherValues, days_before, start_ms
from kei.meter.history import (
    NORMAL,
    REVERSE,
    Counts,
    HistoryReader,
    Refused,
    Way,
    ways,
)
from kei.meter.minutes import Minutes
from kei.meter.progress import Progress
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
BUSY_S = 20.0  # between two refusals
TELL_EVERY_DAYS = 10


class ClockDoubted(KeiError):
    """The machine's clock cannot be trusted any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be complete.

    Attributes:
        unit: UnitID of the meter.
        days: today, and so many days before.
        has_reverse: whether sold energy is wanted, too.
        minutes: whether one-minute values are, of a meter that has them.
        retention_ms: for so long readings stay in the database: older ones are not filled.
    """

    unit: str
    days: int
    has_reverse: bool
    minutes: bool
    retention_ms: int


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
        serves: returns whether the machine's clock can be trusted; of a meter that tells its time
            or, given False, does not.
    """

    def __init__(
        self,
        wanted: Wanted,
        reader: HistoryReader,
        decoder: MeterDecoder,
        database: Database,
        recover: Callable[[Sequence[Reading]], int],
        progress: Progress,
        serves: Callable[[bool], bool],
    ) -> None:
        self._wanted = wanted
        self._reader = reader
        self._decoder = decoder
        self._database = database
        self._recover = recover
        self._progress = progress
        self._incidents = progress.incidents
        self._serves = serves
        half_hours = HalfHours(database)
        self._segmenter = Segmenter(Segments(database), half_hours, wanted.unit)
        self._begun = self._now_is
        self._gaps = Gaps(half_hours, database, wanted.unit, f"meter.{decoder.meter}.history_none")
        self._minutes = Minutes(wanted.unit, reader, half_hours, recover)
        self._has_minutes = True
        self._identity: Identity | None = None
        self._beliefs = Beliefs(reader.clock)
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
        since_ms = self._segmenter.look_at(
            self._identified(self._identity, scale), self._decoder.met_ms, self._decoder.joined_ms
        )
        today_ms = start_ms(self._reader.now().date())
        self._look_for_falls(today_ms, scale)
        told = self._fill_half_hours(scale, since_ms)
        if self._wanted.minutes and not self.is_over:
            wanted = (NORMAL, REVERSE) if self._wants_reverse else (NORMAL,)
            untold = tuple(sensor for sensor in wanted if sensor not in told)
            self._fill_minutes(scale, since_ms, untold)

    def _fill_half_hours(self, scale: Scale, since_ms: int) -> tuple[str, ...]:
        """Fill all gaps in the best way that the meter takes; return which SensorIDs it tells."""
        for way in ways(self._decoder.readable, wants_reverse=self._wants_reverse):
            if not self._beliefs.is_refused(way) and self._fill_by(way, scale, since_ms):
                self._incidents.ended("history_lacking")
                return (NORMAL, REVERSE) if way.has_reverse else (NORMAL,)
        self._incidents.raised(
            "history_lacking", hint="this meter gives no history, gaps cannot be filled"
        )
        self._progress.tell("this meter gives no history")
        return ()

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
        asked = tuple(epc for epc in IDENTITY_EPCS if epc in readable)
        has = IDENTITY_EPCS if decoder.readable is None else asked
        return identity_of(self._ask(asked), has, decoder.meter)

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
        before, self._misses = self._progress.status.filled, 0
        if len(gaps) > TELL_EVERY_DAYS:
            log.info("history_begins", days=len(gaps), hint="about five days a minute")
        known = frozenset(self._beliefs.differing)
        try:
            if not self._fill_days(gaps, way, scale):
                return False
        finally:
            self._tell_differing(self._beliefs.differing.keys() - known)
        if self.is_over:
            return True
        self._gaps.save(self._reader.now().date() - timedelta(days=DAYS_MAX + 1))
        left = list(self._missing(way, since_ms))
        self._tell_left(left)
        if filled := self._progress.status.filled - before:
            log.info("history_filled", days=len(gaps) - len(left), values=filled)
        self._tell_result()
        return True

    def _fill_days(self, gaps: Sequence[Gap], way: Way, scale: Scale) -> bool:
        """Fill one day after the other, as far as the meter tells; return as `_fill_by`."""
        asked = 0
        refused: list[date] = []
        for number, gap in enumerate(gaps):
            if gap.missing.keys() == {REVERSE} and not self._beliefs.may_have_reverse(gap.day):
                continue
            self._tell_left(gaps[number:])
            self._progress.tell(f"reading {gap.day}, {number} of {len(gaps)} days are done")
            try:
                found = self._read(gap, way)
            except Refused as error:
                refused.append(gap.day)
                self._beliefs.day_refused(gap.day)
                if not asked and len(refused) == 1 and self._refuses(way):
                    return False
                if len(refused) == REFUSALS_MAX:
                    self._note_oldest(refused[0], str(error))
                    break
                self._reader.rest(BUSY_S)
                continue
            if self.is_over:
                break
            if found is not None:
                asked += 1
                refused.clear()
                self._beliefs.day_told(gap.day)
                try:
                    self._take(gap, found, scale)
                except AnotherMeter as error:
                    self._note_oldest(gap.day, str(error))
                    break
                if asked % TELL_EVERY_DAYS == 0:
                    log.info("history_progress", days_done=asked, days=len(gaps), at=str(gap.day))
        return True

    def _tell_left(self, gaps: Sequence[Gap]) -> None:
        self._progress.left(sum(gap.count for gap in gaps), len(gaps))

    def _tell_result(self) -> None:
        left, oldest = self._progress.status.days_left, self._beliefs.oldest
        behind_s = -(self._decoder.meter_clock.status.ahead_s or 0)
        if behind_s > DAY_MS / 1000:
            days = counted(round(behind_s * 1000 / DAY_MS), "day")
            text = f"the meter's clock is {days} behind, and so are its values"
        elif left:
            text = f"the meter has not told of {counted(left, 'day')}, it is asked again later"
        elif self._beliefs.differing:
            text = f"up to date, but {self._beliefs.how_they_differ()}"
        elif oldest is not None:
            text = f"up to date, the meter tells of no day before {oldest}"
        else:
            text = "up to date"
        self._progress.tell(text)

    def _tell_differing(self, days: Collection[date]) -> None:
        if days:
            log.warning(
                "history_differs",
                days=len(days),
                oldest=min(days).isoformat(),
                newest=max(days).isoformat(),
                hint=self._beliefs.how_they_differ(),
            )

    def _read(self, gap: Gap, way: Way) -> Mapping[str, Counts] | None:
        """Return what the meter tells of a day; None if it does not answer this time.

        Raises:
            RetryLater: that is so for several days in a row, or there is no session.
            Refused: it does not have it.
            ClockDoubted: the machine's clock cannot be trusted, so that nobody knows the day.
            Stopping: kei, or the reader, is being stopped.
        """
        self._check_clock()
        is_wanted = REVERSE in gap.missing and self._beliefs.may_have_reverse(gap.day)
        way = replace(way, has_reverse=is_wanted)
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
        self._check_clock()
        self._misses = 0
        self._incidents.ended("history_missed")
        return found

    def _check_clock(self) -> None:
        has_clock = self._decoder.meter_clock.status.ahead_s is not None
        if not self._serves(has_clock):
            raise ClockDoubted("the clock of this machine cannot be trusted at present")

    def _refuses(self, way: Way) -> bool:
        """Return whether the meter, asked again and again, does not even tell of today so."""
        reason = ""
        for _ in range(REFUSALS_MAX - 1):
            self._reader.rest(BUSY_S)
            try:
                self._reader.read(self._reader.now().date(), way, range(1))
            except Refused as error:
                reason = str(error)
            else:
                return False
        log.info("history_refused", reason=reason)
        self._beliefs.way_refused(way)
        return True

    def _missing(self, way: Way, since_ms: int) -> Iterator[Gap]:
        """Yield what is missing and may be had, the newest day first."""
        from_ms, until_ms = self._span(since_ms)
        oldest = self._beliefs.oldest
        for day in days_before(self._reader.now().date(), self._wanted.days):
            if oldest is not None and day < oldest:
                return
            has_reverse = way.has_reverse and self._beliefs.may_have_reverse(day)
            sensors = (NORMAL, REVERSE) if has_reverse else (NORMAL,)
            gap = self._gaps.of(day, sensors, from_ms, until_ms)
            if gap is not None and not self._beliefs.is_left_alone(day):
                yield gap

    def _span(self, since_ms: int) -> tuple[int, int]:
        """Return the first and the last instant that may be recorded, milliseconds since 1970."""
        here_ms = self._reader.clock.now_ms()
        kept_ms = here_ms - self._wanted.retention_ms + DAY_MS  # what would be removed again
        # Stamps that are too old, or in the future, by this machine's clock are not recorded.
        old_ms = start_ms(local(here_ms, METER_ZONE).date() - timedelta(days=DAYS_MAX))
        until_ms = min(epoch_ms(self._reader.now()) - DUE_S * 1000, here_ms + AHEAD_MS)
        return max(since_ms, kept_ms, old_ms), until_ms

    def _take(self, gap: Gap, found: Mapping[str, Counts], scale: Scale) -> None:
        """Record what was missing of a day."""
        if REVERSE in gap.missing and REVERSE in found and _has_values(found[NORMAL]):
            self._beliefs.reverse_told(gap.day, has_values=_has_values(found[REVERSE]))
        now_ms = epoch_ms(self._reader.now())
        try:
            readings = self._gaps.readings(gap, found, scale, now_ms)
        except OtherValues as error:
            self._beliefs.differing[gap.day] = error.hours_off
            return
        if not readings:
            return
        self._progress.filled(self._recover(readings))
        self._look_for_falls(start_ms(gap.day), scale)

    def _look_for_falls(self, begin_ms: int, scale: Scale) -> None:
        """Look at a day, the one before, and the first register of the next."""
        from_ms, to_ms = begin_ms - DAY_MS, begin_ms + DAY_MS + HALF_HOUR_MS
        self._segmenter.look_for_falls((NORMAL, REVERSE), from_ms, to_ms, scale)

    def _note_oldest(self, refused: date, reason: str) -> None:
        """Note that the meter tells of none of several days, and so of none that is older."""
        oldest = refused + timedelta(days=1)
        self._beliefs.begins_at(oldest)
        log.info("history_ends", oldest=oldest.isoformat(), reason=reason)

    def _fill_minutes(self, scale: Scale, since_ms: int, half_hours: tuple[str, ...]) -> None:
        """Fill the gaps of the one-minute record, until the next half-hour has ended."""
        if not self._has_minutes:
            return
        from_ms, until_ms = self._span(since_ms)
        first = days_before(self._reader.now().date(), self._wanted.days)[-1]
        # The next run, six minutes after it, must find none that goes on.
        end_ms = (epoch_ms(self._reader.now()) // HALF_HOUR_MS + 1) * HALF_HOUR_MS
        count = 0
        try:
            for hour_ms, new in self._minutes.fill(
                max(from_ms, start_ms(first)), until_ms, scale, half_hours
            ):
                count += new
                self._progress.filled(new)
                hour = local(hour_ms, METER_ZONE)
                self._progress.tell(f"reading the minutes before {hour:%Y-%m-%d %H:%M} (JST)")
                self._check_clock()
                if self.is_over or epoch_ms(self._reader.now()) >= end_ms:
                    break
            else:
                self._tell_result()
        except Refused as error:
            self._has_minutes = False
            log.info("history_refused", reason=str(error))
        if count:
            log.info("history_minutes_filled", values=count)


def _has_values(counts: Counts) -> bool:
    return any(count is not None for count in counts.values())
