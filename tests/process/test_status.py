"""`kei status` from outside: beside a real kei, after one, and before there is any."""

import json
import os
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from programs import (
    BROUTE_ID,
    BROUTE_PWD,
    PATIENCE_S,
    SIMULATED,
    Program,
    command,
    running,
    simulator,
    wait_until,
    write_jobs,
)
from small_disks import ext4_disk
from strangers import BECOME, STRANGER, kei_of_a_stranger, needs_root, public_folder

from kei.app.status_server import address, ask
from kei.commands.status import StatusReport, status
from kei.core.clock import SystemClock
from kei.wisun.interfaces import SessionStatus

NO_PORT = "/dev/there-is-no-such-dongle"
EVERY_SECOND = """
[[broute.requests]]
epc = ["E7"]
cycle = 1
[[broute.requests]]
epc = ["D3", "D7", "E1", "E0", "E8"]
cycle = 3600
"""
DEAD_SERVER = [
    "[[upload]]",
    'name = "dead"',
    'target_url = "http://127.0.0.1:9/upload?token=very-secret"',
    'upload_key = "abcdefghijkl"',
    'format = "json"',
    'what = "readings"',
    "cycle = 1",
]


def kei_status(jobs: Path, *flags: str) -> tuple[int, str]:
    """Exit code and output of `kei status`; there is never anything on stderr."""
    code, said, errors = command("status", "--jobs", jobs, *flags)
    assert errors == []
    return code, "\n".join([*said, ""])


def as_json(jobs: Path) -> tuple[int, dict[str, object]]:
    code, text = kei_status(jobs, "--json")
    return code, cast("dict[str, object]", json.loads(text))


def look(jobs: Path) -> StatusReport:
    """The same without the cost of a process."""
    return status(jobs, environ={}, clock=SystemClock())


def sensors(found: StatusReport) -> set[str]:
    return {reading.sensor for reading in found.facts.series}


def is_joined(found: StatusReport) -> bool:
    said = found.facts.snapshot
    return said is not None and said.session is not None and said.session.joined


def test_a_running_kei_is_seen_with_its_session_and_its_values(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: sensors(look(jobs)) >= {"E7", "E8R", "E0"}, 20, "readings")
        # On a machine that stands still for seconds, answers are missed and it joins once more.
        kei.wait_for(lambda: is_joined(look(jobs)), 20, "its session")
        code, found = as_json(jobs)
        assert (code, found["well"], found["running"]) == (0, True, True)
        assert found["pid"] == kei.process.pid
        session = cast("dict[str, object]", found["session"])
        assert (session["joined"], session["state"]) == (True, "joined")
        assert (session["dongle"], session["channel"], session["pan_id"]) == (
            "RL7023-DSS",
            33,
            "8888",
        )
        assert session["lqi"] is not None
        code, text = kei_status(jobs)
        assert code == 0
        assert "session    joined" in text
        assert " W " in text
        assert kei.stop() == 0


def test_a_kei_that_has_stopped_leaves_its_last_values(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        assert kei.stop() == 0
    before = sorted(tmp_path.iterdir())
    code, found = as_json(jobs)
    assert (code, found["running"], found["session"]) == (1, False, None)
    series = cast("list[dict[str, object]]", found["series"])
    assert "E7" in {each["sensor"] for each in series}
    assert sorted(tmp_path.iterdir()) == before


def test_a_kei_that_was_killed_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, *DEAD_SERVER, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: waiting_rows(jobs) >= 1, 20, "a row for the upload")
        kei.send(signal.SIGKILL)
        kei.wait()
    code, text = kei_status(jobs)
    assert code == 1
    assert text.startswith("kei        does not run\n")
    found = look(jobs)
    assert "E7" in sensors(found)
    assert waiting_rows(jobs) >= 1


def waiting_rows(jobs: Path) -> int:
    (upload,) = look(jobs).facts.uploads
    return upload.waiting.rows if upload.waiting else 0


def test_before_the_first_start_nothing_is_known_and_nothing_is_made(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED)
    code, found = as_json(jobs)
    assert (code, found["running"], found["series"]) == (1, False, [])
    assert list(tmp_path.iterdir()) == [jobs]


