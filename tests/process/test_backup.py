"""`kei backup` and `kei restore` from outside: beside a real kei, and in the place of its data."""

import os
import shutil
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from programs import (
    SIMULATED,
    Program,
    as_text_line,
    command,
    readings,
    running,
    wait_until,
    write_jobs,
)
from small_disks import fill, small_disk
from strangers import STRANGER, kei_of_a_stranger, needs_root, public_folder

FAST = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.1'
ROWS = 50_000  # in a database of some megabytes


def jobs_of(folder: Path) -> Path:
    return write_jobs(folder, SIMULATED, "[recorder]", 'sync = "0.1s"', requests=FAST)


def backup(jobs: Path, target: object) -> tuple[int, list[str], list[str]]:
    return command("backup", "--jobs", jobs, target)


def restore(jobs: Path, source: object) -> tuple[int, list[str], list[str]]:
    return command("restore", "--jobs", jobs, source)


def fault(result: tuple[int, list[str], list[str]]) -> str:
    """The only line of a command that has failed."""
    code, said, errors = result
    assert (code, said, len(errors)) == (1, [], 1), result
    return errors[0]


def has_rows(kei: Program, folder: Path, count: int = 10) -> None:
    kei.wait_for(lambda: len(readings(folder)) >= count, 20, f"{count} readings")


