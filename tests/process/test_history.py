"""Gaps are filled from the meter's memory: a real kei, compared with the simulator's truth."""

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from meter_truth import (
    DAY_S,
    JAPAN_S,
    SEED,
    day_start_s,
    differences,
    in_database,
    in_text,
    truth,
)
from programs import ROOT, SIMULATED, Program, command, running, simulator, write_jobs
from upload_support import Server, answer

from kei.simulator.household.household import Household
from kei.simulator.meter.meter_type import MeterType
from kei.simulator.meter.registers import EnergyCounter

ANOTHER_CLOCK = (str(ROOT / "tests" / "support" / "kei_by_another_clock.py"),)
SOLAR = f"{SIMULATED},seed={SEED},solar"
NO_REQUESTS = """
[[broute.requests]]
epc = ["E7"]
cycle = 60
"""


def history(days: int) -> str:
    return f"[history]\ndays = {days}\n"


def now_s() -> float:
    return time.time()  # noqa: TID251 - the machine's clock is what the meter's is compared with


def expect_truth(
    folder: Path, first_s: float, last_s: float, sensors: str = "EA EB", zone: str = "UTC"
) -> None:
    """All half-hours of a time are there, once each, exact and marked."""
    assert differences(folder, first_s, last_s, sensors, zone) == {}
    assert not in_database(folder, "NOT recovered")


def status(jobs: Path) -> str:
    return "\n".join(command("status", "--jobs", jobs)[1])


@contextmanager
def kei_at(moment: str, jobs: Path, zone: str = "UTC", try_s: float = 5) -> Iterator[Program]:
    """A kei on a machine whose clock a time service has set to a moment (ISO 8601, UTC)."""
    set_clock(moment, jobs)
    offset = str(jobs.with_name("offset"))
    arguments = (offset, "--jobs", str(jobs))
    with running(*arguments, program=ANOTHER_CLOCK, TZ=zone, TRY_S=str(try_s)) as kei:
        yield kei


def set_clock(moment: str, jobs: Path) -> None:
    """Set the clock of such a machine."""
    ahead_ms = round((at(moment) - now_s()) * 1000)
    jobs.with_name("offset").write_text(f"{ahead_ms} synchronised")


def at(moment: str) -> float:
    return datetime.fromisoformat(f"{moment}+00:00").timestamp()


def fill(moment: str, jobs: Path, zone: str = "UTC") -> list[dict[str, object]]:
    """Run kei at a moment until it has filled what it can, and end it; return its log lines."""
    with kei_at(moment, jobs, zone) as kei:
        kei.wait_for_event("history_filled", 40)
        assert kei.stop() == 0
        return [event for name in EVENTS for event in kei.events(name)]


EVENTS = ("history_filled", "history_refused", "history_day_changed", "text_file_put_away")
NOON = "2026-12-01T03:20:00"  # in Japan, early in a month


@pytest.mark.parametrize(("zone", "dongle"), [("UTC", "BP35A1"), ("Asia/Tokyo", "J11")])
def test_the_last_days_are_filled_on_the_first_start(
    tmp_path: Path, zone: str, dongle: str
) -> None:
    jobs = write_jobs(tmp_path, f"{SOLAR},dongle={dongle}", history(2), requests=NO_REQUESTS)
    fill(NOON, jobs, zone)
    expect_truth(tmp_path, day_start_s(2, at(NOON)), at(NOON) - 360, zone=zone)


def test_what_was_missed_while_kei_was_off_is_filled(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SOLAR, history(1), requests=NO_REQUESTS)
    fill("2026-11-28T03:20:00", jobs)
    write_jobs(tmp_path, SOLAR, history(5), requests=NO_REQUESTS)
    (last,) = fill(NOON, jobs)
    assert last["days"] == 5  # not the one that was complete
    expect_truth(tmp_path, day_start_s(5, at(NOON)), at(NOON) - 360)


@pytest.mark.parametrize("skew_s", [-600, 600])
def test_the_meters_clock_decides_which_day_is_today(tmp_path: Path, skew_s: int) -> None:
    midnight = "2026-11-30T15:06:00" if skew_s < 0 else "2026-11-30T14:54:00"
    jobs = write_jobs(tmp_path, f"{SOLAR},clock-skew={skew_s}", history(1), requests=NO_REQUESTS)
    fill(midnight, jobs)
    in_meters_day = at(midnight) + skew_s
    expect_truth(tmp_path, day_start_s(1, in_meters_day), in_meters_day - 400)


@pytest.mark.parametrize(
    ("lacks", "sensors"),
    [("E4+EC+ED", "EA"), ("E4", "EA EB"), ("E5", "EA EB")],
)
def test_each_meter_is_asked_in_the_way_that_it_knows(
    tmp_path: Path, lacks: str, sensors: str
) -> None:
    jobs = write_jobs(tmp_path, f"{SOLAR},lacks={lacks}", history(1), requests=NO_REQUESTS)
    fill(NOON, jobs)
    expect_truth(tmp_path, day_start_s(1, at(NOON)), at(NOON) - 360, sensors)


