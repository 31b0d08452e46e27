"""A program that records into a folder; the tests kill it, or let its disk fill up.

`recording.py FOLDER endless` records number after number and writes out each once it is recorded.
`recording.py FOLDER limited` records while files may not grow beyond a limit, and then without it.
"""

import contextlib
import json
import resource
import sys
from dataclasses import asdict
from decimal import Decimal
from itertools import count
from pathlib import Path

from fakes import TOKYO, FakeClock
from stored import daily, recorder_of

from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.recorder import Recorder

BEGIN_MS = 1_790_000_000_000
LIMIT_BYTES = 100_000
READINGS = 5000


def reading(number: int) -> Reading:
    return Reading(BEGIN_MS + number, "BR", "E7", Decimal(number), "x")


def endless(recorder: Recorder) -> None:
    for number in count():
        recorder.record([reading(number)])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def limited(recorder: Recorder) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    for number in range(READINGS):
        recorder.record([reading(number)])
    with contextlib.suppress(StoreError):
        recorder.commit()
    full = asdict(recorder.status())
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    recorder.sync()
    json.dump({"full": full, "after": asdict(recorder.status())}, sys.stderr)


def main() -> None:
    folder = Path(sys.argv[1])
    database = Database.open(folder / "kei.db", FakeClock(zone=TOKYO))
    recorder = recorder_of(database, daily(folder))
    {"endless": endless, "limited": limited}[sys.argv[2]](recorder)
    recorder.close()
    database.close()


if __name__ == "__main__":
    main()