def rows(path: Path) -> Counter[tuple[int, int, str]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as database:
        return Counter(database.execute("SELECT time_ms, value, data_id FROM readings").fetchall())


def exported(jobs: Path) -> Counter[str]:
    code, lines, errors = command(
        "export", "--jobs", jobs, "--from", "2000-01-01", "--to", "2100-01-01"
    )
    assert (code, errors) == (0, [])
    return Counter(map(as_text_line, lines[1:]))


def text(folder: Path) -> Counter[str]:
    return Counter(",".join(fields) for fields in readings(folder))


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A jobs.toml whose kei has recorded something and was stopped."""
    found = jobs_of(tmp_path)
    with running("--jobs", str(found)) as kei:
        has_rows(kei, tmp_path)
        assert kei.stop() == 0
    return found


def grow(database: Path) -> None:
    """Add so many readings that a copy takes its time."""
    with closing(sqlite3.connect(database)) as connection, connection:
        (first,) = connection.execute("SELECT max(id) + 1 FROM readings").fetchone()
        connection.executemany(
            "INSERT INTO readings (id, series_id, time_ms, value, data_id)"
            " SELECT ?, series_id, time_ms, value, ? FROM readings"
            " WHERE id = (SELECT min(id) FROM readings)",
            [(first + number, f"{number:x>40}") for number in range(ROWS)],
        )


def test_a_running_kei_is_copied_and_the_copy_is_a_database_of_its_own(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    target = tmp_path / "elsewhere" / "kei.db"
    target.parent.mkdir()
    with running("--jobs", str(jobs)) as kei:
        has_rows(kei, tmp_path)
        for _ in range(2):  # the second one replaces the first
            code, said, errors = backup(jobs, target)
            assert (code, errors) == (0, [])
            (line,) = said
            assert line.startswith(f"{target}: ")
        assert [path.name for path in target.parent.iterdir()] == ["kei.db"]
        assert kei.stop() == 0
        assert not [line for line in kei.lines if '"level": "error"' in line]
    with closing(sqlite3.connect(target)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert rows(target) <= rows(tmp_path / "kei.db")


def test_what_a_kill_has_left_in_the_log_is_copied_too(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    with running("--jobs", str(jobs)) as kei:
        has_rows(kei, tmp_path)
        kei.send(signal.SIGKILL)
    with running("--jobs", str(jobs)) as kei:  # takes the lines over, and commits them
        has_rows(kei, tmp_path, 30)
        kei.send(signal.SIGKILL)
    assert backup(jobs, tmp_path / "copy.db")[0] == 0
    assert sum(rows(tmp_path / "copy.db").values()) >= 10


def test_a_backup_beside_a_busy_kei_is_one_state_of_it(jobs: Path, tmp_path: Path) -> None:
    grow(tmp_path / "kei.db")
    before = rows(tmp_path / "kei.db")
    with running("--jobs", str(jobs)) as kei:
        has_rows(kei, tmp_path, len(readings(tmp_path)) + 5)
        assert backup(jobs, tmp_path / "copy.db")[0] == 0
        assert kei.stop() == 0
    assert before <= rows(tmp_path / "copy.db") <= rows(tmp_path / "kei.db")


def test_a_backup_that_is_killed_leaves_the_older_one(jobs: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    assert backup(jobs, target)[0] == 0
    older = target.read_bytes()
    grow(tmp_path / "kei.db")
    part = tmp_path / "copy.db.part"
    with running("backup", "--jobs", str(jobs), str(target)) as program:
        wait_until(lambda: part.exists() and part.stat().st_size > 0, 20, "a part of it")
        program.send(signal.SIGKILL)
        program.wait()
    assert target.read_bytes() == older
    assert part.exists()
    assert backup(jobs, target)[0] == 0
    assert not part.exists()
    assert sum(rows(target).values()) > ROWS


def test_a_backup_that_is_interrupted_leaves_nothing(jobs: Path, tmp_path: Path) -> None:
    grow(tmp_path / "kei.db")
    target, part = tmp_path / "copy.db", tmp_path / "copy.db.part"
    with running("backup", "--jobs", str(jobs), str(target)) as program:
        wait_until(lambda: part.exists() or target.exists(), 20, "a part of it")
        assert program.stop(signal.SIGINT) == 0
        assert program.errors == []
    assert not part.exists()
    assert not target.exists() or sum(rows(target).values()) > ROWS


def test_two_backups_to_one_file_do_not_mix(jobs: Path, tmp_path: Path) -> None:
    grow(tmp_path / "kei.db")
    target = tmp_path / "copy.db"
    commands = [("backup", "--jobs", str(jobs), str(target))] * 3
    with running(*commands[0]) as one, running(*commands[1]) as two, running(*commands[2]) as three:
        codes = [program.wait(60) for program in (one, two, three)]
        errors = [line for program in (one, two, three) for line in program.errors]
    assert 0 in codes
    assert len(errors) == sum(codes)
    assert all("another process is writing it" in line for line in errors)
    assert sum(rows(target).values()) > ROWS
    assert not (tmp_path / "copy.db.part").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("kei.db", "is the database itself, or belongs to it; name another file"),
        ("link.db", "is the database itself, or belongs to it; name another file"),
        ("hard.db", "is the database itself, or belongs to it; name another file"),
        ("kei.db-wal", "is the database itself, or belongs to it; name another file"),
        ("kei.db.lock", "is the database itself, or belongs to it; name another file"),
        (".", "is a folder; name a file in it: {}/kei-backup.db"),
        ("jobs.toml", "exists and is no database of kei; name another file"),
        ("other.db", "exists and is no database of kei; name another file"),
        ("pipe", "is no file; name another one"),
    ],
)
def test_nothing_is_overwritten_by_a_backup(
    target: str, said: str, jobs: Path, tmp_path: Path
) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "kei.db")
    (tmp_path / "hard.db").hardlink_to(tmp_path / "kei.db")
    os.mkfifo(tmp_path / "pipe")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("CREATE TABLE songs (name TEXT)")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    path = tmp_path / target
    assert fault(backup(jobs, path)) == f"kei: {path}: {said.format(path)}"
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_the_database_of_another_kei_that_runs_is_not_overwritten(
    jobs: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "kei.db"
    with running("--jobs", str(jobs_of(tmp_path / "other"))) as kei:
        has_rows(kei, tmp_path / "other")
        assert "is a database in use" in fault(backup(jobs, other))


def test_without_a_folder_or_a_database_there_is_no_backup(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    assert "there is no database yet" in fault(backup(jobs, tmp_path / "copy.db"))
    (tmp_path / "kei.db").touch()
    assert "is empty" in fault(backup(jobs, tmp_path / "copy.db"))
    assert "is the disk mounted?" in fault(backup(jobs, tmp_path / "usb" / "copy.db"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.toml", "kei.db"]


def test_a_disk_without_room_keeps_the_older_backup(jobs: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "usb") as usb:
        target = usb / "copy.db"
        assert backup(jobs, target)[0] == 0
        older = target.read_bytes()
        grow(tmp_path / "kei.db")
        assert "MiB are needed" in fault(backup(jobs, target))
        fill(usb)
        assert "MiB are needed" in fault(backup(jobs, target))
        assert target.read_bytes() == older
        assert sorted(path.name for path in usb.iterdir()) == ["ballast", "copy.db"]


def test_a_damaged_database_does_not_replace_a_good_backup(jobs: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    assert backup(jobs, target)[0] == 0
    older = target.read_bytes()
    with (tmp_path / "kei.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)
    assert "is damaged" in fault(backup(jobs, target))
    assert target.read_bytes() == older


@needs_root
def test_who_may_only_read_makes_a_backup_while_kei_runs_and_when_it_does_not() -> None:
    with public_folder() as folder:
        jobs = write_jobs(folder, SIMULATED, requests=FAST)
        secret = folder / "pwd"
        secret.write_text("0123456789AB")
        secret.chmod(0o600)
        jobs.write_text(jobs.read_text().replace('broute_pwd = "0123456789AB"', ""))
        jobs.write_text(
            jobs.read_text().replace("[broute]", f'[broute]\nbroute_pwd_file = "{secret}"')
        )
        home = folder / "home"
        home.mkdir()
        os.chown(home, STRANGER, STRANGER)
        with running("--jobs", str(jobs)) as kei:
            has_rows(kei, folder)
            assert backup_of_a_stranger(jobs, home / "first.db") == (0, [])
            assert kei.stop() == 0
        assert backup_of_a_stranger(jobs, home / "second.db") == (0, [])
        code, errors = backup_of_a_stranger(jobs, folder / "third.db")
        assert code == 1
        assert "Permission denied" in errors[0]
        assert rows(home / "first.db") <= rows(home / "second.db") == rows(folder / "kei.db")


def backup_of_a_stranger(jobs: Path, target: Path) -> tuple[int, list[str]]:
    with kei_of_a_stranger("backup", "--jobs", str(jobs), str(target)) as stranger:
        return stranger.wait(30), stranger.errors


def test_a_restored_backup_has_everything_and_what_was_there_is_kept(
    jobs: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    assert backup(jobs, target)[0] == 0
    with running("--jobs", str(jobs)) as kei:
        has_rows(kei, tmp_path, len(readings(tmp_path)) + 10)
        kei.send(signal.SIGKILL)  # so that there is a log, too
    later = readings(tmp_path)
    code, said, errors = restore(jobs, target)
    assert (code, errors) == (0, [])
    assert said[0].startswith(f"{tmp_path / 'kei.db'}: restored from {target}, ")
    (aside,) = (
        path for path in tmp_path.glob("kei.db.before-restore-*") if "-wal" not in str(path)
    )
    assert said[1].startswith(f"{aside}: the database before that")
    assert rows(tmp_path / "kei.db") == rows(target)
    assert not (tmp_path / "kei.db-wal").exists()
    with closing(sqlite3.connect(aside)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with running("--jobs", str(jobs)) as kei:
        has_rows(kei, tmp_path, len(later) + 5)
        assert kei.stop() == 0
        assert not [line for line in kei.lines if '"level": "error"' in line]
    assert exported(jobs) == text(tmp_path)  # what came after the backup is back, from the text


def test_another_machine_takes_over_a_backup(jobs: Path, tmp_path: Path) -> None:
    assert backup(jobs, tmp_path / "copy.db")[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    for file in tmp_path.glob("2*.txt"):
        shutil.copy(file, other)
    code, said, errors = restore(jobs_of(other), tmp_path / "copy.db")
    assert (code, len(said), errors) == (0, 1, [])
    with running("--jobs", str(other / "jobs.toml")) as kei:
        has_rows(kei, other, len(readings(tmp_path)) + 5)
        assert kei.stop() == 0
    assert exported(other / "jobs.toml") == text(other) >= text(tmp_path)


def test_nothing_is_restored_while_kei_runs(jobs: Path, tmp_path: Path) -> None:
    assert backup(jobs, tmp_path / "copy.db")[0] == 0
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        line = fault(restore(jobs, tmp_path / "copy.db"))
        assert f"in use by another kei (pid {kei.process.pid}); stop it first" in line
        assert kei.stop() == 0
    assert not list(tmp_path.glob("*before-restore*"))


def test_what_is_no_sound_backup_is_not_restored(jobs: Path, tmp_path: Path) -> None:
    assert backup(jobs, tmp_path / "copy.db")[0] == 0
    good = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(good[: len(good) // 2])
    (tmp_path / "bad.db").write_bytes(good[:4096] + b"\xa5" * 4096 + good[8192:])
    (tmp_path / "text.db").write_text("2026/11/23 07:02:30,BR,E7,512,x\n")
    shutil.copy(tmp_path / "copy.db", tmp_path / "newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as newer, newer:
        newer.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("CREATE TABLE songs (name TEXT)")
    before = (tmp_path / "kei.db").read_bytes()
    for name, said in (
        ("cut.db", "is damaged"),
        ("bad.db", "is damaged"),
        ("text.db", "is no database"),
        ("newer.db", "schema version 99 is newer than this kei knows"),
        ("other.db", "is no database of kei"),
        ("kei.db", "is the database itself"),
        ("nothing.db", "there is no such file"),
        (".", "is no file"),
    ):
        assert said in fault(restore(jobs, tmp_path / name)), name
    assert (tmp_path / "kei.db").read_bytes() == before
    assert not list(tmp_path.glob("*before-restore*"))
    assert not list(tmp_path.glob("*.part"))


def test_a_disk_without_room_keeps_the_present_database(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        jobs = write_jobs(
            tmp_path, SIMULATED, "[recorder]", 'directory = "disk"', 'database = "disk/kei.db"',
            requests=FAST,
        )  # fmt: skip
        with running("--jobs", str(jobs)) as kei:
            has_rows(kei, disk)
            assert kei.stop() == 0
        assert backup(jobs, tmp_path / "copy.db")[0] == 0
        grow(tmp_path / "copy.db")
        before = (disk / "kei.db").read_bytes()
        assert "MiB are needed" in fault(restore(jobs, tmp_path / "copy.db"))
        assert (disk / "kei.db").read_bytes() == before


@needs_root
def test_what_root_restores_belongs_to_the_owner_of_the_data(jobs: Path, tmp_path: Path) -> None:
    assert backup(jobs, tmp_path / "copy.db")[0] == 0
    os.chown(tmp_path / "kei.db", STRANGER, STRANGER)
    assert restore(jobs, tmp_path / "copy.db")[0] == 0
    found = (tmp_path / "kei.db").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (STRANGER, STRANGER, 0o644)


def test_a_wrong_call_exits_2(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    assert command("backup", "--jobs", jobs, tmp_path / "copy.db")[0] == 2
    assert command("backup", "--jobs", jobs)[0] == 2
    assert command("restore", "--jobs", jobs)[0] == 2
