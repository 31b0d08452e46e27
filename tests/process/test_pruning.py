"""Old rows go at their hour, by a clock that has been trusted for long enough, sooner or later."""

import time
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock
from programs import ROOT, running
from stored import add_readings

from kei.core.reading import Reading
from kei.jobs.prune import PRUNE_AT_S, STATE_KEY
from kei.store.database import Database

PROGRAM = str(ROOT / "tests" / "support" / "kei_by_another_clock.py")
DAY_S = 86_400
START_S = 2.0  # a start takes about as long


def night() -> float:
    """03:17 of tomorrow, local time."""
    tomorrow = datetime.fromtimestamp(time.time()) + timedelta(days=1)  # noqa: DTZ006, TID251
    return datetime.combine(tomorrow.date(), datetime.min.time()).timestamp() + PRUNE_AT_S


@pytest.mark.parametrize(
    ("begins_s", "trusted_s", "pruned_s"),
    [
        pytest.param(-START_S - 1, 0.5, 0.0, id="trusted before its hour: then"),
        pytest.param(-START_S, 4.0, 4.0 - START_S, id="booted shortly before: as soon as trusted"),
        pytest.param(10 * 3600.0, 1.0, 10 * 3600.0 + 1, id="off at night: at noon"),
    ],
)
def test_old_rows_go_once_the_clock_has_been_trusted_for_long_enough(
    tmp_path: Path, begins_s: float, trusted_s: float, pruned_s: float
) -> None:
    at = night()
    database = Database.open(tmp_path / "kei.db", FakeClock())
    days = [round((at - ago * DAY_S) * 1000) for ago in (5, 0.5)]
    add_readings(database, [Reading(day, "A1", "T1", Decimal(1), "0") for day in days])
    database.set_state(STATE_KEY, str(round((at - DAY_S + 60) * 1000)))  # in the night before
    database.close()
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        f'[[serial]]\nport = "{tmp_path}/none"\n[recorder]\nretention = "1d"\ndatabase = "kei.db"\n'
    )
    offset_s = at + begins_s - time.time()  # noqa: TID251 - an offset to the machine's clock
    (tmp_path / "offset").write_text(str(round(offset_s * 1000)))
    program = (PROGRAM, str(tmp_path / "offset"))
    with running("--jobs", str(jobs), program=program, TRUSTED_S=str(trusted_s)) as kei:
        kei.wait_for_event("pruned")
        (told,) = kei.events("pruned")
        shown_s = datetime.fromisoformat(str(told["timestamp"])).timestamp() + offset_s
        assert pruned_s - 0.1 <= shown_s - at <= max(pruned_s, 0.0) + 15
        assert (told["table"], told["count"]) == ("readings", 1)
        assert kei.stop() == 0
