"""The main job from outside: a real process, a real pty, real files."""

import json
import os
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest
from programs import (
    BROUTE_ID,
    BROUTE_PWD,
    SIMULATED,
    Program,
    readings,
    running,
    simulator,
    summaries,
    wait_until,
    write_jobs,
)

from kei.core import abstract_sockets
from kei.core.single_instance import InstanceLock

EVERY_SECOND = """
[[broute.requests]]
epc = ["E7"]
cycle = 1
[[broute.requests]]
epc = ["D3", "D7", "E1", "E0", "E8"]
cycle = 3600
"""


def sensors(folder: Path) -> set[str]:
    return {fields[2] for fields in readings(folder)}


@pytest.mark.parametrize("dongle", ["RL7023-DSS", "RL7023-IPS"])
def test_readings_of_a_simulated_meter_arrive_in_the_daily_file(
    tmp_path: Path, dongle: str
) -> None:
    with simulator(tmp_path / "dongle", "--dongle", dongle):
        jobs = write_jobs(tmp_path, str(tmp_path / "dongle"), requests=EVERY_SECOND)
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for(lambda: sensors(tmp_path) >= {"E7", "E0", "E8R"}, 10, "readings")
            assert kei.events("dongle_ready")[0]["dongle"] == dongle
            assert kei.stop() == 0
    line = re.compile(
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d,BR,(D3|D7|E1|E0|E7|E8R|E8T),-?\d+(\.\d{1,4})?,x"
    )
    (file,) = tmp_path.glob("[0-9]*-mydatafile.txt")
    text = file.read_text()
    assert text.endswith("\n")
    assert all(line.fullmatch(row) for row in text.splitlines())


def test_the_same_program_runs_with_the_simulator_inside(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(tmp_path), 10, "a reading")
        assert kei.stop() == 0


def test_every_group_is_asked_once_right_after_joining(tmp_path: Path) -> None:
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = "1d"\n'
    groups += '[[broute.requests]]\nepc = ["E0", "E3"]\ncycle = "1d"\n'
    with running("--jobs", str(write_jobs(tmp_path, SIMULATED, requests=groups))) as kei:
        kei.wait_for(lambda: sensors(tmp_path) == {"E7", "E0", "E3"}, 10, "all groups")
        assert kei.stop() == 0
    assert len(readings(tmp_path)) == 3


def test_two_groups_may_ask_for_the_same(tmp_path: Path) -> None:
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = 1\n' * 2
    with running("--jobs", str(write_jobs(tmp_path, SIMULATED, requests=groups))) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= 2, 10, "readings")
        assert kei.stop() == 0
    assert kei.errors == []


def test_requests_fire_aligned_to_their_cycle(tmp_path: Path) -> None:
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = 2\n'
    with running("--jobs", str(write_jobs(tmp_path, SIMULATED, requests=groups))) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= 4, 15, "four readings")
        kei.stop()
    on_cycle = readings(tmp_path)[1:]  # the first one is asked right after joining
    assert all(int(fields[0][-2:]) % 2 == 0 for fields in on_cycle)


def test_averages_are_written_after_each_window(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, "[summary]", "cycle = 2", requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: len(summaries(tmp_path)) >= 8, 15, "averages")
        kei.stop()
    moment, unit, _, average = next(row for row in summaries(tmp_path) if row[2] == "D3")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d", moment)
    assert (unit, average) == ("BR", "1")