def test_a_day_that_others_set_meanwhile_is_asked_for_again(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, f"{SOLAR},foreign-sets=7", history(3), requests=NO_REQUESTS)
    told = fill(NOON, jobs)
    assert [event for event in told if event["event"] == "history_day_changed"]
    expect_truth(tmp_path, day_start_s(3, at(NOON)), at(NOON) - 360)


def test_what_a_meter_does_not_remember_is_not_asked_for_after_each_start(tmp_path: Path) -> None:
    jobs = write_jobs(
        tmp_path,
        f"{SOLAR},remembers=1",
        history(3),
        f'[log]\ntranscript = "{tmp_path}/said"',
        requests=NO_REQUESTS,
    )
    fill(NOON, jobs)
    expect_truth(tmp_path, day_start_s(1, at(NOON)), at(NOON) - 360)
    said = tmp_path / "said"
    with kei_at(NOON, jobs) as kei:  # a day without any value is asked for once more
        kei.wait_for(lambda: "up to date" in status(jobs), 20, "nothing is missing")
        assert kei.stop() == 0
    said.unlink()
    with kei_at(NOON, jobs) as kei:
        kei.wait_for(lambda: "up to date" in status(jobs), 20, "nothing is missing")
        assert kei.stop() == 0
    assert not re.search("[^0-9A-F]0161E501", said.read_text())


def test_with_lost_answers_and_a_kill_in_between_all_comes_once(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, f"{SOLAR},fault=drop%20", history(1), requests=NO_REQUESTS)
    with kei_at(NOON, jobs, try_s=0.5) as kei:
        kei.wait_for(lambda: len(in_text(tmp_path)) >= 50, 60, "some of it")
        kei.kill()
    with kei_at(NOON, jobs, try_s=0.5) as kei:
        kei.wait_for(lambda: len(in_text(tmp_path)) >= 146, 90, "all of it")
        assert kei.stop() == 0
    expect_truth(tmp_path, day_start_s(1, at(NOON)), at(NOON) - 360)


def upload(server: Server, name: str, what: str, *, recovered: bool) -> str:
    return f"""
[[upload]]
name = "{name}"
target_url = "{server.url}{name}"
format = "json"
what = "{what}"
cycle = 1
recovered = {str(recovered).lower()}
"""


def test_servers_get_each_value_once_or_not_at_all(tmp_path: Path) -> None:
    server = Server()
    server.always(answer(204))
    jobs = write_jobs(
        tmp_path,
        SOLAR,
        history(1),
        upload(server, "all", "readings", recovered=True),
        upload(server, "live", "readings", recovered=False),
        requests='[[broute.requests]]\nepc = ["E7"]\ncycle = 1\n',
    )

    def sent(name: str) -> Counter[str]:
        rows = [
            row
            for post in server.posts
            if post.path.endswith(name)
            for row in json.loads(post.body)["readings"]
        ]
        return Counter(f"{row['sensor']} {row['time']}" for row in rows)

    try:
        with kei_at(NOON, jobs) as kei:
            kei.wait_for(
                lambda: sum(key.startswith("E") and "E7" not in key for key in sent("all")) >= 146,
                40,
                "all half-hours at the server",
            )
            seen = max(key for key in sent("all") if key.startswith("E7"))
            kei.wait_for(lambda: max(sent("live"), default="") >= seen, 20, "live rows")
            assert kei.stop() == 0
    finally:
        server.close()
    half_hours = {key: n for key, n in sent("all").items() if key[:2] in {"EA", "EB"}}
    assert len(half_hours) == len(truth(day_start_s(1, at(NOON)), at(NOON) - 360, "EA EB"))
    assert set(half_hours.values()) == {1}
    assert {key[:2] for key in sent("live")} & {"EA", "EB"} == set()


def test_nothing_is_filled_while_the_clock_is_not_trusted(tmp_path: Path) -> None:
    until_noon_s = int(12 * 3600 - (now_s() + JAPAN_S) % DAY_S)  # not near the meter's midnight
    said, offset = tmp_path / "said", tmp_path / "offset"
    with simulator(tmp_path / "dongle", "--clock-skew", str(until_noon_s)):
        jobs = write_jobs(
            tmp_path,
            str(tmp_path / "dongle"),
            history(1),
            f'[log]\ntranscript = "{said}"',
            requests='[[broute.requests]]\nepc = ["E7"]\ncycle = 1',
        )
        offset.write_text(f"{-10 * 365 * DAY_S * 1000} not")
        with running(str(offset), "--jobs", str(jobs), program=ANOTHER_CLOCK) as kei:
            kei.wait_for(lambda: said.exists() and said.read_text().count("E700") > 3, 20, "E7")
            assert "0161E501" not in said.read_text().replace(" ", "")
            assert "waiting for this machine's clock" in status(jobs)
            offset.write_text("0 synchronised")
            kei.wait_for_event("history_filled", 40)
            assert kei.stop() == 0


