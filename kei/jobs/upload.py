"""The job that posts what is new to a server."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.jobs.kinds import Event, Every, Executor, Job, JobContext, JobKind, Planned
from kei.settings.config import Config
from kei.settings.upload import UploadTarget, What

if TYPE_CHECKING:
    from kei.store.database import Database
    from kei.upload.sender import Sender

log = structlog.stdlib.get_logger("kei.wiring")


def _plan(config: Config) -> Iterator[Planned]:
    for target in config.upload:
        # As soon as a window has been summed up its server is to have it. And what is remembered
        # of the upload goes onto the pages of the database that have just changed, before Linux
        # writes them: the card wears less. Who wants fewer posts than windows gets fewer.
        is_often = target.cycle_s <= config.summary.cycle_s
        yield Planned(
            id=f"upload-{target.name}",
            what=f"post what is new to {target.name}",
            schedule=Every(target.cycle_s),
            executor=Executor.UPLOAD,
            origin=target,
            build=partial(_build, target, config.recorder.fname_base),
            also_after=Event.SUMMARISED if target.what is What.SUMMARY and is_often else None,
        )


def _build(target: UploadTarget, fname_base: str, context: JobContext) -> Job:
    sender = build_sender(
        target,
        fname_base,
        context.database,
        context.commit,
        clock=context.clock,
        rng=context.rng,
    )
    return Job(sender.flush, sender.stop, sender)


def build_sender(
    target: UploadTarget,
    fname_base: str,
    database: Database,
    commit: Callable[[], None],
    *,
    clock: Clock,
    rng: random.Random,
) -> Sender:
    """Build the sender of a target, and give the target its place in the queue.

    Args:
        target: as jobs.toml has it.
        fname_base: of the text files.
        database: the queue.
        commit: brings everything recorded into it.
        clock: wall and monotonic time.
        rng: for the jitter of pauses.
    """
    from kei.store.dead_letters import RetryQueue  # noqa: PLC0415
    from kei.store.queue import UploadQueue  # noqa: PLC0415
    from kei.upload.formats.registry import format_of  # noqa: PLC0415
    from kei.upload.http import Http  # noqa: PLC0415
    from kei.upload.sender import Sender  # noqa: PLC0415
    from kei.upload.target import Compression, FormatName, Target  # noqa: PLC0415

    queue = UploadQueue(database, commit)
    try:
        queue.register(target.name, target.what, target.since_ms(clock.zone))
    except StoreError as error:  # one that is known already has its place in the queue
        log.warning("upload_not_registered", target=target.name, reason=str(error))
    wanted = Target(
        name=target.name,
        url=target.target_url,
        key=target.upload_key.reveal() if target.upload_key else None,
        format=FormatName(target.format.value),
        kind=target.what,
        fname_base=fname_base,
        cycle_s=target.cycle_s,
        max_bytes=target.max_bytes,
        min_interval_s=target.min_interval_s,
        timeout_s=target.timeout_s,
        compression=Compression(target.compress.value),
        headers={name: value.reveal() for name, value in target.headers},
    )
    return Sender(
        wanted,
        [RetryQueue(database), queue],
        format_of(wanted, socket.gethostname(), clock.zone),
        Http(clock),
        clock=clock,
        random=rng,
        log=structlog.stdlib.get_logger("kei.upload"),
    )


KIND = JobKind(_plan)
