"""The job that asks the meter for those half-hours that the database lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from kei.core.clock import epoch_ms, local
from kei.core.errors import NotReady, RetryLater, Stopping, StoreError
from kei.core.incidents import Incidents
from kei.echonet.meter_class import METER_ZONE
from kei.echonet.superclass import EPC_DATE, EPC_READABLE, EPC_TIME
from kei.jobs.advice import AIR_TIME_A_FRAME_S, AIR_TIME_LIMIT_S, air_time_s
from kei.jobs.kinds import AfterWindows, Event, Executor, Job, JobContext, JobKind, Planned
from kei.settings.config import Config
from kei.settings.keys import Conflict, Epcs, Whole, key, table
from kei.settings.text_rules import Wrong

if TYPE_CHECKING:
    from kei.echonet.meter_class import Scale
    from kei.meter.gaps import Gap, Gaps
    from kei.meter.history import Counts, HistoryReader, HistoryStatus, Way
    from kei.store.segments import Identity

log = structlog.stdlib.get_logger("kei.history")

HALF_HOUR_S = 1800
# After each full and half hour: a meter sends its values within 5 minutes of it (application
# interface specification, 3.2.1).
NOTICE_S = 360
DUE_S = 300  # by the meter's clock, which is known to half a minute only
DAYS_MAX = 99
EPC_NORMAL, EPC_REVERSE = 0xEA, 0xEB
CLOCK_EPCS = (EPC_DATE, EPC_TIME)
MISSES_MAX = 3  # days in a row: the meter, or the link, is not up to it at present
LEAST_AIR_TIME_S = 10.0  # an hour, whatever jobs.toml asks the meter for besides
LOOK_AT_CLOCK_S = 5.0  # while it is not trusted
WAIT_FOR_CLOCK_S = 1200.0  # until the next run
TELL_EVERY_DAYS = 10
DAY_MS = 86_400_000
REVERSE_MISSES_MAX = 3  # days in a row without E4, until it is given up for this join


@table()
class HistorySettings:
    """What the meter remembers fills the gaps of the record; only with a [broute] table."""

    days: int = key(
        Whole(0, DAYS_MAX),
        "Today, and so many days before; 0: the meter is never asked.",
        default=99,
    )
    epc: tuple[int, ...] = key(
        Epcs(),
        "Of bought (EA) and sold energy (EB, if the meter has it).",
        default=(EPC_NORMAL, EPC_REVERSE),
    )

    def conflicts(self) -> Iterable[Conflict]:
        """Yield what no meter keeps a history of, and what is left out."""
        if not {EPC_NORMAL} <= set(self.epc) <= {EPC_NORMAL, EPC_REVERSE}:
            wrong = Wrong("a meter remembers EA and EB only", 'write ["EA"] or ["EA", "EB"]')
            yield "epc", wrong


class HistoryJob:
    """Looks which half-hours are missing, and asks for them, newest first.

    It runs after each join, after each half-hour notice that should have come, and so once a day
    in any case. A run ends when nothing is missing that the meter may have, or when the session
    is lost.

    Args:
        settings: of jobs.toml.
        unit: UnitID of the meter.
        retention_s: how long readings stay in the database: older ones are not filled.
        pause_s: between two questions at least.
        context: what jobs are built with; it has a session.
    """

    def __init__(
        self,
        settings: HistorySettings,
        unit: str,
        retention_s: float,
        pause_s: float,
        context: JobContext,
    ) -> None:
        from kei.meter.history import HistoryReader, HistoryStatus  # noqa: PLC0415
        from kei.meter.segmenter import Segmenter  # noqa: PLC0415
        from kei.store.half_hours import HalfHours  # noqa: PLC0415
        from kei.store.segments import Segments  # noqa: PLC0415

        assert context.session is not None, "a history belongs to a meter"
        assert context.decoder is not None, "a history belongs to a meter"
        self._settings = settings
        self._unit = unit
        self._retention_ms = round(retention_s * 1000)
        self._context = context
        self._clock = context.clock
        self._session, self._decoder = context.session, context.decoder
        self._half_hours = HalfHours(context.database)
        self._segmenter = Segmenter(Segments(context.database), self._half_hours, unit)
        self._incidents = Incidents(log, context.clock)
        self._reader: HistoryReader = HistoryReader(
            context.session, context.clock, self._ahead_s, pause_s
        )
        self._stopping = False
        self._begun: tuple[int, int] | None = None  # join and database that the following is of
        self._gaps: Gaps | None = None
        self._identity: Identity | None = None
        self._refused: set[Way] = set()
        self._differing: set[date] = set()  # the meter tells others than are recorded
        self._oldest: date | None = None  # what is before it the meter does not remember
        self._reverse_misses = 0
        self._misses = 0  # days in a row without an answer
        self._status: HistoryStatus = HistoryStatus(0, 0, 0, "waiting for the meter")

    def status(self) -> HistoryStatus:
        """Return how far the record has been made complete; any thread."""
        return self._status

    def stop(self) -> None:
        """Make a run end after the question that it asks."""
        self._stopping = True

    def run(self) -> None:
        """Fill what is missing, as far as the meter can be asked."""
        try:
            if self._wait_for_clock():
                self._fill()
                while self._begun != self._now_is:  # the meter may be another one
                    self._fill()
        except (NotReady, Stopping) as error:
            log.debug("history_held", reason=str(error))
            self._tell("waiting for the meter")
        except StoreError as error:
            self._incidents.raised("history_failed", reason=str(error))
            self._tell("waiting for the disk")
        except RetryLater as error:
            self._incidents.raised("history_missed", reason=str(error))
            self._tell("the meter has not answered, it is asked again later")
        else:
            self._incidents.ended("history_failed")

    @property
    def _now_is(self) -> tuple[int, int]:
        """Which join and which database this is: with another one everything is looked at anew."""
        return self._decoder.joins, self._context.database.generation

    def _wait_for_clock(self) -> bool:
        """Wait until the machine's clock can be trusted; return whether it can."""
        gate, end = self._context.gate, self._clock.monotonic() + WAIT_FOR_CLOCK_S
        while not gate.is_steady or gate.is_likely_wrong:
            self._tell("waiting for this machine's clock to be set")
            if self._clock.monotonic() > end or self._stopping:
                return False
            self._session.rest(LOOK_AT_CLOCK_S)
        return not self._stopping

    def _fill(self) -> None:
        from kei.meter.history import ways  # noqa: PLC0415

        if not self._session.is_joined:
            raise NotReady("the meter has not been joined")
        if self._begun != self._now_is:
            self._begin()
        if (scale := self._decoder.scale) is None:
            self._tell("waiting for the unit of the meter's register")
            return
        if not self._context.commit():
            self._tell("waiting for readings to be written")
            return
        since_ms = self._segmenter.look_at(self._identified(scale))
        readable = self._decoder.readable
        has_reverse = readable is not None and EPC_REVERSE in readable
        wants_reverse = EPC_REVERSE in self._settings.epc and has_reverse
        for way in ways(readable, wants_reverse=wants_reverse):
            if way not in self._refused and self._fill_by(way, scale, since_ms):
                return
        self._incidents.raised(
            "history_lacking", hint="this meter gives no history, gaps cannot be filled"
        )
        self._tell("this meter gives no history")

    def _begin(self) -> None:
        """Forget what may be another matter after a join, and learn the meter's clock."""
        from kei.meter.gaps import Gaps  # noqa: PLC0415
        from kei.meter.segmenter import IDENTITY_EPCS, identity_of  # noqa: PLC0415

        decoder, begun = self._decoder, self._now_is
        self._gaps = Gaps(
            self._half_hours,
            self._context.database,
            self._unit,
            f"meter.{decoder.meter}.history_none",
        )
        self._refused.clear()
        self._differing.clear()
        self._oldest = None
        self._reverse_misses = 0
        if decoder.readable is None:  # the request jobs ask for it, too: it may be on its way
            decoder.take(self._reader.ask((EPC_READABLE,)), asked=(EPC_READABLE,))
        readable = decoder.readable or frozenset()
        if decoder.meter_clock.status.ahead_s is None and readable.issuperset(CLOCK_EPCS):
            # Whoever else asks for it may not have the answer yet: the day depends on it.
            decoder.meter_clock.take(self._ask(CLOCK_EPCS))
            if decoder.meter_clock.status.ahead_s is None:
                raise RetryLater("the meter does not tell its time")
        asked = tuple(epc for epc in IDENTITY_EPCS if epc in readable)
        self._identity = identity_of(self._ask(asked))
        self._begun = begun

    def _ask(self, epcs: tuple[int, ...]) -> dict[int, bytes]:
        """Return the data of properties, asked for in as many frames as this meter wants."""
        found: dict[int, bytes] = {}
        for first in range(0, len(epcs), self._decoder.most_at_once):
            at_once = epcs[first : first + self._decoder.most_at_once]
            found |= self._reader.ask(at_once).properties
        return found

    def _identified(self, scale: Scale) -> Identity:
        """Return the meter as it is known, and how it counts as far as it says that itself."""
        assert self._identity is not None, "after `_begin`"
        if not self._decoder.is_scale_its_own:
            return self._identity
        return replace(self._identity, coefficient=scale.coefficient, energy_unit=scale.unit)

    def _fill_by(self, way: Way, scale: Scale, since_ms: int) -> bool:
        """Fill all gaps in one way; return False if the meter cannot be asked in that way."""
        from kei.meter.history import Refused  # noqa: PLC0415

        gaps = list(self._missing(way, since_ms))
        before, asked, self._misses = self._status.filled, 0, 0
        if len(gaps) > TELL_EVERY_DAYS:
            log.info("history_begins", days=len(gaps), hint="about five days a minute")
        for number, gap in enumerate(gaps):
            self._note(gaps[number:])
            self._tell(f"reading {gap.day}, {number} of {len(gaps)} days are done")
            try:
                found = self._read(gap, way)
            except Refused as error:
                if not asked and self._refuses(way):
                    return False
                self._note_oldest(gap.day, str(error))
                break
            if self._begun != self._now_is:
                return True
            if found is not None:
                asked += 1
                self._take(gap, found, scale)
                if asked % TELL_EVERY_DAYS == 0:
                    log.info("history_progress", days_done=asked, days=len(gaps), at=str(gap.day))
        self._save_none()
        self._note(list(self._missing(way, since_ms)))
        if asked:
            log.info("history_filled", days=asked, values=self._status.filled - before)
        self._tell("up to date")
        return True

    def _read(self, gap: Gap, way: Way) -> Mapping[str, Counts] | None:
        """Return what the meter tells of a day; None if it does not answer this time.

        Raises:
            RetryLater: that is so for several days in a row, or there is no session.
            Refused: it does not have it.
            Stopping: kei, or this job, is being stopped.
        """
        if self._stopping:
            raise Stopping("this job is being stopped")
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
        from kei.meter.history import Refused  # noqa: PLC0415

        try:
            self._reader.read(self._reader.now().date(), way, range(1))
        except Refused as error:
            log.info("history_refused", reason=str(error))
            self._refused.add(way)
            return True
        return False

    def _missing(self, way: Way, since_ms: int) -> Iterator[Gap]:
        """Yield what is missing and may be had, the newest day first."""
        from kei.meter.gaps import days_before, start_ms  # noqa: PLC0415
        from kei.meter.history import NORMAL, REVERSE  # noqa: PLC0415
        from kei.meter.stamps import AHEAD_MS  # noqa: PLC0415

        assert self._gaps is not None, "after `_begin`"
        now, here_ms = self._reader.now(), self._clock.now_ms()
        kept_ms = here_ms - self._retention_ms + DAY_MS  # what would be removed again
        # Stamps that are too old, or in the future, by this machine's clock are not recorded.
        old_ms = start_ms(local(here_ms, METER_ZONE).date() - timedelta(days=DAYS_MAX))
        from_ms = max(since_ms, kept_ms, old_ms)
        until_ms = min(epoch_ms(now) - DUE_S * 1000, here_ms + AHEAD_MS)
        sensors = (NORMAL, REVERSE) if way.has_reverse else (NORMAL,)
        if self._reverse_misses >= REVERSE_MISSES_MAX:
            sensors = (NORMAL,)
        for day in days_before(now.date(), self._settings.days):
            if self._oldest is not None and day < self._oldest:
                return
            gap = self._gaps.of(day, sensors, from_ms, until_ms)
            if gap is not None and day not in self._differing:
                yield gap

    def _take(self, gap: Gap, found: Mapping[str, Counts], scale: Scale) -> None:
        """Record what was missing of a day."""
        from kei.meter.gaps import start_ms  # noqa: PLC0415
        from kei.meter.history import REVERSE  # noqa: PLC0415

        assert self._gaps is not None, "after `_begin`"
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
        count = self._context.recover(readings)
        self._status = replace(self._status, filled=self._status.filled + count)
        begin_ms = start_ms(gap.day)
        self._segmenter.look_for_falls(found, begin_ms - DAY_MS, begin_ms + DAY_MS, scale)

    def _note_oldest(self, refused: date, reason: str) -> None:
        """Note that the meter does not take a day, and so none that is older, for this join."""
        self._oldest = refused + timedelta(days=1)
        log.info("history_ends", oldest=self._oldest.isoformat(), reason=reason)

    def _save_none(self) -> None:
        assert self._gaps is not None, "after `_begin`"
        self._gaps.save(self._reader.now().date() - timedelta(days=DAYS_MAX + 1))

    def _note(self, gaps: list[Gap]) -> None:
        count = sum(gap.count for gap in gaps)
        self._status = replace(self._status, missing=count, days_left=len(gaps))

    def _tell(self, doing: str) -> None:
        self._status = replace(self._status, doing=doing)

    def _ahead_s(self) -> float:
        """Return how far the meter's clock is ahead of the machine's, as far as it is known."""
        return self._decoder.meter_clock.status.ahead_s or 0.0


def _plan(config: Config) -> Iterator[Planned]:
    settings = config.job_tables["history"]
    assert isinstance(settings, HistorySettings), "of the table"
    if config.broute is None or settings.days == 0:
        return
    left_s = max(LEAST_AIR_TIME_S, AIR_TIME_LIMIT_S / 2 - air_time_s(config))
    pause_s = 3600 * AIR_TIME_A_FRAME_S / left_s
    unit, retention_s = config.broute.unit, config.recorder.retention_s
    yield Planned(
        id="history",
        what=f"fill gaps of the last {settings.days} days from the meter's memory",
        schedule=AfterWindows(HALF_HOUR_S, NOTICE_S),
        executor=Executor.HISTORY,
        origin=(settings, unit, retention_s, pause_s),
        build=partial(_build, settings, unit, retention_s, pause_s),
        needs_meter=True,
        also_after=Event.JOINED,
    )


def _build(
    settings: HistorySettings, unit: str, retention_s: float, pause_s: float, context: JobContext
) -> Job:
    job = HistoryJob(settings, unit, retention_s, pause_s, context)
    return Job(job.run, job.stop, history=job.status)


KIND = JobKind(_plan, {"history": HistorySettings})