def test_a_meter_that_counts_otherwise_begins_a_segment_and_is_not_asked_for_before(
    tmp_path: Path,
) -> None:
    jobs = write_jobs(tmp_path, SOLAR, history(1), requests=NO_REQUESTS)
    fill("2026-11-30T03:20:00", jobs)
    known = in_database(tmp_path)
    write_jobs(tmp_path, f"{SOLAR},unit=0.01", history(3), requests=NO_REQUESTS)
    with kei_at(NOON, jobs) as kei:
        kei.wait_for_event("history_filled", 40)
        assert kei.stop() == 0
    (event,) = kei.events("meter_segment_began")
    assert event["why"] == "another unit"
    found = in_database(tmp_path)
    begins_s = max(time_s for _, time_s, _ in known)
    assert {each for each in found if each[1] <= begins_s} == set(known)
    later = [each for each in found if each[1] > begins_s]
    assert len(later) == 2 * 48
    document = json.loads("\n".join(energy(jobs, "2026-11-30", "2026-11-30")), parse_float=Decimal)
    (gap,) = [each for each in document["gaps"] if each["other_meter"]]
    assert datetime.fromisoformat(gap["from"]).timestamp() == begins_s
    assert (gap["half_hours"], gap["bought_kwh"]) == (1, None)
    bought = {time_s: kwh for sensor, time_s, kwh in found if sensor == "EA"}
    begin_s = int(at("2026-11-30T00:00:00"))
    day = [bought[begin_s + number * 1800] for number in range(49)]
    steps = [after - before for before, after in pairwise(day)]
    (row,) = document["rows"]
    number = (begins_s - begin_s) // 1800
    assert row["bought_kwh"] == sum(steps) - steps[number]
    assert row["missing"] == 1


def energy(jobs: Path, first: str, last: str) -> list[str]:
    """The JSON of `kei energy` for some days."""
    asked = ("energy", "--jobs", jobs, "--from", first, "--to", last, "--format", "json")
    code, lines, errors = command(*asked, TZ="UTC")
    assert (code, errors) == (0, [])
    return lines


def test_the_file_of_a_day_that_is_put_away_gets_no_line_and_that_is_told(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SOLAR, history(1), requests=NO_REQUESTS)
    away = tmp_path / "20261130-mydatafile.txt.gz"
    away.write_bytes(b"as logrotate leaves it")
    told = fill(NOON, jobs, "Asia/Tokyo")
    (event,) = [event for event in told if event["event"] == "text_file_put_away"]
    assert (event["days"], event["oldest"], event["newest"]) == (1, "2026-11-30", "2026-11-30")
    assert not away.with_suffix("").exists()
    first_s, last_s = day_start_s(1, at(NOON)), at(NOON) - 360
    wanted = truth(first_s, last_s, "EA EB")
    assert in_database(tmp_path, "recovered") == wanted
    assert in_text(tmp_path, "Asia/Tokyo") == truth(day_start_s(0, at(NOON)), last_s, "EA EB")


def test_other_days_that_are_wanted_while_it_fills_are_begun_at_once(tmp_path: Path) -> None:
    slow = f"sim:latency=0.1,scan-time=0,join-time=0,seed={SEED},solar"
    jobs = write_jobs(tmp_path, slow, history(90), requests=NO_REQUESTS)
    with kei_at(NOON, jobs) as kei:
        kei.wait_for(lambda: in_text(tmp_path), 30, "the first day")
        write_jobs(tmp_path, slow, history(1), requests=NO_REQUESTS)
        kei.send(signal.SIGUSR2)
        kei.wait_for_event("history_filled", 30)
        assert kei.stop() == 0
    expect_truth(tmp_path, day_start_s(1, at(NOON)), at(NOON) - 360)


def test_the_minutes_of_a_newer_meter_are_filled_when_that_is_wanted(tmp_path: Path) -> None:
    port = f"{SOLAR},next-gen"
    jobs = write_jobs(tmp_path, port, f"{history(1)}one_minute = true", requests=NO_REQUESTS)
    with kei_at("2026-11-30T15:22:00", jobs) as kei:  # 22 minutes after midnight in Japan
        kei.wait_for(lambda: len(minutes(tmp_path, "D0R")) >= 78, 40, "the last hours")
        assert kei.stop() == 0
    newest_s = int(at("2026-11-30T15:17:00"))
    home = EnergyCounter(Household(SEED, solar=True), MeterType(next_gen=True).counting)
    for sensor, register in (("D0", home.normal), ("D0R", home.reverse)):
        found = minutes(tmp_path, sensor)
        wanted = range(newest_s, newest_s - 78 * 60, -60)
        assert found.keys() >= set(wanted)
        for time_s, kwh in found.items():
            assert kwh * 1000 == int.from_bytes(register(time_s + JAPAN_S), "big")


def minutes(folder: Path, sensor: str) -> dict[int, Decimal]:
    """The one-minute values of the files by their times, each of which is there once."""
    found = [
        (int(at(f"{moment.replace('/', '-')}")), Decimal(value))
        for file in folder.glob("2*-*.txt")
        for moment, _, name, value, _ in map(_fields, file.read_text().splitlines())
        if name == sensor
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def _fields(line: str) -> list[str]:
    return line.split(",")
