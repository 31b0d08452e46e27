"""The job that asks the meter for those half-hours that the database lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from kei.core.errors import NotReady, RetryLater, Stopping, StoreError
from kei.core.printable import counted
from kei.jobs.advice import AIR_TIME_A_FRAME_S, AIR_TIME_LIMIT_S, air_time_s
from kei.jobs.kinds import AfterWindows, Event, Executor, Job, JobContext, JobKind, Planned
from kei.settings.config import Config
from kei.settings.keys import Conflict, Epcs, Flag, Whole, key, table
from kei.settings.text_rules import Wrong

if TYPE_CHECKING:
    from kei.meter.filling import Filling, Wanted
    from kei.meter.progress import HistoryStatus

log = structlog.stdlib.get_logger("kei.history")

HALF_HOUR_S = 1800
# After each full and half hour: a meter sends its values within 5 minutes of it (application
# interface specification, 3.2.1).
NOTICE_S = 360
DAYS_MAX = 99
EPC_NORMAL, EPC_REVERSE = 0xEA, 0xEB
LEAST_AIR_TIME_S = 10.0  # an hour, whatever jobs.toml asks the meter for besides
LOOK_AT_CLOCK_S = 1.0  # while it is not trusted
WAIT_FOR_CLOCK_S = 1200.0  # until the next run


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
    one_minute: bool = key(
        Flag(),
        "The registers of each minute as well (D0 and D0R), of newer meters, which have them.",
        default=False,
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
        wanted: what is to be complete.
        pause_s: from one question to the next on average at least.
        context: what jobs are built with; it has a session.
    """

    def __init__(self, wanted: Wanted, pause_s: float, context: JobContext) -> None:
        from kei.meter.history import HistoryReader  # noqa: PLC0415
        from kei.meter.progress import Progress  # noqa: PLC0415

        assert context.session is not None, "a history belongs to a meter"
        assert context.decoder is not None, "a history belongs to a meter"
        self._wanted = wanted
        self._context = context
        self._clock = context.clock
        self._session, self._decoder = context.session, context.decoder
        self._reader = HistoryReader(context.session, context.clock, self._ahead_s, pause_s)
        self._progress = Progress(context.clock)
        self._incidents = self._progress.incidents
        self._filling: Filling | None = None

    def status(self) -> HistoryStatus:
        """Return how far the record has been made complete; any thread."""
        return self._progress.status

    def stop(self) -> None:
        """Make a run end after the question that it asks."""
        self._reader.stop()

    def run(self) -> None:
        """Fill what is missing, as far as the meter can be asked."""
        try:
            while self._wait_for_clock() and not self._fill():
                pass
        except (NotReady, Stopping) as error:
            log.debug("history_held", reason=str(error))
            self._progress.tell("waiting for the meter")
        except StoreError as error:
            self._incidents.raised("history_failed", reason=str(error))
            self._progress.tell("waiting for the disk")
        except RetryLater as error:
            self._incidents.raised("history_missed", reason=str(error))
            self._progress.tell("the meter has not answered, it is asked again later")
        else:
            self._incidents.ended("history_failed")

    def _wait_for_clock(self) -> bool:
        """Wait until the machine's clock can be trusted; return whether it can."""
        end = self._clock.monotonic() + WAIT_FOR_CLOCK_S
        while not self._serves():
            self._progress.tell("waiting for this machine's clock to be set")
            if self._clock.monotonic() > end:
                return False
            self._reader.rest(LOOK_AT_CLOCK_S)
        return True

    def _serves(self, has_clock: bool = True) -> bool:  # noqa: FBT001, FBT002 - a callback
        """Return whether this machine's clock can tell what the meter's days are.

        Args:
            has_clock: whether the meter tells its time; or else a time service has to.
        """
        context = self._context
        if not context.gate.is_steady or context.gate.is_likely_wrong:
            return False
        return has_clock or context.monitor.status.synchronised

    def _fill(self) -> bool:
        """Fill what is missing; return whether that is all, and meter and clock are the same."""
        from kei.meter.filling import ClockDoubted, Filling  # noqa: PLC0415

        if not self._session.is_joined:
            raise NotReady("the meter has not been joined")
        if self._filling is None or self._filling.is_over:
            self._filling = Filling(
                self._wanted,
                self._reader,
                self._decoder,
                self._context.database,
                self._context.recover,
                self._progress,
                self._serves,
            )
        if not self._context.commit():
            self._progress.tell("waiting for readings to be written")
            return True
        try:
            self._filling.run()
        except ClockDoubted as error:
            log.info("history_held", reason=str(error))
            self._progress.tell("waiting for this machine's clock to be set")
            return self._serves()
        return not self._filling.is_over

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
    told = [f"{epc:02X}" for epc in settings.epc] + ["D0"] * settings.one_minute
    days = counted(settings.days, "day")
    # The name says what is filled: so a job that a reload has changed begins at once, although the
    # one before it waits for an answer; the scheduler runs no job of the same name twice.
    yield Planned(
        id=f"history-{settings.days}-days-{'-'.join(told)}",
        what=f"fill gaps of {' '.join(told)} with {days} of the meter's memory",
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
    from kei.meter.filling import Wanted  # noqa: PLC0415

    wanted = Wanted(
        unit,
        settings.days,
        has_reverse=EPC_REVERSE in settings.epc,
        minutes=settings.one_minute,
        retention_ms=round(retention_s * 1000),
    )
    job = HistoryJob(wanted, pause_s, context)
    return Job(job.run, job.stop, history=job.status)


KIND = JobKind(_plan, {"history": HistorySettings})