def test_a_kei_without_its_dongle_is_seen_waiting(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, NO_PORT)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("port_lost")
        code, found = as_json(jobs)
        assert code == 0  # for ten minutes it may come back
        session = cast("dict[str, object]", found["session"])
        assert (session["state"], session["joined"], session["dongle"]) == ("init", False, None)
        errors = cast("list[dict[str, str]]", found["errors"])
        assert errors[0]["text"].startswith("port_lost ")
        assert cast("str", session["fault"]).startswith("port_lost: ")
        assert "no such device" in cast("str", session["fault"])
        told = kei_status(jobs)[1]
        assert re.search(r"not joined for \d+ s: waiting for the dongle's port", told)
        assert re.search(r"\n +last fault \d s ago: port_lost: .*no such device", told)
        assert kei.stop() == 0


def test_a_password_that_the_meter_refuses_is_told_with_the_next_attempt(tmp_path: Path) -> None:
    wrong = "sim:latency=0,scan-time=0,join-time=0,broute-pwd=BA9876543210"
    jobs = write_jobs(tmp_path, wrong)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("join_failed", 20)
        kei.wait_for(lambda: "next attempt in" in kei_status(jobs)[1], 20, "a pause")
        _, told = kei_status(jobs)
        assert "join_failed: check B-route ID and password" in told
        assert BROUTE_PWD not in told
        assert kei.stop() == 0


def test_a_session_that_is_lost_is_away_since_then(tmp_path: Path) -> None:
    def session() -> SessionStatus:
        snapshot = look(jobs).facts.snapshot
        assert snapshot is not None
        assert snapshot.session is not None
        return snapshot.session

    with simulator(tmp_path / "dongle") as dongle:
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), requests=EVERY_SECOND)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("session_joined")
            kei.wait_for(lambda: session().since_s > 2, 10, "a while in the session")
            dongle.kill()
            kei.wait_for(lambda: not session().joined, 10, "the loss")
            assert session().since_s < 2
            assert kei.stop() == 0