def test_the_network_is_remembered_so_that_a_restart_needs_no_scan(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        assert kei.stop() == 0
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        assert not kei.events("meter_found")
        assert not kei.events("meter_rests"), "a simulated meter ends with kei"
        assert kei.stop() == 0


def test_requests_before_the_join_say_once_that_they_wait(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, "/dev/there-is-no-such-dongle", requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("requests_waiting", 10)
        kei.send(signal.SIGUSR1)
        kei.wait_for_event("request_held", 10, count=3)
        assert kei.stop() == 0
    assert len(kei.events("requests_waiting")) == 1


def test_wrong_configuration_exits_2_and_names_each_fault(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text(
        '[broute]\nport = ""\nbroute_id = "123"\ncolour = "red"\n[summary]\ncycle = 7\n'
    )
    with running("--jobs", str(path)) as kei:
        assert kei.wait() == 2
        assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in kei.errors] == [
            ["1", "broute.broute_pwd"],
            ["2", "broute.port"],
            ["3", "broute.broute_id"],
            ["4", "broute.colour"],
            ["6", "summary.cycle"],
        ]
        assert kei.lines == []


@pytest.mark.parametrize("args", [["--nonsense"], ["simulate"], ["fly"], ["--jobs"]])
def test_wrong_usage_exits_2_with_one_line(args: list[str]) -> None:
    with running(*args) as kei:
        assert kei.wait() == 2
        assert len(kei.errors) == 1


def test_a_missing_file_exits_2_with_one_line(tmp_path: Path) -> None:
    with running("--jobs", str(tmp_path / "none.toml")) as kei:
        assert kei.wait() == 2
        assert len(kei.errors) == 1


def test_wrong_options_of_the_simulated_port_exit_2(tmp_path: Path) -> None:
    with running("--jobs", str(write_jobs(tmp_path, "sim:colour=red"))) as kei:
        assert kei.wait() == 2
        assert "jobs.toml:2: broute.port: " in kei.errors[0]
        assert "colour" in kei.errors[0]


def test_a_folder_that_cannot_be_written_exits_1_with_one_line(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, "[recorder]", 'database = "/proc/nowhere/kei.db"')
    with running("--jobs", str(jobs)) as kei:
        assert kei.wait() == 1
        assert len(kei.errors) == 1


def test_a_second_kei_with_the_same_database_exits_1_and_names_the_first(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as first:
        first.wait_for_event("session_joined")
        with running("--jobs", str(jobs)) as second:
            assert second.wait() == 1
            (line,) = second.errors
            assert second.lines == []  # it has not started
        assert f"in use by another kei (pid {first.process.pid})" in line
        assert first.stop() == 0


def test_a_second_kei_with_the_same_daily_files_exits_1_whatever_its_database_is(
    tmp_path: Path,
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    (tmp_path / "other").mkdir()
    same = ("[recorder]", 'directory = ".."', 'database = "kei.db"')
    others = write_jobs(tmp_path / "other", SIMULATED, *same, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as first:
        first.wait_for_event("session_joined")
        with running("--jobs", str(others)) as second:
            assert second.wait() == 1
            (line,) = second.errors
            assert second.lines == []
        said = f"daily files written by another kei (pid {first.process.pid}); give this one"
        assert said in line
        with running("check", "--jobs", str(others)) as check:
            assert check.wait() == 0
            assert said in check.lines[-1]
        with running("check", "--jobs", str(jobs)) as check:
            assert check.wait() == 0
            assert "written by another" not in "".join(check.lines)
        others.write_text(others.read_text() + 'fname_base = "other"\n')
        with running("--jobs", str(others)) as second:
            second.wait_for_event("session_joined")
            assert second.stop() == 0
        assert first.stop() == 0


def test_a_kei_that_was_killed_is_no_reason_not_to_start(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    for _ in range(2):
        with running("--jobs", str(jobs)) as kei:
            kei.wait_for_event("session_joined")
            kei.send(signal.SIGKILL)


def test_a_name_that_somebody_has_taken_keeps_no_kei_from_starting(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    database = str(tmp_path / "kei.db")
    names = [abstract_sockets.socket_name(each, database) for each in ("claim", "status")]
    with (
        closing(abstract_sockets.bind(names[0])),
        closing(abstract_sockets.bind(names[1])),
        running("--jobs", str(jobs)) as kei,
    ):
        kei.wait_for_event("session_joined")
        kei.wait_for_event("status_unavailable")
        kei.wait_for(lambda: readings(tmp_path), 20, "a reading")
        assert kei.stop() == 0


def test_who_loses_the_database_to_another_kei_ends(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as first:
        first.wait_for_event("session_joined")
        for name in ("kei.db.lock", "mydatafile.lock"):
            (tmp_path / name).unlink()
        lock = InstanceLock(tmp_path / "kei.db")
        assert first.wait(15) == 1
        assert f"in use by another kei (pid {os.getpid()})" in first.errors[-1]
        assert first.events("session_left")
        lock.release()


def test_check_shows_the_schedule_and_touches_nothing(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, "/dev/nowhere", "[history]")
    with running("check", "--jobs", str(jobs)) as kei:
        assert kei.wait() == 0
        names = [line.split()[0] for line in kei.lines]
    assert names == ["request-D3-D7-E1", "request-E7", "request-E0", "summary", "prune",
                     "history-99-days-EA-EB", "air", "warning:"]  # fmt: skip
    assert list(tmp_path.iterdir()) == [jobs]


def test_check_says_when_there_is_nothing_to_record(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("")
    with running("check", "--jobs", str(jobs)) as kei:
        assert kei.wait() == 0
    assert kei.lines[-1].startswith("warning: there is nothing to record")


def test_check_warns_of_what_the_radio_does_not_bear(tmp_path: Path) -> None:
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = "100ms"\n'
    with running("check", "--jobs", str(write_jobs(tmp_path, SIMULATED, requests=groups))) as kei:
        assert kei.wait() == 0
    warnings = [line for line in kei.lines if line.startswith("warning: ")]
    assert ["ask less often" in warnings[0], "E7 every 0.1s" in warnings[1]] == [True, True]


def all_output_and_files(folder: Path, kei: Program) -> str:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "jobs.toml"]
    texts = [path.read_bytes().decode("latin-1") for path in files]
    return "\n".join([*kei.lines, *kei.errors, *texts]).upper()


def test_no_secret_reaches_an_output_or_a_file_at_any_level(tmp_path: Path) -> None:
    jobs = write_jobs(
        tmp_path,
        SIMULATED,
        "[log]",
        'level = "debug"',
        'file = "kei.log"',
        'transcript = "port.txt"',
        requests=EVERY_SECOND,
    )
    with running("--jobs", str(jobs), DEBUG="1") as kei:
        kei.wait_for(lambda: "E7" in sensors(tmp_path), 10, "a reading")
        assert kei.stop() == 0
        everything = all_output_and_files(tmp_path, kei)
    assert "SESSION_JOINED" in everything
    assert "> SKSETPWD ***" in (tmp_path / "port.txt").read_text()
    for secret in (BROUTE_ID, BROUTE_PWD):
        assert secret not in everything
        assert secret.encode().hex().upper() not in everything


def test_short_values_of_headers_spoil_no_line(tmp_path: Path) -> None:
    target = ["[[upload]]", 'target_url = "http://127.0.0.1:9/"', 'format = "json"', "cycle = 1"]
    headers = 'headers = { X-Level = "2", Accept = "channel", Authorization = "Bearer abcdefg" }'
    jobs = write_jobs(tmp_path, SIMULATED, *target, headers, "[log]", 'level = "debug"')
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.stop()
        (joined,) = kei.events("session_joined")
        assert (joined["channel"], joined["lqi"]) == (33, 225)
        assert all(isinstance(json.loads(line), dict) for line in kei.lines)


def test_the_port_going_away_and_coming_back_is_survived(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    jobs = write_jobs(tmp_path, str(link), requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("port_lost")
        with simulator(link):
            kei.wait_for_event("session_joined", 15)
        kei.wait_for_event("session_lost", 10)
        before = len(readings(tmp_path))
        with simulator(link):
            kei.wait_for_event("session_joined", 15, count=2)
            kei.wait_for(lambda: len(readings(tmp_path)) > before, 10, "readings again")
            assert kei.stop() == 0
    assert len(kei.events("port_lost")) == 2


def test_a_session_that_the_meter_ends_is_joined_again(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    jobs = write_jobs(tmp_path, str(link), requests=EVERY_SECOND)
    # EVENT 29, renewed in vain. That a meter is silent would take half a minute to notice.
    faults = ("--fault", "expire@4", "--fault", "join-fail@2")
    with simulator(link, *faults), running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined", 60, count=2)
        assert len(kei.events("session_lost")) == 1
        assert kei.stop() == 0


def test_dropped_answers_are_counted_misses_and_asked_again(tmp_path: Path) -> None:
    link = tmp_path / "dongle"
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = 1\n'
    jobs = write_jobs(tmp_path, str(link), requests=groups)
    with simulator(link, "--fault", "drop@3-4"), running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("request_missed", 30)
        kei.wait_for(lambda: len(readings(tmp_path)) >= 3, 30, "readings after the miss")
        kei.wait_for(
            lambda: "request_missed" in [e["fault"] for e in kei.events("fault_ended")],
            30,
            "the end of the fault to be told",
        )
        assert kei.stop() == 0
    assert not any("Run time of job" in line for line in kei.lines)


def test_usr1_switches_debug_logging_on_and_off(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.send(signal.SIGUSR1)
        kei.wait_for_event("log_level", 5)
        kei.wait_for_event("request_answered", 5)
        kei.send(signal.SIGUSR1)
        kei.wait_for_event("log_level", 5, count=2)
        assert [e["now"] for e in kei.events("log_level")] == ["debug", "info"]
        assert kei.stop() == 0


def test_a_changed_cycle_takes_effect_without_ending_the_session(tmp_path: Path) -> None:
    jobs = write_jobs(
        tmp_path, SIMULATED, requests='[[broute.requests]]\nepc = ["E7"]\ncycle = "1d"\n'
    )
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
        kei.wait_for_event("config_changed", 10)
        kei.wait_for(lambda: len(readings(tmp_path)) > 10, 15, "a reading each second")
        # A machine that stands still may lose the session: that is another reason.
        assert len(kei.events("session_joined")) <= 1 + len(kei.events("session_lost"))
        assert kei.stop() == 0


def test_a_jobs_toml_that_is_gone_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        text = jobs.read_text()
        jobs.unlink()
        kei.wait_for_event("config_missing", 15)
        jobs.write_text(text + "[summary]\ncycle = 60\n")
        kei.wait_for_event("config_changed", 10)
        assert kei.stop() == 0
    assert len(kei.events("config_missing")) == 1


def test_a_log_file_that_cannot_be_written_is_told_with_the_key(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, '[log]\nfile = "nowhere/kei.log"')
    with running("--jobs", str(jobs)) as kei:
        assert kei.wait() == 1
    (told,) = kei.errors
    assert told == (
        f"kei: {jobs}: log.file: {tmp_path}/nowhere/kei.log: No such file or directory; "
        "let kei's user write there, or name another file"
    )


def test_usr2_reads_the_file_again_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        kei.send(signal.SIGUSR2)
        kei.wait_for_event("config_unchanged", 5)
        jobs.write_text("[broute\n")
        kei.wait_for_event("config_refused", 10)
        before = len(readings(tmp_path))
        kei.wait_for(lambda: len(readings(tmp_path)) > before, 5, "the old settings go on")
        assert kei.stop() == 0


def test_a_changed_folder_starts_over_within_the_same_process(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: "E7" in sensors(tmp_path), 10, "a reading")
        write_jobs(tmp_path, SIMULATED, "[recorder]", 'directory = "new"', requests=EVERY_SECOND)
        kei.wait_for(lambda: "E7" in sensors(tmp_path / "new"), 20, "a reading in the new folder")
        assert kei.stop() == 0


@pytest.mark.parametrize(
    "change",
    [
        ["[recorder]", 'database = "/proc/nowhere/kei.db"'],
        ["[log]", 'file = "/proc/nowhere/kei.log"'],
    ],
    ids=["database", "log file"],
)
def test_a_change_that_cannot_be_carried_out_is_refused_and_the_old_settings_go_on(
    tmp_path: Path, change: list[str]
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        write_jobs(tmp_path, SIMULATED, *change, requests=EVERY_SECOND)
        kei.wait_for_event("config_refused", 10)
        before = len(readings(tmp_path))
        kei.wait_for(lambda: len(readings(tmp_path)) > before + 1, 15, "readings go on")
        assert kei.stop() == 0


def test_nothing_is_lost_or_torn_by_kill_9(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=EVERY_SECOND)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for(lambda: len(readings(tmp_path)) >= 8, 10, "readings")
        before = readings(tmp_path)
        kei.send(signal.SIGKILL)
        kei.wait()
    with running("--jobs", str(jobs)) as kei:
        wait_until(lambda: len(readings(tmp_path)) > len(before), 15, "readings after the restart")
        assert kei.stop() == 0
    after = readings(tmp_path)
    assert after[: len(before)] == before
    assert all(len(fields) == 5 for fields in after)
