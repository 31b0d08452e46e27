"""`kei import` from outside: text files of kei and keilog into the database, nothing twice."""

import gzip
import json
import lzma
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from programs import (
    ROOT,
    SIMULATED,
    as_text_line,
    command,
    readings,
    running,
    summaries,
    wait_until,
    write_jobs,
)
from small_disks import fill, small_disk
from strangers import STRANGER, needs_root, public_folder
from upload_support import Post, Server

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'
TZ = "Asia/Tokyo"
in_tokyo = partial(command, TZ=TZ)
LONG = 'retention = "36500d"'


def imported(jobs: Path, *files: Path) -> list[str]:
    """What is said of an import that finds nothing wrong, without the folder."""
    code, said, errors = in_tokyo("import", "--jobs", jobs, *files)
    assert (code, errors) == (0, [])
    return [line.replace(f"{jobs.parent}/", "") for line in said]


def exported(jobs: Path, *options: str) -> Counter[str]:
    span = ("--from", "1900-01-01", "--to", "2200-01-01")
    code, lines, errors = in_tokyo("export", "--jobs", jobs, *span, *options)
    assert (code, errors) == (0, [])
    form = "%Y/%m/%d %H:%M" if "--summary" in options else "%Y/%m/%d %H:%M:%S"
    return Counter(as_text_line(line, form) for line in lines[1:])


def jobs_of(folder: Path, *more: str) -> Path:
    return write_jobs(folder, SIMULATED, "[recorder]", LONG, *more, requests=FAST)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return jobs_of(tmp_path)


def day(*lines: str) -> list[str]:
    return [f"2024/03/01 {line}" for line in lines]


LINES = day(
    "00:00:01,BR,E7,512,x",
    "00:00:11,BR,E7,-3,x",
    "00:00:11,BR,E7,-3,x",
    "00:10:00,BR,E0,12345.6,x",
    "00:20:00,A1,T1,21.50,7",
)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_lines_become_rows_and_a_second_import_adds_nothing(jobs: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "20240301-old.txt", LINES)
    assert imported(jobs, file) == ["20240301-old.txt: 5 lines, 5 added, 0 already there"]
    assert imported(jobs, file, file) == ["20240301-old.txt: 5 lines, 0 added, 5 already there"] * 2
    assert exported(jobs) == Counter(LINES)
    assert file.read_text().splitlines() == LINES


def test_compressed_files_are_the_same_whatever_their_names(jobs: Path, tmp_path: Path) -> None:
    write(tmp_path / "20240301-old.txt", LINES[:2])
    packed = tmp_path / "20240301-old.txt.1.gz"
    packed.write_bytes(gzip.compress("".join(f"{line}\n" for line in LINES).encode()))
    assert imported(jobs, packed) == ["20240301-old.txt.1.gz: 5 lines, 5 added, 0 already there"]
    assert imported(jobs, tmp_path / "20240301-old.txt") == [
        "20240301-old.txt: 2 lines, 0 added, 2 already there"
    ]


def test_of_equal_lines_as_many_are_added_as_are_missing(jobs: Path, tmp_path: Path) -> None:
    same = day("00:00:01,BR,E7,512,x")
    assert imported(jobs, write(tmp_path / "a.txt", same * 2))[0].endswith(
        "2 added, 0 already there"
    )
    assert imported(jobs, write(tmp_path / "b.txt", same * 5))[0].endswith(
        "3 added, 2 already there"
    )
    assert exported(jobs) == Counter(same * 5)


def test_what_a_real_kei_has_recorded_is_recognised(jobs: Path, tmp_path: Path) -> None:
    with running("--jobs", str(jobs), TZ=TZ) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= 20, 20, "readings")
        kei.send(signal.SIGKILL)  # so that the text has what the database has not
    (file,) = tmp_path.glob("2*.txt")
    count = len(file.read_text().splitlines())
    before = file.read_text()
    assert imported(jobs, file) == [f"{file.name}: {count} lines, 0 added, {count} already there"]
    assert imported(jobs, write(tmp_path / "20240301-old.txt", LINES))[0].endswith(
        "0 already there"
    )
    with running("--jobs", str(jobs), TZ=TZ) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= count + 5 + len(LINES), 20, "more readings")
        assert kei.stop() == 0
    assert file.read_text().startswith(before)
    assert exported(jobs) == Counter(",".join(fields) for fields in readings(tmp_path))


def test_the_database_comes_back_from_the_text_files_alone(jobs: Path, tmp_path: Path) -> None:
    files = []
    for number in range(1, 4):
        lines = [line.replace("2024/03/01", f"2024/03/0{number}") for line in LINES]
        files.append(write(tmp_path / f"2024030{number}-mydatafile.txt", lines))
    for _ in range(2):
        imported(jobs, *files)
        assert exported(jobs) == Counter(",".join(fields) for fields in readings(tmp_path))
        for path in tmp_path.glob("kei.db*"):
            path.unlink()


