"""The job that sums up each window of the day as soon as it is over."""

from collections.abc import Iterator
from functools import partial

from kei.jobs.kinds import (
    AfterWindows,
    Event,
    Executor,
    Job,
    JobContext,
    JobKind,
    Planned,
    duration,
)
from kei.meter.expected import cycles_of
from kei.settings.config import Config

DELAY_S = 3  # after the window: a reading of its last instant has been written by then


def _plan(config: Config) -> Iterator[Planned]:
    cycle_s = config.summary.cycle_s
    yield Planned(
        id="summary",
        what=f"averages of each {duration(cycle_s)}",
        schedule=AfterWindows(cycle_s, DELAY_S),
        executor=Executor.SUMMARY,
        origin=(config.summary, cycles_of(config.broute)),
        build=partial(_build, config),
        also_after=Event.READY,  # windows that ended while kei was stopped, or lines waited
    )


def _build(config: Config, context: JobContext) -> Job:
    from kei.store.summaries import Summariser  # noqa: PLC0415

    cycles = cycles_of(config.broute)
    summariser = Summariser(
        context.database,
        context.sums,
        context.gate,
        config.summary.cycle_s,
        expected=lambda unit, sensor: cycles.get((unit, sensor)),
        commit=context.commit,
        on_new=partial(context.run_after, Event.SUMMARISED),
    )
    return Job(summariser.run)


KIND = JobKind(_plan)
