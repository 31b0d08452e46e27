"""Lives of kei on disks that fail, with kills at every step, power cuts, and a clock that is set.

Whatever happens, in the end text and database hold the same readings, each once and under the right
time; and nothing is lost that was on the disk, or was there to be read by the next process.
"""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError, TextError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.lines import reading_line
from kei.store.queue import UploadQueue
from kei.store.recorder import Recorder
from kei.store.recovery import NEW_DATABASE_DAYS
from kei.store.text import DailyFile
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.monitor import ClockStatus

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
HOUR_MS = 3_600_000
DATED_HOURS = (-20, 0, 13)  # of values with a time of their own, from noon: three days
OFFSETS_MS = (-60 * 24 * HOUR_MS, -HOUR_MS, 5 * HOUR_MS)  # of a wrong clock
FOREVER_S = 1e9
FUSE_MAX = 12  # steps until a kill; some operations have more
FILES = ("kei.db", "kei.db-wal")


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Counts steps down, and ends the process when none is left."""

    def __init__(self) -> None:
        self.left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class Text(DailyFile):
    """Daily files that fail when told to, and know what of them is on the disk."""

    fails = False
    fuse = Fuse()
    synced: dict[Path, int] = {}  # noqa: RUF012 - set for each life

    def append(self, day: date, lines: Sequence[str]) -> tuple[int, int]:
        self.fuse.step()
        if self.fails:
            raise TextError("home.txt: No space left on device")
        result = super().append(day, lines)
        self.fuse.step()
        return result

    def sync(self, days: "Iterator[date] | Sequence[date]" = ()) -> None:  # type: ignore[override]
        self.fuse.step()
        dirty = self._dirty | set(days)
        super().sync(days)
        for day in dirty:
            self.synced[self.path(day)] = self.path(day).stat().st_size
        self.fuse.step()


class Store(Database):
    """A database that fails when told to, and what of it a power cut may leave."""

    fails = False
    fuse = Fuse()
    states: list[dict[str, bytes]] = []  # noqa: RUF012 - set for each life

    @contextlib.contextmanager
    def access(self) -> Iterator[sqlite3.Connection]:
        if self.fails:
            raise StoreError("kei.db: disk is full")
        with super().access() as connection:
            yield connection

    @contextlib.contextmanager
    def transaction(self, generation: int | None = None) -> Iterator[sqlite3.Connection]:
        with super().transaction(generation) as connection:
            yield connection
            self.fuse.step()
        self.states.append(self._present())
        self.fuse.step()

    def sync(self) -> None:
        self.fuse.step()
        super().sync()
        self.states[:] = [self._present()]
        self.fuse.step()

    def _present(self) -> dict[str, bytes]:
        paths = (self._path.with_name(name) for name in FILES)
        return {path.name: path.read_bytes() for path in paths if path.exists()}


@dataclass
class Monitor:
    is_right: bool

    @property
    def status(self) -> ClockStatus:
        return ClockStatus(self.is_right, not self.is_right)


def value_of(line: str) -> int:
    return int(line.split(",")[3])


class Lives(RuleBasedStateMachine):
    """One life of kei after the other."""

    folders: "list[Path]" = []  # noqa: RUF012 - the fixture puts one in

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.folders[0] / str(len(list(self.folders[0].iterdir())))
        self.folder.mkdir()
        self.clock = FakeClock(NOON_MS, TOKYO)
        self.true_ms = NOON_MS - round(self.clock.ticks * 1000)  # of a clock that is right
        self.monitor = Monitor(is_right=True)
        self.boot = 0
        self.number = 0
        self.times: dict[int, int | None] = {}  # of each reading; None if nobody can know it
        self.required: set[int] = set()
        self.optional: set[int] = set()
        self.safe: set[int] = set()  # on the disk
        self.fuse = Fuse()
        self.text = Text(self.folder, "home", "", TOKYO)
        self.database = Store(self.folder / "kei.db", self.clock)
        self.born()

    def born(self) -> None:
        texts_fail, database_fails = self.text.fails, self.database.fails
        self.fuse.left = None
        synced, states = self.text.synced if self.number else {}, self.database.states
        self.database = Store(self.folder / "kei.db", self.clock)
        self.database.fuse, self.database.fails = self.fuse, database_fails
        self.database.states = states if self.number else [{}]
        self.text = Text(self.folder, "home", "", TOKYO)
        self.text.fuse, self.text.fails, self.text.synced = self.fuse, texts_fail, synced
        self.gate = TimeGate(self.clock, self.monitor, FOREVER_S)
        self.recorder = Recorder(
            self.database, self.text, self.gate, clock=self.clock, boot=str(self.boot), bound=8
        )
        self.recorder.start()

    def do(self, operation: Callable[[], object], steps: int | None) -> None:
        """Do something, and die after some steps of it."""
        self.fuse.left = steps
        in_memory = self.in_memory()
        dropped = self.recorder.status().text.dropped
        try:
            with contextlib.suppress(StoreError):
                operation()
        except Killed:
            lost = in_memory | self.in_memory()
            self.required -= lost
            self.optional |= lost
            self.killed()
            return
        self.fuse.left = None
        if self.recorder.status().text.dropped > dropped:
            gone = in_memory | (self.required - self.elsewhere())
            self.required -= gone - self.in_memory()
            self.optional |= gone

    def in_memory(self) -> set[int]:
        return {int(item.reading.value) for item in self.recorder._writer._fresh}

    def elsewhere(self) -> set[int]:
        """What is in the text or in `pending`, as the files say."""
        found = {value_of(line) for line in self.lines()}
        path = self.folder / "kei.db"
        if path.exists():
            with contextlib.closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT value FROM pending").fetchall()
            found |= {int(value) for (value,) in rows}
        return found

    def lines(self) -> list[str]:
        return [
            line
            for path in sorted(self.folder.glob("*-home.txt"))
            for line in path.read_text().split("\n")[:-1]  # without a torn one
        ]

    @rule(
        count=st.integers(1, 5),
        hours=st.sampled_from([None, None, None, *DATED_HOURS]),
        steps=st.none() | st.integers(0, FUSE_MAX),
    )
    def record(self, count: int, hours: int | None, steps: int | None) -> None:
        readings = []
        for number in range(self.number, self.number + count):
            ticks_ms = round(self.clock.ticks * 1000)
            true_ms = self.true_ms + ticks_ms
            if hours is None:
                time_ms, made_ms = self.clock.now_ms(), ticks_ms
            else:
                time_ms = true_ms = NOON_MS + hours * HOUR_MS + number * 1000
                made_ms = None
            self.times[number] = true_ms
            sensor = "E7" if hours is None else "EA"
            readings.append(Reading(time_ms, "BR", sensor, Decimal(number), "x", made_ms))
            self.clock.advance(1)
        new = set(range(self.number, self.number + count))
        self.number += count
        record = self.recorder.record if hours is None else self.recorder.record_once
        (self.optional if steps is not None else self.required).update(new)
        self.do(lambda: record(readings), steps)
        if steps is not None:
            kept = new & self.elsewhere()
            self.required |= kept
            self.optional -= kept

    @rule(seconds=st.sampled_from([0.5, 5, 38, 600]), steps=st.none() | st.integers(0, FUSE_MAX))
    def time_passes(self, seconds: float, steps: int | None) -> None:
        self.clock.advance(seconds)
        self.do(self.recorder.tick, steps)

    @rule(steps=st.none() | st.integers(0, FUSE_MAX))
    def commit(self, steps: int | None) -> None:
        self.do(self.recorder.commit, steps)

    @rule()
    def sync(self) -> None:
        self.do(self.recorder.sync, None)
        if not self.recorder.failing:
            self.safe = self.elsewhere() & self.required

    @rule(steps=st.none() | st.integers(0, FUSE_MAX))
    def upload_syncs_the_database(self, steps: int | None) -> None:
        self.do(self.database.sync, steps)

    @rule()
    def text_disk_fails(self) -> None:
        self.text.fails = True

    @rule()
    def database_disk_fails(self) -> None:
        self.database.fails = True

    @rule()
    def text_disk_works(self) -> None:
        self.text.fails = False

    @rule()
    def database_disk_works(self) -> None:
        self.database.fails = False

    @rule(offset_ms=st.sampled_from(OFFSETS_MS))
    @precondition(lambda self: not self.monitor.is_right)
    def clock_is_set_wrong_again(self, offset_ms: int) -> None:
        self.set_clock(offset_ms)
        self.gate.stepped()
        self.do(self.recorder.synchronised, None)

    @rule(steps=st.none() | st.integers(0, FUSE_MAX), noticed=st.booleans())
    @precondition(lambda self: not self.monitor.is_right)
    def clock_is_set_right(self, steps: int | None, *, noticed: bool) -> None:
        self.set_clock(0)
        if not noticed:  # a reading comes before the monitor looks
            self.record(1, None, None)
        self.monitor.is_right = True
        self.gate.synchronised()
        self.do(self.recorder.synchronised, steps)

    def set_clock(self, offset_ms: int) -> None:
        self.clock.wall_ms = self.true_ms + round(self.clock.ticks * 1000) + offset_ms

    @rule()
    def ended_and_started_again(self) -> None:
        if self.text.fails or self.database.fails:
            return
        self.recorder.close()
        self.database.close()
        self.born()

    @rule()
    def killed(self) -> None:
        lost = self.in_memory()
        self.required -= lost
        self.optional |= lost
        self.vanish()
        self.born()

    def vanish(self) -> None:
        self.fuse.left = None
        if self.database._connection is not None:
            self.database._connection.close()
        with contextlib.suppress(StoreError):
            self.text.fails = self.text.fails
            for day in list(self.text._open):
                self.text._close(day)

    @rule(data=st.data(), offset_ms=st.sampled_from((0, *OFFSETS_MS)))
    def power_is_cut(self, data: st.DataObject, offset_ms: int) -> None:
        states, synced = list(self.database.states), dict(self.text.synced)
        in_pending = self.elsewhere() - {value_of(line) for line in self.lines()}
        in_pending |= self.in_memory()
        self.vanish()
        for path in sorted(self.folder.glob("*-home.txt")):
            size, least = path.stat().st_size, synced.get(path, 0)
            left = data.draw(st.integers(min(least, size), size))
            os.truncate(path, left)
            if not left:
                path.unlink()
            synced[path] = left
        state = data.draw(st.sampled_from(states))
        for name in (*FILES, "kei.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        for name, content in state.items():
            (self.folder / name).write_bytes(content)
        self.optional |= self.required - self.safe
        self.required &= self.safe
        self.boot += 1
        for number in self.required | self.optional:
            if number in in_pending or number not in {value_of(line) for line in self.lines()}:
                self.times[number] = None  # the clock of another boot says nothing
        self.database.states = [state]
        self.text.synced = synced
        self.monitor.is_right = offset_ms == 0
        self.set_clock(offset_ms)
        self.born()

    @rule(rescued=st.booleans(), steps=st.none() | st.integers(0, FUSE_MAX))
    @precondition(lambda self: not (self.text.fails or self.database.fails))
    def database_is_removed(self, steps: int | None, *, rescued: bool) -> None:
        if not (rescued or (self.monitor.is_right and self.has_new_files_only())):
            return
        self.remove_database()
        self.clock.advance(5)
        self.do(self.recorder.commit, None)  # nobody has looked yet
        with pytest.MonkeyPatch.context() as patch:
            if not rescued:
                patch.setattr("kei.store.database.rescue", lambda *_: False)
            self.do(self.recorder.tick, steps)
        assert (self.folder / "kei.db").exists()
        if rescued:  # which syncs it
            self.database.states[:] = [self.database._present()]

    @rule()
    @precondition(lambda self: self.monitor.is_right)
    @precondition(lambda self: not (self.text.fails or self.database.fails))
    def killed_and_database_removed(self) -> None:
        if not self.has_new_files_only():
            return
        self.do(self.recorder.commit, None)
        self.vanish()
        self.remove_database()
        self.born()

    @rule(steps=st.none() | st.integers(0, FUSE_MAX))
    @precondition(lambda self: not (self.text.fails or self.database.fails))
    def database_is_replaced_by_a_copy(self, steps: int | None) -> None:
        with contextlib.closing(sqlite3.connect(self.folder / "kei.db")) as connection:
            connection.execute("VACUUM INTO ?", (str(self.folder / "copy.db"),))
        self.record(2, None, None)
        self.do(self.recorder.commit, None)
        (self.folder / "copy.db").replace(self.folder / "kei.db")
        self.clock.advance(5)
        self.do(self.recorder.commit, None)  # nobody has looked yet
        self.do(self.recorder.tick, steps)
        self.database.states[:] = [self.database._present()]

    def has_new_files_only(self) -> bool:
        """Whether a new database takes over all: it does the days of today and yesterday."""
        recent = {self.text.day_of(self.clock.now_ms() - hours * HOUR_MS) for hours in (0, 24)}
        return recent.issuperset(self.text.days()[:-NEW_DATABASE_DAYS])

    def remove_database(self) -> None:
        for name in (*FILES, "kei.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        self.database.states[:] = [{}]

    @invariant()
    def when_all_is_well_both_have_everything_once(self) -> None:
        if self.text.fails or self.database.fails:
            return
        self.clock.advance(5)
        self.recorder.tick()
        self.recorder.commit()
        lines = self.lines()
        queued = UploadQueue(self.database).pending("test", What.READINGS, 100_000)
        rows = [reading_line(row.item, TOKYO) for row in queued if isinstance(row.item, Reading)]
        assert Counter(lines) == Counter(rows)
        with self.database.access() as connection:
            pending = [int(value) for (value,) in connection.execute("SELECT value FROM pending")]
        found = Counter(map(value_of, lines)) + Counter(pending)
        assert [value for value, count in found.items() if count > 1] == []
        assert self.required <= found.keys() <= self.required | self.optional
        if self.monitor.is_right:
            assert pending == []
        self.required, self.optional = set(found), set()
        for line in lines:
            true_ms = self.times[value_of(line)]
            if true_ms is not None:
                sensor = line.split(",")[2]
                made = Reading(true_ms, "BR", sensor, Decimal(value_of(line)), "x")
                assert line == reading_line(made, TOKYO)

    def teardown(self) -> None:
        self.vanish()


@pytest.mark.timeout(300)
def test_lives(tmp_path: Path) -> None:
    Lives.folders = [tmp_path]
    with capture_logs():
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=int(os.environ.get("KEI_LIVES", "25")),
                # The same lives each time; others when somebody asks for a number of them.
                derandomize="KEI_LIVES" not in os.environ,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