def test_the_averages_are_computed_and_get_no_second_line(jobs: Path, tmp_path: Path) -> None:
    jobs.write_text(jobs.read_text() + "[summary]\ncycle = 1\n")
    sums = tmp_path / "sum20240301-mydatafile.txt"
    sums.write_text("2024/03/01 00:00,BR,E7,512\n")
    imported(jobs, write(tmp_path / "20240301-mydatafile.txt", LINES))
    with running("--jobs", str(jobs), TZ=TZ) as kei:
        kei.wait_for(lambda: len(summaries(tmp_path)) > 2, 20, "averages of today")
        wait_until(lambda: exported(jobs, "--summary") >= wanted, 20, "averages of the import")
        assert kei.stop() == 0
    assert sums.read_text() == "2024/03/01 00:00,BR,E7,512\n"


wanted = Counter(
    [
        "2024/03/01 00:00,BR,E7,512,512,512,1,recovered",
        "2024/03/01 00:00,BR,E7,-3,-3,-3,2,recovered",
        "2024/03/01 00:10,BR,E0,12345.6,12345.6,12345.6,1,recovered",
        "2024/03/01 00:20,A1,T1,21.5,21.50,21.50,1,recovered",
    ]
)


def test_files_of_keilog_are_understood(jobs: Path, tmp_path: Path) -> None:
    lines = day(
        "12:00:01,BR,E7,512,x",
        "12:00:02,BR,E0,35293.3,x",
        "12:00:03,A,T1,12.0,0F",
        "12:00:04,A,H,-0.0,",
    )
    file = tmp_path / "20240301-mylogfile.txt"
    file.write_bytes("".join(f"{line}\r\n" for line in lines).encode("utf-8-sig"))
    assert imported(jobs, file) == ["20240301-mylogfile.txt: 4 lines, 4 added, 0 already there"]
    assert imported(jobs, file)[0].endswith("0 added, 4 already there")
    assert exported(jobs) == Counter([*lines[:3], lines[3].replace("-0.0", "0.0")])


def test_what_is_no_reading_is_counted_and_the_first_is_named(jobs: Path, tmp_path: Path) -> None:
    file = tmp_path / "20240301-old.txt"
    write(file, [LINES[0], "garbage", *day("25:00:01,BR,E7,1,x"), "\x00" * 9000, LINES[1]])
    with file.open("a") as torn:
        torn.write("2024/03/01 00:00:21,BR,E7,51")
    (line,) = imported(jobs, file)
    assert line.startswith("20240301-old.txt: ")
    assert " 2 added, 0 already there, " in line
    assert line.endswith("the first is line 2: not a line of readings: 'garbage'")
    assert exported(jobs) == Counter(LINES[:2])


def test_a_line_without_an_end_may_lack_a_part_of_its_value(jobs: Path, tmp_path: Path) -> None:
    file = tmp_path / "20240301-old.txt"
    file.write_text(f"{LINES[0]}\n2024/03/01 00:00:21,BR,E7,51,")
    (line,) = imported(jobs, file)
    assert line.endswith(
        "1 added, 0 already there, 1 not understood, the first is line 2: it has no end"
    )


