"""`kei import`: daily text files of any age, of kei or keilog, into the database."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kei import config
from kei.commands.progress import ProgressLine
from kei.core import logs
from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.printable import counted
from kei.core.single_instance import InstanceLock
from kei.jobs.kinds import duration
from kei.settings.config import Config
from kei.settings.upload import UploadTarget
from kei.store.database import Database
from kei.store.importing import Imported, Importer
from kei.store.queue import UploadQueue
from kei.store.recovery import is_new
from kei.store.text import DailyFile


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be said.

    Attributes:
        line: with its end.
        is_good: False for an error, which belongs on stderr.
    """

    line: str
    is_good: bool = True


def import_files(
    path: Path,
    files: Sequence[Path],
    line: ProgressLine,
    *,
    environ: Mapping[str, str],
    clock: Clock,
) -> Iterator[Said]:
    """Add the lines of files to the database, and yield a line about each; a bad one ends nothing.

    Args:
        path: jobs.toml; secrets that it refers to are not needed.
        files: in the order in which they are read.
        line: for the progress.
        environ: the environment.
        clock: for the local time zone, in which the lines are.

    Raises:
        ConfigError: jobs.toml does not validate.
        StoreError: kei runs, or the database fails.
    """
    wanted = config.load(path, environ=environ, with_secrets=False)
    logs.configure_stderr(environ)
    recorder = wanted.recorder
    lock = InstanceLock(recorder.database, recorder.directory / recorder.fname_base)
    try:
        _make_for_owner(recorder.database)
        database = Database.open(recorder.database, clock)
        text = DailyFile(recorder.directory, recorder.fname_base, "", clock.zone)
        try:
            queue = UploadQueue(database)
            known = [each for each in wanted.upload if queue.is_registered(each.name, each.what)]
            is_lost = lock.text_was_locked and is_new(database)
            importer = Importer(database, text, clock, wanted.summary.cycle_s)
            yield from _import(importer, files, line, wanted, clock, known)
            if is_lost:  # what kei takes over from the text when it starts is sent again
                for target in wanted.upload:
                    queue.register(target.name, target.what, target.since_ms(clock.zone))
        finally:
            text.close()
            database.close()
    finally:
        lock.release()


def _import(
    importer: Importer,
    files: Sequence[Path],
    line: ProgressLine,
    wanted: Config,
    clock: Clock,
    known: Sequence[UploadTarget],
) -> Iterator[Said]:
    added, oldest_ms = 0, clock.now_ms()
    for number, file in enumerate(files, start=1):
        what = f"reading {file.name} ({number} of {len(files)})"
        try:
            with line:
                found = importer.add(file, partial(line.show, what))
        except StoreError as error:
            yield Said(f"kei: {error}\n", is_good=False)
            continue
        yield _summary(file, found)
        added += found.added
        oldest_ms = min(oldest_ms, found.oldest_ms or oldest_ms)
    if not added:
        return
    if known:
        names = ", ".join(target.name for target in known)
        yield Said(f"note: what was added is sent to the upload servers as well: {names}\n")
    elif wanted.upload:
        yield Said("note: upload servers get what was added only as `since` in [[upload]] says\n")
    retention_s = wanted.recorder.retention_s
    if oldest_ms < clock.now_ms() - retention_s * 1000:
        yield Said(
            f"note: readings that are older than retention = {duration(retention_s)} leave the"
            " database in the night after the next start; set a longer one before that\n"
        )


def _summary(file: Path, found: Imported) -> Said:
    if not found.lines:
        return Said(f"{file}: is empty\n")
    lines = counted(found.lines, "line")
    rejected = ""
    if found.first_rejected is not None:
        number, reason = found.first_rejected
        if found.rejected == found.lines:
            remedy = "import daily text files of kei or keilog"
            text = f"kei: {file}: {lines}, none understood: {reason}; {remedy}\n"
            return Said(text, is_good=False)
        rejected = f", {found.rejected} not understood, the first is line {number}: {reason}"
    return Said(f"{file}: {lines}, {found.added} added, {found.known} already there{rejected}\n")


def _make_for_owner(database: Path) -> None:
    """Make a missing database for the owner of its folder, if root imports: kei has to open it."""
    owner = database.parent.stat()
    if os.geteuid() != 0 or owner.st_uid == 0 or os.path.lexists(database):
        return
    fd = os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.fchown(fd, owner.st_uid, owner.st_gid)
    finally:
        os.close(fd)
