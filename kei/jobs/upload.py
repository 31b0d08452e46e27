"""The job that posts what is new to a server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kei.jobs.kinds import Event, Every, Executor, Job, JobContext, JobKind, Planned, duration
from kei.settings.config import Config
from kei.settings.upload import UploadTarget, What


def _plan(config: Config) -> Iterator[Planned]:
    for target in config.upload:
        # Soon after a window has been summed up its server is to have it. And what is remembered
        # of the upload goes onto the pages of the database that have just changed, before Linux
        # writes them: the card wears less. Who wants fewer posts than windows gets fewer.
        is_often = target.cycle_s <= config.summary.cycle_s
        yield Planned(
            id=f"upload-{target.name}",
            what=_what(target),
            schedule=Every(target.run_cycle_s, asks_server=True),
            executor=Executor.UPLOAD,
            origin=(target, config.site),
            build=partial(_build, target, config.site.name, config.recorder.fname_base),
            also_after=Event.SUMMARISED if target.what is What.SUMMARY and is_often else None,
        )


def _what(target: UploadTarget) -> str:
    what = f"post what is new to {target.name}"
    if target.run_cycle_s < target.cycle_s:
        return f"post how kei is; {what} every {duration(target.cycle_s)}"
    return f"{what}, and how kei is" if target.health else what


def _build(target: UploadTarget, source: str, fname_base: str, context: JobContext) -> Job:
    from kei.upload.batching import Origin  # noqa: PLC0415
    from kei.upload.sender import build_sender  # noqa: PLC0415

    sender = build_sender(
        target,
        Origin(source, fname_base, context.clock.zone),
        context.database,
        context.commit,
        clock=context.clock,
        rng=context.rng,
        look=context.health,
    )
    return Job(sender.flush, sender.stop, sender)


KIND = JobKind(_plan)
