"""`kei`, on a machine whose wall clock is off by what a file says, in milliseconds.

Only the wall clock is: monotonic time stays true, as it does when somebody sets the clock of a
real machine. Behind the number the file may say what the kernel says: `synchronised` or not. The
environment's TRUSTED_S is how long the clock has to be trusted before old rows go, seconds, and
TRY_S how long an answer is waited for until it is asked for again. To be
run as `python kei_by_another_clock.py FILE [arguments of kei]`.
"""

import os
import sys
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import apscheduler.schedulers.base

import kei.app.engine
import kei.core.clock
import kei.timekeeping.gate
import kei.wisun.requests
from kei.cli import main
from kei.timekeeping.linux import LinuxClock

OFFSET_FILE = Path(sys.argv[1])


def offset_ms() -> int:
    return int(OFFSET_FILE.read_text().split()[0])


class OtherClock(kei.core.clock.SystemClock):
    def now_ms(self) -> int:
        return super().now_ms() + offset_ms()


class OtherDatetime(datetime):
    """What APScheduler takes the time from."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        shown = datetime.now(UTC) + timedelta(milliseconds=offset_ms())  # noqa: TID251 - see above
        return cls.fromtimestamp(shown.timestamp(), tz)


class OtherKernel(LinuxClock):
    def kernel_synchronised(self) -> bool | None:
        said = OFFSET_FILE.read_text().split()[1:]
        return said == ["synchronised"] if said else super().kernel_synchronised()


if __name__ == "__main__":
    kei.core.clock.SystemClock = OtherClock  # type: ignore[misc]
    apscheduler.schedulers.base.datetime = OtherDatetime
    vars(kei.app.engine)["LinuxClock"] = OtherKernel
    if trusted_s := os.environ.get("TRUSTED_S"):
        vars(kei.timekeeping.gate)["TRUSTED_S"] = float(trusted_s)
    if try_s := os.environ.get("TRY_S"):
        vars(kei.wisun.requests)["TRY_S"] = float(try_s)
    sys.exit(main(sys.argv[2:]))