def test_a_dead_server_is_told_of_without_address_or_secret(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, *DEAD_SERVER, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("upload_failing", 20)
        _, found = as_json(jobs)
        (upload,) = cast("list[dict[str, object]]", found["uploads"])
        assert upload["target"] == "dead"
        assert upload["last_error"] == "Connection refused"
        assert cast("int", upload["waiting"]) >= 1
        shown = (json.dumps(found) + kei_status(jobs)[1]).upper()
        for secret in (BROUTE_ID, BROUTE_PWD, "abcdefghijkl", "very-secret", "127.0.0.1"):
            assert secret.upper() not in shown
        assert kei.stop() == 0


def test_clients_of_all_sorts_disturb_neither_kei_nor_each_other(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        silent = [socket.socket(socket.AF_UNIX) for _ in range(30)]
        for number, client in enumerate(silent):
            client.connect(address(tmp_path / "kei.db"))
            if number % 2:
                with suppress(BrokenPipeError):  # it has been answered already
                    client.send(os.urandom(1000))
        assert all(look(jobs).facts.snapshot is not None for _ in range(100))
        wait_until(lambda: look(jobs).is_well, 20, "no problem")
        for client in silent:
            client.close()
        assert kei.stop() == 0
    assert not [line for line in kei.lines if '"level": "info"' not in line]


def test_two_kei_are_told_apart_by_their_databases(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (write_jobs(folder, NO_PORT) for folder in folders)
    with running("--jobs", str(one)) as first, running("--jobs", str(two)) as second:
        for kei in (first, second):
            kei.wait_for_event("port_lost")
        assert as_json(one)[1]["pid"] == first.process.pid
        assert as_json(two)[1]["pid"] == second.process.pid
        assert not first.events("status_unavailable")
        assert not second.events("status_unavailable")


def test_the_answer_goes_on_over_a_reload_that_starts_over(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, NO_PORT)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("port_lost")
        write_jobs(tmp_path, NO_PORT, "[recorder]", 'sync = "30s"')
        kei.wait_for_event("port_lost", 20, count=2)
        assert as_json(jobs)[0] == 0
        assert not kei.events("status_unavailable")
        assert kei.stop() == 0


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_a_process_that_hangs_is_said_to_run_without_an_answer(
    tmp_path: Path, flag: list[str]
) -> None:
    jobs = write_jobs(tmp_path, NO_PORT)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address(tmp_path / "kei.db"))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        with running("status", "--jobs", str(jobs), *flag) as client:
            connection, _ = listener.accept()
            with connection:
                connection.send(b"what?")
            assert client.wait() == 1
    assert "not_answering" in "\n".join(client.lines)


def test_a_wrong_configuration_exits_2(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("[broute\n")
    code, said, errors = command("status", "--json", "--jobs", jobs)
    assert (code, len(errors)) == (2, 1)
    found = json.loads("".join(said))
    assert (found["well"], found["running"], found["series"]) == (False, False, [])
    assert problems(found) == {
        "not_running": "kei does not run",
        "config_refused": f"jobs.toml is not in force: {errors[0]}",
    }
    code, said, errors = command("status", "--json", "--jobs", tmp_path / "none.toml")
    assert (code, said, len(errors)) == (2, [], 1)


@pytest.mark.parametrize("mistake", ["[mqqt]", "[broute"])
def test_a_running_kei_is_seen_beside_a_jobs_toml_that_it_refuses(
    tmp_path: Path, mistake: str
) -> None:
    recorder = '[recorder]\ndatabase = "data.db"'
    jobs = write_jobs(tmp_path, SIMULATED, recorder, requests=EVERY_SECOND)
    right = jobs.read_text()
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        jobs.write_text(right + mistake + "\n")
        kei.wait_for_event("config_refused", 20)
        code, said, errors = command("status", "--json", "--jobs", jobs)
        found = json.loads("".join(said))
        assert (code, found["running"], found["pid"]) == (2, True, kei.process.pid)
        assert "E7" in {each["sensor"] for each in found["series"]}
        (error,) = errors
        assert error.startswith(f"{jobs}:{right.count(chr(10)) + 1}: ")
        assert problems(found)["config_refused"] == f"jobs.toml is not in force: {error}"
        code, said, errors = command("status", "--jobs", jobs)
        assert (code, errors) == (2, [error])
        assert any(line.startswith("session    joined for ") for line in said)
        jobs.write_text(right)
        kei.wait_for_event("config_unchanged", 20)
        kei.wait_for(lambda: look(jobs).is_well, 20, "no problem")
        assert kei.stop() == 0


def test_what_a_running_kei_cannot_put_into_effect_is_a_problem(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        folder = '[recorder]\ndirectory = "/proc/nowhere"'
        write_jobs(tmp_path, SIMULATED, folder, requests=EVERY_SECOND)
        kei.wait_for_event("config_refused", 20)
        kei.wait_for(lambda: is_joined(look(jobs)), 20, "the settings before")
        code, found = as_json(jobs)
        assert code == 1
        assert "/proc/nowhere" in problems(found)["config_refused"]
        assert "E7" in {
            each["sensor"] for each in cast("list[dict[str, object]]", found["series"])
        }  # of the folder in force
        assert kei.stop() == 0


def test_times_are_read_by_the_local_time_of_the_running_kei(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs), TZ="UTC") as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        code, said, _ = command("status", "--jobs", jobs, TZ="Asia/Tokyo")
        assert code == 0, said
        assert any("in this kei's local time, UTC; this terminal" in line for line in said)
        assert kei.stop() == 0


def problems(found: dict[str, object]) -> dict[str, str]:
    return {
        each["rule"]: each["detail"] for each in cast("list[dict[str, str]]", found["problems"])
    }


def test_a_disk_that_stalls_is_waited_for_some_seconds_only(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        assert kei.stop() == 0
    (file,) = tmp_path.glob("2*.txt")
    file.unlink()
    os.mkfifo(file)  # whose opening waits for ever
    code, found = as_json(jobs)
    assert (code, found["running"]) == (1, False)
    assert "not found out within 12 s" in problems(found)["database_unreadable"]


def test_a_frozen_file_system_hides_the_values_but_not_what_kei_does(tmp_path: Path) -> None:
    with ext4_disk(tmp_path) as disk:
        jobs = write_jobs(disk.folder, SIMULATED, requests=EVERY_SECOND)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
            kei.send(signal.SIGKILL)  # so that its log has to be repaired to be read
            kei.wait()
        disk.freeze()
        code, found = as_json(jobs)
        assert (code, found["running"]) == (1, False)
        assert "not_running" in problems(found)
        disk.thaw()
        assert cast("list[object]", as_json(jobs)[1]["series"])


def test_a_database_that_somebody_has_locked_is_waited_for_some_seconds_only(
    tmp_path: Path,
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
        assert kei.stop() == 0
    with closing(sqlite3.connect(tmp_path / "kei.db", isolation_level=None)) as somebody:
        somebody.execute("PRAGMA locking_mode = EXCLUSIVE")
        somebody.execute("BEGIN EXCLUSIVE")
        code, found = as_json(jobs)
        assert code == 1
        assert "locked" in problems(found)["database_unreadable"]


LIE = """
listener = socket.socket(socket.AF_UNIX)
listener.bind({name!r})
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall({document!r})
    except OSError:
        pass  # who asks has left
    connection.close()
"""


@contextmanager
def lying_stranger(jobs: Path) -> Iterator[Program]:
    """A process of another user that says all is well under the name of kei's status socket."""
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        document = ask(jobs.parent / "kei.db", SystemClock())
        assert document
        assert kei.stop() == 0
    lie = LIE.format(name=address(jobs.parent / "kei.db"), document=document)
    with running(program=("-c", f"import socket\n{BECOME}{lie}"), measured=False) as stranger:
        stranger.wait_for(lambda: "ready" in stranger.lines, 10, "the stranger")
        yield stranger


@needs_root
def test_a_process_of_another_user_is_not_believed(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with lying_stranger(jobs) as stranger:
        code, found = as_json(jobs)
        assert (code, found["running"], found["pid"]) == (1, False, None)
        assert "not_running" in problems(found)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("status_unavailable")
            (told,) = kei.events("status_unavailable")
            assert told["held_by"] == f"process {stranger.process.pid} of user {STRANGER}"
            code, found = as_json(jobs)
            assert (code, found["running"], found["pid"]) == (1, True, None)
            assert f"of user {STRANGER}" in problems(found)["not_answering"]
            stranger.kill()
            kei.wait_for(lambda: as_json(jobs)[1]["pid"] == kei.process.pid, 10, "the name")
            assert kei.stop() == 0


@needs_root
def test_another_user_who_may_read_is_told_everything() -> None:
    with public_folder() as folder:
        jobs = write_jobs(folder, SIMULATED, requests=EVERY_SECOND)
        (folder / "pwd").write_text(BROUTE_PWD)
        (folder / "pwd").chmod(0o600)
        text = jobs.read_text().replace(f'broute_pwd = "{BROUTE_PWD}"', 'broute_pwd_file = "pwd"')
        jobs.write_text(text)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: "E7" in sensors(look(jobs)), 20, "a reading")
            with kei_of_a_stranger("status", "--json", "--jobs", str(jobs)) as reader:
                assert reader.wait(30) == 0, reader.output()
                assert json.loads(reader.lines[0])["pid"] == kei.process.pid
            with kei_of_a_stranger("check", "--no-secrets", "--jobs", str(jobs)) as reader:
                assert reader.wait(30) == 0, reader.output()
            with kei_of_a_stranger("dead-letters", "drop", "--jobs", str(jobs)) as writer:
                assert writer.wait(30) == 1
                (error,) = writer.errors
                assert error.endswith("kei.db: may not be written by you; use sudo")
            assert kei.stop() == 0


def test_a_jobs_toml_that_cannot_be_read_in_time_is_an_error(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    os.mkfifo(jobs)
    with running("status", "--jobs", str(jobs)) as client:
        assert client.wait(PATIENCE_S) == 1
    assert client.errors == [
        f"kei: {jobs}: what it says was not found out within 12 s: its disk stalls, or is frozen"
    ]
