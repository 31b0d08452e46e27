"""A real kei that is killed at random instants, again and again, and what is there afterwards."""

import random
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fakes import TOKYO
from programs import PATIENCE_S, SIMULATED, Program, running, write_jobs

from kei.store import read_only
from kei.store.lines import reading_line
from kei.store.read_only import Query
from kei.store.text import DailyFile

REQUESTS = "\n".join(f'[[broute.requests]]\nepc = ["{epc}"]\ncycle = 0.1' for epc in ("E7", "E0"))
E7_ANSWER = r"r\x01\xe7"  # Get_Res of one property, as a transcript shows it
ACKNOWLEDGED_S = 1.0  # what was received longer ago than this must not be lost
RECORDING_SHARE = 0.7  # of the kills come while kei records, the others while it starts
LONGEST_S = 1.5  # from the start, or from the first reading, to the kill
FOREVER = Query(0, 2**52)


@dataclass(frozen=True)
class Death:
    """What one kill left.

    Attributes:
        lines: of the text, all in all.
        lost: of those that were seen in the text before.
        unrecorded: answers received more than a second before, less the lines of them.
        differences: between text and what is exported.
    """

    lines: int
    lost: int
    unrecorded: int
    differences: int


class Victim:
    """A kei in a folder, and a meter that dies with it; of what it said, there is a record.

    Args:
        folder: an empty one.
        seed: of the instants.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._random = random.Random(seed)
        self._transcript = folder / "transcript.txt"
        port = f"{SIMULATED},transcript={self._transcript}"
        # A summary each second, so that kills meet windows being computed and written, too.
        self._jobs = write_jobs(folder, port, "[summary]\ncycle = 1", requests=REQUESTS)

    def die(self) -> Death:
        """Let kei live for a random time, and kill it."""
        there = self._text().total()
        with self._running() as kei:
            if self._random.random() < RECORDING_SHARE:
                kei.wait_for(lambda: self._text().total() > there, 20, "a reading")
            try:
                kei.process.wait(self._random.uniform(0, LONGEST_S))
            except subprocess.TimeoutExpired:
                seen = self._text()
                kei.process.kill()
                killed_at = time.time()  # noqa: TID251 - to compare with the transcript
                kei.process.wait(PATIENCE_S)
            else:
                raise AssertionError(f"kei ended by itself:\n{kei.output()}")
        text = self._text()
        before = datetime.fromtimestamp(killed_at - ACKNOWLEDGED_S, TOKYO).isoformat()
        said = self._transcript.read_text() if self._transcript.exists() else ""
        answered = sum(E7_ANSWER in line and line < before for line in said.splitlines())
        lines_of_e7 = sum(count for line, count in text.items() if ",E7," in line)
        return Death(
            lines=sum(text.values()),
            lost=sum((seen - text).values()),
            unrecorded=max(0, answered - lines_of_e7),
            differences=_differences(text, self.exported()),
        )

    def live_and_end(self) -> int:
        """Let kei start, settle what the last kill left, and end; return its exit code."""
        before = self._summary_lines()
        with self._running() as kei:
            kei.wait_for_event("session_joined")
            # Lines are written in order: with a new one there, those left over are, too.
            kei.wait_for(lambda: self._summary_lines() > before, 20, "a window")
            return kei.stop()

    def exported(self) -> Counter[str]:
        """What `kei export` has to say, as lines of the text."""
        database = self.folder / "kei.db"
        if not database.exists():
            return Counter()
        text = DailyFile(self.folder, "mydatafile", "", TOKYO)
        return Counter(reading_line(r, TOKYO) for r in read_only.readings(database, text, FOREVER))

    def in_database(self) -> int:
        """How many readings are in the database alone, which has to be sound."""
        with sqlite3.connect(self.folder / "kei.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (count,) = connection.execute("SELECT count(*) FROM readings").fetchone()
        connection.close()
        return int(count)

    def has_every_window_once(self) -> bool:
        """Whether each window has its line; but those that late readings began need not."""
        lines = self._summary_lines()
        with sqlite3.connect(self.folder / "kei.db") as connection:
            every, first = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE state != 'recovered') FROM summaries"
            ).fetchone()
        connection.close()
        return bool(0 < first <= lines <= every)

    def _summary_lines(self) -> int:
        return sum(len(file.read_text().splitlines()) for file in self.folder.glob("sum*.txt"))

    def _running(self) -> AbstractContextManager[Program]:
        return running("--jobs", str(self._jobs), cwd=self.folder, TZ="Asia/Tokyo")

    def _text(self) -> Counter[str]:
        files = self.folder.glob("[0-9]*-mydatafile.txt")
        whole = [text[: text.rfind("\n") + 1] for text in (file.read_text() for file in files)]
        return Counter(line for text in whole for line in text.splitlines())


def _differences(one: Counter[str], other: Counter[str]) -> int:
    return sum(((one - other) + (other - one)).values())