def test_times_that_no_clock_has_shown_are_left_out(jobs: Path, tmp_path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(days=3)  # noqa: TID251 - of this machine
    times = ["0001/01/01 00:00:00", "1970/01/01 00:00:10", "9999/12/31 23:59:59"]
    times.append(f"{ahead:%Y/%m/%d %H:%M:%S}")
    file = write(tmp_path / "20240301-old.txt", [f"{each},BR,EA,1,x" for each in times] + LINES)
    (line,) = imported(jobs, file)
    assert line.endswith(
        "4 not understood, the first is line 1: 0001/01/01 00:00:00 cannot be its time"
    )
    assert exported(jobs) == Counter(LINES)


def test_averages_and_what_cannot_be_read_are_errors_and_the_rest_is_imported(
    jobs: Path, tmp_path: Path
) -> None:
    good = write(tmp_path / "20240301-old.txt", LINES)
    sums = write(tmp_path / "sum20240301-old.txt", ["2024/03/01 00:00,BR,E7,512"])
    packed = gzip.compress("".join(f"{line}\n" for line in LINES * 500).encode())
    (tmp_path / "20240302-old.txt.gz").write_bytes(packed[:-20])
    missing, cut = tmp_path / "20240303-old.txt", tmp_path / "20240302-old.txt.gz"
    os.mkfifo(tmp_path / "pipe")
    code, said, errors = in_tokyo(
        "import", "--jobs", jobs, sums, missing, tmp_path, cut, tmp_path / "pipe", good
    )
    assert code == 1
    assert said == [f"{good}: 5 lines, 0 added, 5 already there"]  # they were in the one cut off
    beginnings = [error.partition(f"{tmp_path}")[2].partition(": ")[2] for error in errors]
    assert beginnings[0].startswith("has averages, which kei computes from readings: import")
    assert beginnings[1:3] == [
        "there is no such file",
        f"is a folder; name the files in it: {tmp_path}/2*.txt*",
    ]
    assert "is damaged behind line" in errors[3]
    assert errors[4].endswith("pipe: is no file")
    assert len(errors) == 5


def test_a_file_of_another_kind_is_told_of_in_one_sentence(jobs: Path, tmp_path: Path) -> None:
    imported(jobs, write(tmp_path / "20240301-old.txt", LINES))  # so that there is a kei.db
    database = (tmp_path / "kei.db").read_bytes()
    text = "".join(f"{line}\n" for line in LINES).encode()
    others = {
        "kei.db": database,
        "kei.db.gz": gzip.compress(database),
        "old.txt.xz": lzma.compress(text),
        "bad.txt.gz": gzip.compress(text)[:12] + b"!" * 20,
        "notes.txt": b"hello\n",
        "empty.txt": b"",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    code, said, errors = in_tokyo("import", "--jobs", jobs, *(tmp_path / name for name in others))
    told = [each.removeprefix(f"kei: {tmp_path}/") for each in errors]
    restoring = (
        "is a database: `kei restore` puts one that `kei backup` has written back in its place"
    )
    assert told[:3] == [
        f"kei.db: {restoring}",
        f"kei.db.gz: {restoring}",
        "old.txt.xz: is compressed in a way that kei does not read: unpack it first",
    ]
    assert told[3].startswith("bad.txt.gz: is damaged from its first line on, nothing of it was")
    (rest,) = told[4:]
    assert rest.startswith("notes.txt: 1 line, none understood: not a line of readings: 'hello'; ")
    assert said == [f"{tmp_path / 'empty.txt'}: is empty"]
    assert code == 1


def test_nothing_is_imported_while_kei_runs(jobs: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "20240301-old.txt", LINES)
    with running("--jobs", str(jobs), TZ=TZ) as kei:
        kei.wait_for_event("session_joined")
        code, said, errors = in_tokyo("import", "--jobs", jobs, file)
        assert (code, said, len(errors)) == (1, [], 1)
        assert f"in use by another kei (pid {kei.process.pid}); stop it first" in errors[0]
        assert kei.stop() == 0


@pytest.mark.usefixtures("unmeasured")  # 80,000 times the same
def test_an_import_that_is_killed_is_completed_by_the_next_one(jobs: Path, tmp_path: Path) -> None:
    lines = [
        f"2024/03/01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02},BR,E7,{second},x"
        for second in range(80_000)
    ]
    file = write(tmp_path / "20240301-old.txt", lines)
    with running("import", "--jobs", str(jobs), str(file), TZ=TZ) as program:
        log = tmp_path / "kei.db-wal"
        wait_until(lambda: log.exists() and log.stat().st_size > 200_000, 20, "the first rows")
        program.send(signal.SIGKILL)
        assert program.wait() < 0
    (line,) = imported(jobs, file)
    assert "80000 lines, " in line
    assert ", 0 already there" not in line
    assert exported(jobs) == Counter(lines)


def test_status_goes_on_showing_the_newest_values(jobs: Path, tmp_path: Path) -> None:
    imported(jobs, write(tmp_path / "new.txt", ["2025/01/01 00:00:00,BR,E7,7,x"]))
    imported(jobs, write(tmp_path / "old.txt", LINES))
    imported(jobs, write(tmp_path / "old2.txt", ["2024/12/31 23:00:00,BR,E7,1.5,x"]))
    _, lines, _ = in_tokyo("status", "--json", "--jobs", jobs)
    series = {each["sensor"]: each["value"] for each in json.loads("".join(lines))["series"]}
    assert series == {"E7": 7, "E0": 12345.6, "T1": 21.5}


def test_local_time_is_that_of_the_machine_also_where_an_hour_comes_twice(
    jobs: Path, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "20241027-old.txt",
        ["2024/10/27 02:30:00,BR,E7,1,x", "2024/10/27 02:10:00,BR,E7,2,x"],
    )
    berlin = "Europe/Berlin"
    command("import", "--jobs", jobs, file, TZ=berlin)
    assert "0 added, 2 already there" in command("import", "--jobs", jobs, file, TZ=berlin)[1][0]
    span = ("--from", "2024-10-27", "--to", "2024-10-27", "--format", "jsonl")
    _, lines, _ = command("export", "--jobs", jobs, *span, TZ=berlin)
    times = [datetime.fromisoformat(json.loads(line)["time"]) for line in lines]
    assert times == [
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        datetime(2024, 10, 27, 1, 10, tzinfo=UTC),
    ]


def test_where_imported_readings_go_is_said(tmp_path: Path) -> None:
    upload = [
        "[[upload]]",
        'name = "server"',
        'target_url = "http://127.0.0.1:9/"',
        'format = "json"',
    ]
    jobs = write_jobs(tmp_path, SIMULATED, *upload)
    _, said, _ = in_tokyo("import", "--jobs", jobs, write(tmp_path / "20240301-old.txt", LINES))
    _, sent, old = said
    assert sent == "note: upload servers get what was added only as `since` in [[upload]] says"
    assert old.startswith("note: readings that are older than retention = 400d leave the database")
    _, said, _ = in_tokyo("import", "--jobs", jobs, tmp_path / "20240301-old.txt")
    assert len(said) == 1


def test_a_server_gets_what_was_added_only_if_it_was_served_before_or_asks_for_it(
    tmp_path: Path,
) -> None:
    """Nobody knows what a server that is new here has of it; one that was served lacks it."""
    with closing(Server()) as server:
        target = ["[[upload]]", f'target_url = "{server.url}"', 'format = "json"', "cycle = 1"]
        readings_of = [*target, 'what = "readings"']
        asks = [
            *readings_of,
            'name = "asks"',
            'since = "2024-03-01"',
            'headers = { X-Who = "asks" }',
        ]
        jobs = jobs_of(tmp_path, *readings_of, 'name = "server"', *asks)
        for number, expected in ((1, {"asks"}), (2, {"asks", "server"})):
            old = [line.replace("/03/01", f"/03/0{number}") for line in LINES]
            _, lines, _ = command(
                "import", "--jobs", jobs, write(tmp_path / f"2024030{number}-old.txt", old)
            )
            assert f"{len(LINES)} added" in lines[0]
            server.posts.clear()
            day = f"2024-03-0{number}"
            with running("--jobs", str(jobs), TZ=TZ) as kei:
                wait_until(lambda: with_live_values(server) == {"asks", "server"}, 20, "uploads")
                wait_until(partial(got_by, server, day, expected), 20, "those of that day")
                assert kei.stop() == 0
            assert who_got(server, day) == expected


def who(post: Post) -> str:
    return post.headers.get("X-Who") or "server"


def who_got(server: Server, day: str) -> set[str]:
    """Who has got readings of a day."""
    return {who(post) for post in server.posts if day in post.body.decode()}


def got_by(server: Server, day: str, wanted: set[str]) -> bool:
    return wanted <= who_got(server, day)


def with_live_values(server: Server) -> set[str]:
    """Who has got readings of today."""
    return {who(post) for post in server.posts if '"time": "2024' not in post.body.decode()}


def test_a_full_disk_is_an_error_and_what_fitted_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        places = ['directory = "disk"', 'database = "disk/kei.db"']
        jobs = jobs_of(tmp_path, *places)
        file = write(tmp_path / "20240301-old.txt", LINES)
        imported(jobs, file)
        ballast = fill(disk)
        more = write(
            tmp_path / "20240302-old.txt", [line.replace("/01 ", "/02 ") for line in LINES]
        )
        code, said, errors = in_tokyo("import", "--jobs", jobs, more)
        assert (code, said) == (1, [])
        assert "disk" in errors[-1]
        assert "Traceback" not in "".join(errors)
        ballast.unlink()
        assert imported(jobs, file, more)[1].endswith("5 added, 0 already there")


@needs_root
def test_what_root_imports_belongs_to_the_owner_of_the_folder() -> None:
    with public_folder() as folder:
        data = folder / "data"
        data.mkdir()
        os.chown(data, STRANGER, STRANGER)
        jobs = jobs_of(folder, 'directory = "data"', 'database = "data/kei.db"')
        imported(jobs, write(folder / "20240301-old.txt", LINES))
        assert {path.stat().st_uid for path in data.iterdir()} == {STRANGER}


def test_on_a_terminal_the_progress_is_seen(jobs: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "20240301-old.txt", LINES)
    master, client = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "kei", "import", "--jobs", str(jobs), str(file)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=client,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        seen = os.read(master, 4096).decode()
    finally:
        os.close(master)
        os.close(client)
    assert f"reading {file.name} (1 of 1) " in seen
    assert seen.endswith("\r\x1b[K")


def test_the_help_says_what_to_give(tmp_path: Path) -> None:
    code, said, _ = in_tokyo("import", "--help")
    assert code == 0
    assert "keilog" in "\n".join(said)
