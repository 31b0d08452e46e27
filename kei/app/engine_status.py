"""How everything of an engine is: for `kei status`, the page, brokers, servers and systemd."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from kei import __version__
from kei.app.health import costs_of, health_of
from kei.app.job_set import JobSet
from kei.app.meter_line import MeterLine
from kei.app.sensor_lines import SensorLines
from kei.app.workers import Workers
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.incidents import Incidents, Lasting
from kei.core.printable import counted
from kei.core.reading import Reading
from kei.jobs.heartbeat import HeartbeatStatus
from kei.jobs.scheduler import Scheduler
from kei.mqtt.sources import MeterNow
from kei.mqtt.status import MqttStatus
from kei.sensors.counters import ReaderStatus
from kei.settings.config import Config
from kei.status.facts import Answer, facts_of, read_database
from kei.status.outline import outline_of
from kei.status.rules import problems_of
from kei.status.sentences import NAMES_MAX
from kei.status.snapshot import PageStatus, Snapshot, clipped, doing, status_summary
from kei.store.intake_queue import IntakeQueue
from kei.store.recorder import Recorder
from kei.store.sinks import SinkStatus
from kei.timekeeping.monitor import ClockMonitor
from kei.upload.health import Health
from kei.wisun.interfaces import SessionStatus

if TYPE_CHECKING:
    from kei.meter.figures import PresentFigures


@dataclass(frozen=True)
class EngineStatus:
    """Tells how everything of an engine is. Any thread; never blocks, if not said otherwise.

    Attributes:
        config: returns the present configuration, which a reload replaces.
        refused: returns why a newer jobs.toml is not in force, one line each.
        begun_s: monotonic seconds at the engine's start.
        job_set: returns the jobs, which are made with what is told here.
        mqtt: returns how the connection to a broker is; None without `[mqtt]`.
        page: returns whether the page is served; None without `[web]`.
        cost_incidents: remembers whether costs could be computed.
    """

    config: Callable[[], Config]
    refused: Callable[[], Sequence[str]]
    clock: Clock
    begun_s: float
    monitor: ClockMonitor
    recorder: Recorder
    intake: IntakeQueue
    scheduler: Scheduler
    workers: Workers
    sensors: SensorLines
    meter: MeterLine
    job_set: Callable[[], JobSet]
    mqtt: Callable[[], MqttStatus | None]
    page: Callable[[], PageStatus | None]
    cost_incidents: Incidents

    def snapshot(self) -> Snapshot:
        """Return what everything is doing now."""
        recorder, meter = self.recorder.status(), self.meter.meter
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            up_s=round(self.clock.monotonic() - self.begun_s, 1),
            clock=self.monitor.status,
            session=_public_session(meter.session.status()) if meter else None,
            recorder=replace(
                recorder, text=_public(recorder.text), database=_public(recorder.database)
            ),
            sensors=tuple(_public(port) for port in self.sensors.status()),
            uploads=tuple(
                replace(status, last_error=_public_text(status.last_error))
                for status in (sender.status() for sender in self.job_set().senders)
            ),
            lines=logs.recent_lines(),
            meter_clock=meter.decoder.meter_clock.status if meter else None,
            mqtt=_public(mqtt) if (mqtt := self.mqtt()) else None,
            history=self.job_set().history(),
            page=_public(page) if (page := self.page()) else None,
            heartbeat=_public(told) if (told := self.job_set().heartbeat()) else None,
            outline=outline_of(self.config(), self.clock),
            refused=tuple(_public_text(each) or "" for each in self.refused()[:NAMES_MAX]),
        )

    def meter_now(self) -> MeterNow | None:
        """Return the meter of now; None without a `[broute]` table."""
        meter = self.meter.meter
        if meter is None:
            return None
        decoder = meter.decoder
        return MeterNow(decoder.meter, decoder.met_at, decoder.readable, meter.session.status())

    @cached_property
    def figures(self) -> "PresentFigures":
        """What computes the energy and cost of now."""
        # Half a megabyte that most do not need: neither a page nor a broker that is told prices.
        from kei.meter.figures import PresentFigures  # noqa: PLC0415

        return PresentFigures(self.config, self.clock)

    def health(self) -> Health:
        """Return numbers about kei and its machine."""
        meter = self.meter.meter
        return health_of(
            meter.session.status() if meter else None,
            self.monitor.status,
            self.clock.monotonic() - self.begun_s,
            self.config().recorder.database.parent,
            self.clock,
        )

    def health_with_costs(self) -> Health:
        """Return health and what electricity costs; reads the disk when that may have changed."""
        found, config = self.health(), self.config()
        # By a clock that is wrong the costs would be those of another month.
        if config.broute is None or config.tariff is None or found.time_ms is None:
            return found
        try:
            costs = costs_of(self.figures.figures())
        except KeiError as error:
            self.cost_incidents.raised("figures_not_read", reason=str(error))
            return found
        self.cost_incidents.ended("figures_not_read")
        return replace(found, numbers={**found.numbers, **costs})

    def problems(self) -> tuple[str, ...]:
        """Return what `kei status` would name, one line each; reads the disk."""
        outline, answer = outline_of(self.config(), self.clock), Answer(self.snapshot())
        stored = read_database(outline, self.clock)
        broken = problems_of(facts_of(outline, answer, stored, self.clock))
        hanging = [f"hangs: {', '.join(names)}"] if (names := self.stuck()) else []
        return *(f"{each.rule.value}: {each.detail}" for each in broken), *hanging

    def summary(self) -> str:
        """Return in one line what is being done, and what is in the way."""
        meter = self.meter.meter
        session = meter.session if meter else None
        summary = status_summary(
            doing(session.state, is_pausing=session.is_pausing) if session else None,
            self.sensors.are_open(),
            self.recorder.failing,
            self._failing_uploads(),
        )
        return summary or "nothing to record"

    def _failing_uploads(self) -> list[str]:
        return [sender.name for sender in self.job_set().senders if sender.is_failing]

    def live(self) -> tuple[Mapping[str, Reading] | None, Lasting | None, str]:
        """Return what the live line shows: readings, what keeps the meter away, what else there is.

        The readings are the meter's latest; None without a meter.
        """
        ports, failing = self.sensors.are_open(), self._failing_uploads()
        meter, broute = self.meter.meter, self.config().broute
        told = status_summary(None, ports, self.recorder.failing, failing)
        if meter is None or broute is None:
            return None, None, told
        history = self.job_set().history()
        if history is not None and history.days_left:
            told = f"filling gaps, {counted(history.days_left, 'day')} left  {told}".rstrip()
        fault = meter.session.fault
        public = fault and replace(fault, why=_public_text(fault.why) or "")
        return self.intake.latest(broute.unit), public, told

    def stuck(self) -> list[str]:
        """Return the names of what hangs, so that only a new process helps."""
        hanging = ["scheduler"] if self.scheduler.heartbeat.has_stopped else []
        return self.workers.stuck() + hanging


def _public_session(status: SessionStatus) -> SessionStatus:
    return replace(status, firmware=clipped(status.firmware), fault=_public_text(status.fault))


_Fallible = TypeVar("_Fallible", SinkStatus, ReaderStatus, MqttStatus, PageStatus, HeartbeatStatus)


def _public(status: _Fallible) -> _Fallible:
    return replace(status, fault=_public_text(status.fault))


def _public_text(text: str | None) -> str | None:
    """Return a text that everybody may see: without secrets, and of a bounded length."""
    return None if text is None else clipped(logs.masker.mask(text))
