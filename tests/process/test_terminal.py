"""kei on a terminal: what a person sees of a start, and of what is wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import BROUTE_PWD, PATIENCE_S, ROOT, simulator, wait_until, write_jobs

NO_ID = "FF" * 16
QUICK = "sim:latency=0,scan-time=1,join-time=2"
EVERY_SECOND = '[[broute.requests]]\nepc = ["E7", "E0", "E8"]\ncycle = 1'


class Seen:
    """What has come to the terminal so far."""

    def __init__(self, ours: int) -> None:
        os.set_blocking(ours, False)
        self._ours: int | None = ours
        self._text = ""

    def text(self) -> str:
        """All of it, control characters included."""
        try:
            while self._ours is not None and (data := os.read(self._ours, 65_536)):
                self._text += data.decode()
        except OSError:  # nothing more for now, or for good
            pass
        return re.sub(r"\x1b\[[0-9;]*m", "", self._text)

    def close(self) -> None:
        """Keep what has come."""
        self.text()
        if self._ours is not None:
            os.close(self._ours)
        self._ours = None

    def has(self, pattern: str) -> bool:
        return re.search(pattern, self.text()) is not None


@contextmanager
def on_a_terminal(*args: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], Seen]]:
    ours, terminal = os.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("DEBUG", "JOURNAL_STREAM", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kei", *args],
        env=env | {"PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"} | environ,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    seen = Seen(ours)
    try:
        yield process, seen
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        seen.close()


def test_a_good_start_shows_progress_and_then_one_live_line(tmp_path: Path) -> None:
    until_noon_s = 12 * 3600 - int(time.time() + 9 * 3600) % 86_400  # noqa: TID251 - the machine's
    port = f"{QUICK},clock-skew={until_noon_s}"  # at a meter's midnight nothing is filled
    jobs = write_jobs(tmp_path, port, "[history]", requests=EVERY_SECOND)
    with on_a_terminal("--jobs", str(jobs)) as (kei, seen):
        live = r"\r\x1b\[K\d\d:\d\d:\d\d  -?\d+ W  [\d.]+ \+ [\d.]+ A  [\d.]+ kWh  \d+ s ago"
        wait_until(lambda: len(re.findall(live, seen.text())) > 2, 30, "the live line")
        filling = f"{live}  filling gaps, \\d+ days left"
        wait_until(lambda: seen.has(filling), 30, "how far the gaps are filled")
        kei.send_signal(signal.SIGTERM)
        assert kei.wait(PATIENCE_S) == 0
        wait_until(lambda: seen.has(r"kei_stopped"), 5, "the last line")
    text = seen.text()
    assert seen.has(r"\d\d:\d\d:\d\d scanning for the meter, duration 4: about 5 s\r\n")
    assert seen.has(r"\d\d:\d\d:\d\d joining the meter: usually [^\r]*\r\n")
    assert seen.has(r"\d\d:\d\d:\d\d \[info +\] session_joined")
    assert "requests_waiting" not in text
    assert not seen.has(r"\d{4}-\d\d-\d\dT"), "times are local, and of today"
    assert text.endswith("\n"), "and nothing stays below the last line"


def test_a_wrong_id_is_told(tmp_path: Path) -> None:
    with simulator(tmp_path / "dongle", "--broute-id", NO_ID) as dongle:
        dongle.wait_for(lambda: any(NO_ID in each for each in dongle.errors), 10, "its ID")
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"))
        with on_a_terminal("--jobs", str(jobs)) as (_, seen):
            wait_until(lambda: seen.has("waiting before the next attempt: 1 s"), 30, "a pause")
            assert seen.has(r"scanning for the meter, duration 7: about 36 s\r\n")
            assert seen.has("meter_not_found .*check the B-route ID")
            assert seen.has(r"waiting before the next attempt: 1 s  meter_not_found")
    assert BROUTE_PWD not in seen.text()


def test_a_terminal_without_control_characters_gets_lines_only(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, "sim:latency=0,scan-time=0,join-time=0", requests=EVERY_SECOND)
    with on_a_terminal("--jobs", str(jobs), TERM="dumb") as (_, seen):
        wait_until(lambda: seen.has("session_joined"), 30, "the join")
        assert "\x1b[K" not in seen.text()
