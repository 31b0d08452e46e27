"""The meter's time, from outside: a real kei in any zone, and meters whose time is wrong."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from programs import ROOT, Program, command, readings, running, simulator, write_jobs
from upload_support import Server

SUPPORT = ROOT / "tests" / "support"
SYNCHRONISED = (str(SUPPORT / "kei_synchronised.py"),)
HALF_HOUR_S = 1800
REQUESTS = """
[[broute.requests]]
epc = ["EA", "EB"]
cycle = 1
[[broute.requests]]
epc = ["E7"]
cycle = 1
"""
ZONES = ["UTC", "Asia/Tokyo", "America/New_York"]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def now_s() -> float:
    return time.time()  # noqa: TID251 - the machine's clock is what the meter's is compared with


def half_hours(begun_s: float) -> set[float]:
    """The half hours that a meter with the right time may have stamped since then."""
    return {each // HALF_HOUR_S * HALF_HOUR_S for each in (begun_s, now_s())}


def sensors(folder: Path) -> list[str]:
    return [fields[2] for fields in readings(folder)]


def in_database(folder: Path, sensor: str) -> list[int]:
    with closing(sqlite3.connect(folder / "kei.db")) as connection:
        rows = connection.execute(
            "SELECT time_ms FROM readings JOIN series ON series.id = series_id WHERE sensor = ?",
            (sensor,),
        ).fetchall()
    return [time_ms for (time_ms,) in rows]


def status(jobs: Path, *flags: str, zone: str = "UTC") -> str:
    _, said, errors = command("status", "--jobs", jobs, *flags, TZ=zone)
    assert errors == []
    return "\n".join(said)


@pytest.mark.parametrize("zone", ZONES)
def test_half_hour_values_have_the_same_instant_in_every_zone(
    server: Server, tmp_path: Path, zone: str
) -> None:
    upload = (
        f'[[upload]]\ntarget_url = "{server.url}"\nformat = "json"\nwhat = "readings"\ncycle = 1'
    )
    begun_s = now_s()
    with simulator(tmp_path / "dongle"):
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), upload, requests=REQUESTS)
        with running("--jobs", str(jobs), TZ=zone) as kei:
            kei.wait_for(lambda: {"EA", "EB"} <= set(sensors(tmp_path)), 20, "EA and EB")
            kei.wait_for(lambda: '"EA"' in uploaded(server), 20, "their upload")
            assert kei.stop() == 0
    expected = half_hours(begun_s)
    line = next(fields for fields in readings(tmp_path) if fields[2] == "EA")
    written = datetime.strptime(line[0], "%Y/%m/%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
    files = [path for path in tmp_path.glob("[0-9]*.txt") if ",EA," in path.read_text()]
    assert written.timestamp() in expected
    assert min(files).name == f"{written:%Y%m%d}-mydatafile.txt"
    assert {each / 1000 for each in in_database(tmp_path, "EA")} <= expected
    sent = next(each for each in posted(server) if each["sensor"] == "EA")
    moment = datetime.fromisoformat(sent["time"])
    assert moment.timestamp() in expected
    assert moment.utcoffset() == written.utcoffset()
    told = [] if zone == "Asia/Tokyo" else [f"{written:%z}"]
    events = kei.events("time_zone_differs")
    assert [str(event["utc_offset"]).replace(":", "") for event in events] == told
    assert all("timedatectl set-timezone Asia/Tokyo" in str(event["hint"]) for event in events)
    assert kei.events("stamp_refused") == []


def uploaded(server: Server) -> str:
    return "".join(post.body.decode() for post in list(server.posts))


def posted(server: Server) -> list[dict[str, str]]:
    return [each for post in list(server.posts) for each in json.loads(post.body)["readings"]]


@contextmanager
def recording(
    folder: Path, *options: str, requests: str = REQUESTS, zone: str = "UTC"
) -> Iterator[tuple[Program, Path]]:
    """A kei whose clock is synchronised, with a simulated meter; and its jobs.toml."""
    with simulator(folder / "dongle", *options):
        jobs = write_jobs(folder, str(folder / "dongle"), requests=requests)
        with running("--jobs", str(jobs), program=SYNCHRONISED, TZ=zone) as kei:
            yield kei, jobs


def test_a_meter_whose_clock_is_ahead_is_told_once_and_its_stamps_are_not_recorded(
    tmp_path: Path,
) -> None:
    with recording(tmp_path, "--clock-skew", "7200") as (kei, jobs):
        kei.wait_for_event("meter_clock_differs")
        kei.wait_for_event("stamp_refused", count=2)
        kei.wait_for(lambda: sensors(tmp_path).count("E7") > 3, 20, "readings")
        assert " ahead of this machine's" in status(jobs)
        found = json.loads(status(jobs, "--json"))
        assert found["meter_clock"]["ahead_s"] == pytest.approx(7200, abs=35)
        assert kei.stop() == 0
    (event,) = kei.events("meter_clock_differs")
    assert event["by"] in ("+119 min", "+120 min", "+121 min")
    assert event["level"] == "warning"
    assert "hint" in event
    refused = [(event["epc"], event["why"]) for event in kei.events("stamp_refused")]
    assert sorted(refused) == [("EA", "in_the_future"), ("EB", "in_the_future")]
    assert {"EA", "EB"}.isdisjoint(sensors(tmp_path))
    assert in_database(tmp_path, "EA") == []


def test_a_meter_that_is_behind_is_told_and_its_stamps_are_recorded(tmp_path: Path) -> None:
    with recording(tmp_path, "--clock-skew", "-7200") as (kei, _):
        kei.wait_for_event("meter_clock_differs")
        kei.wait_for(lambda: {"EA", "EB"} <= set(sensors(tmp_path)), 20, "EA and EB")
        assert kei.stop() == 0
    assert len(kei.events("meter_clock_differs")) == 1
    assert kei.events("stamp_refused") == []


@pytest.mark.parametrize("zone", ZONES)
def test_a_meter_that_is_right_is_not_told_of(tmp_path: Path, zone: str) -> None:
    with recording(tmp_path, zone=zone) as (kei, jobs):
        kei.wait_for(lambda: "EA" in sensors(tmp_path), 20, "EA")
        assert kei.stop() == 0
        assert "  the meter's" not in status(jobs)
    assert kei.events("meter_clock_differs") == []


@pytest.mark.parametrize(("lacks", "count"), [((), 1), (("--lacks", "97+98"), 0)])
def test_the_clock_is_asked_once_after_joining_if_the_meter_has_it(
    tmp_path: Path, lacks: tuple[str, ...], count: int
) -> None:
    transcript = tmp_path / "said"
    with recording(tmp_path, "--transcript", str(transcript), *lacks) as (kei, _):
        kei.wait_for(lambda: sensors(tmp_path).count("E7") > 4, 20, "readings")
        assert kei.stop() == 0
    assert transcript.read_text().count(r"b\x02\x98\x00\x97\x00") == count  # b is Get
    assert kei.events("property_not_given") == []


IMPOSSIBLE = {
    "year 1": "00010101000000",
    "year 9999": "270F0C1F173B3B",
    "month 13": "07EA0D01000000",
    "second 60": "07EA0B170A003C",
    "2000": "07D00101000000",
    "2036": "07F40101000000",
}


@pytest.mark.parametrize("stamp", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_wrong_stamp_costs_only_its_own_line(tmp_path: Path, stamp: str) -> None:
    file = tmp_path / "stamp"
    file.write_text(stamp)
    fast = ("--latency", "0", "--scan-time", "0", "--join-time", "0")
    dongle_of = ("simulate", "--link", str(tmp_path / "dongle"), *fast)
    program = (str(SUPPORT / "simulator_with_stamp.py"), str(file))
    with running(*dongle_of, program=program) as dongle:
        dongle.wait_for(lambda: dongle.lines, 10, "the simulator's ready")
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), requests=REQUESTS)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("stamp_refused", count=2)
            kei.wait_for(lambda: sensors(tmp_path).count("E7") > 3, 20, "readings go on")
            code_and_errors = kei.stop(), kei.errors
    assert code_and_errors == (0, [])
    assert len(kei.events("stamp_refused")) == 2  # EA and EB, once each
    assert [event for event in map(json.loads, kei.lines) if event["level"] == "error"] == []
    assert set(sensors(tmp_path)) == {"E7"}
    assert len(list(tmp_path.glob("[0-9]*.txt"))) <= 2  # today's, and tomorrow's at midnight


EA_REQUESTS = '[[broute.requests]]\nepc = ["EA"]\ncycle = 1'


def record_ea(folder: Path) -> None:
    """Run kei until it has the half-hour value of the meter."""
    with recording(folder, requests=EA_REQUESTS) as (kei, _):
        kei.wait_for(lambda: "EA" in sensors(folder), 20, "EA")
        assert kei.stop() == 0


def test_a_reading_from_the_future_of_an_older_kei_does_not_stay_the_newest(
    tmp_path: Path,
) -> None:
    record_ea(tmp_path)
    with closing(sqlite3.connect(tmp_path / "kei.db")) as connection, connection:
        connection.execute(
            "INSERT INTO readings (series_id, time_ms, value, data_id) SELECT id, ?, 1, 'x'"
            " FROM series WHERE sensor = 'EA'",
            (2_082_758_400_000,),  # 2036-01-01
        )
        connection.execute("UPDATE series SET last_id = (SELECT max(id) FROM readings)")
    found = json.loads(status(tmp_path / "jobs.toml", "--json"))
    (newest,) = [each for each in found["series"] if each["sensor"] == "EA"]
    assert newest["time"].startswith(str(datetime.now().year))  # noqa: DTZ005, TID251 - about now
    assert [each["rule"] for each in found["problems"]] == ["not_running"]


def test_half_hour_values_that_an_older_kei_stamped_ahead_do_not_keep_the_right_ones_away(
    tmp_path: Path,
) -> None:
    record_ea(tmp_path)
    right = readings(tmp_path)[0]
    with closing(sqlite3.connect(tmp_path / "kei.db")) as connection, connection:
        # What it took at midnight in Japan for the value of 00:00 UTC, and so on until now.
        connection.execute("UPDATE readings SET value = value - 123456")
        for half_hours_ahead in range(1, 19):
            connection.execute(
                "INSERT INTO readings (series_id, time_ms, value, data_id)"
                " SELECT series_id, time_ms + ?, value, 'x' FROM readings WHERE id = 1",
                (half_hours_ahead * HALF_HOUR_S * 1000,),
            )
        connection.execute("UPDATE series SET last_id = (SELECT max(id) FROM readings)")
    with recording(tmp_path, requests=EA_REQUESTS) as (kei, jobs):
        kei.wait_for(lambda: len(readings(tmp_path)) >= 2, 20, "EA")
        found = json.loads(status(jobs, "--json"))
        assert kei.stop() == 0
    lines = readings(tmp_path)
    assert lines[1] == right or lines[1][0] > right[0]  # another half-hour has begun
    assert len(lines[1:]) == len({fields[0] for fields in lines[1:]})  # once each
    (newest,) = [each for each in found["series"] if each["sensor"] == "EA"]
    assert newest["value"] == float(lines[1][3])
    assert newest["age_s"] >= 0


def test_a_clock_that_nobody_has_set_judges_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "offset").write_text(str(-60 * 86_400_000))
    begun_s = now_s()
    program = (str(SUPPORT / "kei_by_another_clock.py"), str(tmp_path / "offset"))
    with simulator(tmp_path / "dongle"):
        without_wait = "[recorder]\nwait_for_clock = 0"
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), without_wait, requests=REQUESTS)
        with running("--jobs", str(jobs), program=program, TZ="UTC") as kei:
            kei.wait_for(lambda: {"EA", "EB"} <= set(sensors(tmp_path)), 20, "EA and EB")
            assert kei.stop() == 0
    assert {each / 1000 for each in in_database(tmp_path, "EA")} <= half_hours(begun_s)
    assert kei.events("stamp_refused") == []
