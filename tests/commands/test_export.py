"""What was recorded, as lines for other programs."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from jobs_file import JobsFile
from programs import command, readings, running, write_jobs
from stored import add_readings, add_summaries, daily

from kei.commands.export import Form, Selection, export
from kei.core.errors import ConfigError, StoreError
from kei.core.reading import Reading, Summary
from kei.store import read_only
from kei.store.database import Database
from kei.store.read_only import Query

MIDNIGHT = 1_795_359_600_000  # 2026-11-23 00:00 in Tokyo
MINUTE = 60_000


def reading(minute: int, sensor: str = "E7", value: str = "512", unit: str = "BR") -> Reading:
    return Reading(MIDNIGHT + minute * MINUTE, unit, sensor, Decimal(value), "x")


@pytest.fixture
def jobs(tmp_path: Path) -> JobsFile:
    found = JobsFile(tmp_path / "jobs.toml")
    found.load("[summary]\ncycle = 600\n")
    return found


def lines(
    jobs: JobsFile,
    begin: str = "2026-11-23",
    end: str = "2026-11-23",
    *,
    unit: str | None = None,
    sensor: str | None = None,
    summary: bool = False,
    form: Form = Form.CSV,
    tell: Callable[[str], None] = print,
) -> list[str]:
    selection = Selection(begin, end, unit, sensor, summary, form)
    clock = FakeClock(zone=TOKYO)
    return list(export(jobs.path, selection, environ={}, clock=clock, tell=tell))


def test_a_reading_is_a_line_with_the_offset_of_its_time(
    jobs: JobsFile, database: Database
) -> None:
    add_readings(database, [reading(0), reading(1, "E0", "10934.9")])
    assert lines(jobs) == [
        "time,unit,sensor,value,id\n",
        "2026-11-23T00:00:00.000+09:00,BR,E7,512,x\n",
        "2026-11-23T00:01:00.000+09:00,BR,E0,10934.9,x\n",
    ]


def test_a_reading_is_an_object_with_an_exact_number(jobs: JobsFile, database: Database) -> None:
    add_readings(database, [reading(0, "E0", "0.1000")])
    (line,) = lines(jobs, form=Form.JSONL)
    assert '"value": 0.1000' in line
    assert json.loads(line) == {
        "time": "2026-11-23T00:00:00.000+09:00",
        "unit": "BR",
        "sensor": "E0",
        "value": 0.1,
        "id": "x",
    }


def test_a_window_has_its_average_and_more(jobs: JobsFile, database: Database) -> None:
    numbers = (Decimal("498.25"), Decimal(-3), Decimal(1000))
    add_summaries(database, [Summary(MIDNIGHT, "BR", "E7", *numbers, 60)])
    assert lines(jobs, summary=True) == [
        "time,unit,sensor,average,min,max,count,state\n",
        "2026-11-23T00:00:00.000+09:00,BR,E7,498.25,-3,1000,60,complete\n",
    ]
    (line,) = lines(jobs, summary=True, form=Form.JSONL)
    assert json.loads(line)["average"] == 498.25


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("2026-11-23", "2026-11-23", [0, 1439]),
        ("2026/11/23", "20261124", [0, 1439, 1440]),
        ("2026-11-23T00:01", "2026-11-24", [1439, 1440]),
        ("2026-11-22", "2026-11-23T23:59", [-1, 0]),
        ("2026-11-22T15:00:00+00:00", "2026-11-23T00:00:01", [0]),
    ],
)
def test_a_day_is_meant_as_a_whole_and_a_time_as_a_bound(
    jobs: JobsFile, database: Database, begin: str, end: str, minutes: list[int]
) -> None:
    add_readings(database, [reading(minute) for minute in (-1, 0, 1439, 1440)])
    expected = [(MIDNIGHT + minute * MINUTE) for minute in minutes]
    found = [json.loads(line)["time"] for line in lines(jobs, begin, end, form=Form.JSONL)]
    assert len(found) == len(expected)


def test_unit_and_sensor_select(jobs: JobsFile, database: Database) -> None:
    add_readings(database, [reading(0), reading(0, "E0"), reading(0, unit="A1"), reading(0, "T,1")])
    rows = list(csv.reader(lines(jobs, unit="BR")))[1:]
    assert [row[2] for row in rows] == ["E7", "E0", "T,1"]
    assert len(lines(jobs, unit="A1", sensor="E7")) == 2
    assert len(lines(jobs, unit="a1", sensor="e7")) == 2
    told: list[str] = []
    assert len(lines(jobs, sensor="nothing", tell=told.append)) == 1
    assert told == [
        "note: --sensor nothing: nothing of this name was recorded; there is: E0, E7, T,1"
    ]


def test_of_two_names_that_differ_in_case_each_is_found_by_itself(
    jobs: JobsFile, database: Database
) -> None:
    add_readings(database, [reading(0, "t1"), reading(0, "T1"), reading(1, "T1")])
    assert [len(lines(jobs, sensor=name)) for name in ("t1", "T1")] == [2, 3]


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("today", "today", [0]),
        ("yesterday", "Yesterday", [-1]),
        ("-1d", "today", [-1, 0]),
        ("-7d", "-1d", [-1]),
        ("-0d", "2026-11-23T12:00", [0]),
    ],
)
def test_days_are_named_as_people_name_them(
    jobs: JobsFile, database: Database, begin: str, end: str, minutes: list[int]
) -> None:
    add_readings(database, [reading(minute) for minute in (-1, 0, 1440)])
    selection = Selection(begin, end, None, None, summary=False, form=Form.CSV)
    clock = FakeClock(MIDNIGHT + 12 * 60 * MINUTE, TOKYO)
    found = list(export(jobs.path, selection, environ={}, clock=clock, tell=print))
    assert len(found) == 1 + len(minutes)


@pytest.mark.parametrize(
    "wrong", ["tomorrow", "2026-13-01", "-d", "-999999d", "7d", "", "2026-11-23T25:00", "9" * 30]
)
def test_what_is_no_day_is_told_with_an_example(jobs: JobsFile, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"--from .*: is no day and no time; write 2026-11-23"):
        lines(jobs, begin=wrong)


def test_an_end_before_the_beginning_is_told(jobs: JobsFile) -> None:
    with pytest.raises(ConfigError, match="lies before"):
        lines(jobs, "2026-11-23", "2026-11-22")


def test_without_a_database_it_says_so(jobs: JobsFile) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        lines(jobs)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(
    minutes=st.lists(st.tuples(st.integers(-5, 5), st.sampled_from(["E7", "E0", "E3"]))),
    begin=st.integers(-6, 6),
    length=st.integers(0, 12),
)
def test_exactly_what_lies_in_the_span_comes_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory,
    minutes: list[tuple[int, str]],
    begin: int,
    length: int,
) -> None:
    path = tmp_path_factory.mktemp("span") / "kei.db"
    recorded = [reading(minute, sensor) for minute, sensor in minutes]
    database = Database.open(path, FakeClock(zone=TOKYO))
    add_readings(database, recorded)
    database.close()
    wanted = Query(MIDNIGHT + begin * MINUTE, MIDNIGHT + (begin + length) * MINUTE)
    inside = [r for r in recorded if wanted.from_ms <= r.time_ms < wanted.to_ms]
    assert list(read_only.readings(path, daily(path.parent), wanted)) == sorted(
        inside, key=lambda r: r.time_ms
    )


def test_memory_does_not_grow_with_what_is_read(tmp_path: Path, database: Database) -> None:
    for day in range(20):
        add_readings(database, [reading(day * 1440 + minute) for minute in range(1440)])
    tracemalloc.start()
    try:
        wanted = Query(MIDNIGHT, MIDNIGHT + 20 * 1440 * MINUTE)
        count = sum(1 for _ in read_only.readings(tmp_path / "kei.db", daily(tmp_path), wanted))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 20 * 1440
    assert peak < 500_000


def test_the_command_writes_lines_and_ends_well(jobs: JobsFile, database: Database) -> None:
    add_readings(database, [reading(0)])
    command = ("export", "--jobs", str(jobs.path), "--from", "2026-11-22", "--to", "2026-11-24")
    with running(*command, TZ="Asia/Tokyo") as kei:
        assert kei.wait() == 0
    assert kei.lines == ["time,unit,sensor,value,id", "2026-11-23T00:00:00.000+09:00,BR,E7,512,x"]
    with running("export", "--jobs", str(jobs.path), "--from", "-9d", "--to", "-8d") as kei:
        assert kei.wait() == 0
    assert kei.lines == ["time,unit,sensor,value,id"]
    with running(*command[:-2], "--to", "soon") as kei:
        assert kei.wait() == 2
    assert len(kei.errors) == 1


def test_names_that_are_in_the_text_alone_are_known(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, "sim:latency=0,scan-time=0,join-time=0")
    days = ("export", "--jobs", str(jobs), "--from", "today", "--to", "today")
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: any("E7" in line for line in readings(tmp_path)), 20, "a reading")
        code, found, told = command(*days, "--sensor", "e7")
        assert (code, told) == (0, [])
        assert len(found) > 1
        _, found, (note,) = command(*days, "--sensor", "T1")
        assert (found[1:], "there is: " in note, "E7" in note) == ([], True, True)
        assert kei.stop() == 0
