"""Killed and started again: the session that the dongle still has goes on; a rest is kept."""

from datetime import datetime
from pathlib import Path

from programs import readings, running, simulator, write_jobs

from kei.wisun.remembered import REST_AFTER_LEAVING_S

EVERY_SECOND = '[[broute.requests]]\nepc = ["E7"]\ncycle = 1\n'
FAR_FROM_A_REST_S = 8.0
# Requests of J11 as a transcript has the low byte of their code: reset, scan, start, join, end.
ENDS_OR_JOINS = (r"\xd9", "Q", "S", "V", "W")


def test_after_a_kill_the_session_goes_on_and_after_an_end_the_meter_rests(tmp_path: Path) -> None:
    transcript = tmp_path / "said"
    with simulator(tmp_path / "dongle", "--transcript", str(transcript)):
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), requests=EVERY_SECOND)

        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: count_power(tmp_path) >= 2, 20, "readings")
            kei.process.kill()
            kei.wait()
        before, said_before = count_power(tmp_path), len(transcript.read_text())

        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(
                lambda: count_power(tmp_path) > before, 20, "a reading", idle_s=FAR_FROM_A_REST_S
            )
            (joined,) = kei.events("session_joined")
            assert joined["adopted"] is True
            said = transcript.read_text()[said_before:]
            assert not [word for word in ("SKTERM", "SKRESET", "SKJOIN", "SKSCAN") if word in said]
            assert kei.stop() == 0
        assert "SKTERM" in transcript.read_text()[said_before:]

        with running("--jobs", str(jobs)) as kei:  # killed while the meter rests
            kei.wait_for(lambda: "SKSETRBID" in last_life(transcript), 20, "the set-up")
            kei.process.kill()
            kei.wait()
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("meter_rests")
            kei.wait_for_event("session_joined")
            assert kei.stop() == 0
        joined_at, left_at = said_at(transcript, "SKJOIN"), said_at(transcript, "EVENT 27", last=2)
        assert (joined_at - left_at).total_seconds() >= REST_AFTER_LEAVING_S - 0.1


def test_after_a_kill_the_session_of_a_j11_goes_on_without_a_join(tmp_path: Path) -> None:
    transcript = tmp_path / "said"
    port = tmp_path / "usb-RATOC_RS-WSUHA-J11-if00-port0"  # which says what to ask for first
    with simulator(port, "--dongle", "J11", "--transcript", str(transcript)):
        jobs = write_jobs(tmp_path, str(port), requests=EVERY_SECOND)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: count_power(tmp_path), 20, "a reading")
            kei.process.kill()
            kei.wait()
        before, said_before = count_power(tmp_path), len(transcript.read_text())
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: count_power(tmp_path) > before, 20, "a reading")
            (joined,) = kei.events("session_joined")
            assert joined["adopted"] is True
            said = transcript.read_text()[said_before:]
            assert r"\xd0\xea\x83\xfc\x00\x08" in said
            assert not [code for code in ENDS_OR_JOINS if rf"\xd0\xea\x83\xfc\x00{code}" in said]
            assert kei.stop() == 0
        assert r"\xd0\xea\x83\xfc\x00W" in transcript.read_text()[said_before:]
        assert "SK" not in transcript.read_text()


def count_power(folder: Path) -> int:
    return sum(row[2] == "E7" for row in readings(folder))


def last_life(transcript: Path) -> str:
    """What was said since the last session ended."""
    return transcript.read_text().rpartition("EVENT 27")[2]


def said_at(transcript: Path, word: str, last: int = 1) -> datetime:
    """When the word was said for the last time, or the last but one."""
    times = [line.split()[0] for line in transcript.read_text().splitlines() if word in line]
    return datetime.fromisoformat(times[-last])
