"""`kei backup` and `kei restore`: a copy of the database while kei runs, and the way back."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from kei import config
from kei.commands.progress import ProgressLine
from kei.core.clock import Clock, local
from kei.core.single_instance import InstanceLock
from kei.store import backup
from kei.store.backup import Content
from kei.store.text import DailyFile


def back_up(
    path: Path, target: Path, line: ProgressLine, *, environ: Mapping[str, str], clock: Clock
) -> Iterator[str]:
    """Write a copy of the database to a file, and yield what has been done, a line for stdout each.

    Args:
        path: jobs.toml; secrets that it refers to are not needed.
        target: the copy; an older one is replaced.
        line: for the progress.
        environ: the environment.
        clock: for the local time zone.

    Raises:
        ConfigError: jobs.toml does not validate.
        StoreError: nothing was written, and an older copy is still there.
    """
    database = config.load(path, environ=environ, with_secrets=False).recorder.database
    with line:
        content = backup.back_up(database, target, partial(line.show, f"copying {database.name}"))
    yield f"{target}: {_described(content, clock)}\n"


def restore(
    path: Path, source: Path, line: ProgressLine, *, environ: Mapping[str, str], clock: Clock
) -> Iterator[str]:
    """Put a copy in the place of the database; see `back_up`.

    Raises:
        ConfigError: jobs.toml does not validate.
        StoreError: kei runs, or the copy cannot be used; the database is as it was.
    """
    recorder = config.load(path, environ=environ, with_secrets=False).recorder
    database = recorder.database
    text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
    lock = InstanceLock(database)
    try:
        with line:
            show = partial(line.show, f"copying {source.name}")
            done = backup.restore(source, database, text, clock, show)
    finally:
        lock.release()
    yield f"{database}: restored from {source}, {_described(done.content, clock)}\n"
    if done.aside is not None:
        yield f"{done.aside}: the database before that; remove it when all is well\n"


def _described(content: Content, clock: Clock) -> str:
    kib = content.size_bytes / 1024
    size = f"{kib:.0f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"
    if content.newest_ms is None:
        return f"{size}, no readings"
    return f"{size}, readings until {local(content.newest_ms, clock.zone):%Y-%m-%d %H:%M:%S}"
