"""A changed jobs.toml takes effect while kei runs: what is the same in it goes on untouched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from boards import Board, board, wait_for_port
from programs import BROUTE_ID, SIMULATED, Program, readings, running, wait_until, write_jobs

IN_TIME_S = 10.0
OTHER_ID = "FFEEDDCCBBAA99887766554433221100"


@pytest.fixture
def arduino(tmp_path: Path) -> Iterator[Board]:
    with board(tmp_path / "ttyACM0") as made:
        yield made


def group(epc: str, cycle: float | str) -> str:
    return f'[[broute.requests]]\nepc = ["{epc}"]\ncycle = {cycle!r}\n'.replace("'", '"')


def serial(made: Board) -> str:
    return f'[[serial]]\nport = "{made.link}"'


def changed(kei: Program, count: int) -> list[str]:
    """What the log names as different, once the file has been taken up so many times."""
    kei.wait_for_event("config_changed", count=count, idle_s=IN_TIME_S)
    changes = kei.events("config_changed")[count - 1]["changes"]
    assert isinstance(changes, list)
    return changes


def values(folder: Path, sensor: str) -> list[str]:
    return [fields[3] for fields in readings(folder) if fields[2] == sensor]


def test_groups_come_and_go_without_a_new_session_or_an_extra_question(tmp_path: Path) -> None:
    slow, fast = group("E0", "1d"), group("E7", 0.5)
    jobs = write_jobs(tmp_path, SIMULATED, requests=slow)
    with running("--jobs", str(jobs)) as kei:
        wait_until(lambda: len(values(tmp_path, "E0")) == 1, 20, "the first answer")
        write_jobs(tmp_path, SIMULATED, requests=slow + fast)
        assert changed(kei, 1) == ["broute.requests E7: added"]
        kei.wait_for(lambda: len(values(tmp_path, "E7")) > 3, 20, "the new group", idle_s=IN_TIME_S)
        write_jobs(tmp_path, SIMULATED, requests=slow + group("E7", "1d"))
        assert changed(kei, 2) == ["broute.requests E7: cycle 0.5s -> 86400s"]
        write_jobs(tmp_path, SIMULATED, requests=slow)
        assert changed(kei, 3) == ["broute.requests E7: removed"]
        so_far = len(values(tmp_path, "E7"))
        write_jobs(tmp_path, SIMULATED, requests=slow + group("E8", 0.5))
        kei.wait_for(
            lambda: len(values(tmp_path, "E8R")) > 3, 20, "another group", idle_s=IN_TIME_S
        )
        assert len(values(tmp_path, "E7")) == so_far
        assert kei.stop() == 0
    assert len(kei.events("session_joined")) == 1
    assert len(values(tmp_path, "E0")) == 1, "a group that stays is not asked again"


def test_another_broute_id_joins_anew_and_disturbs_nothing_else(
    tmp_path: Path, arduino: Board
) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, serial(arduino), requests=group("E7", 0.5))
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        wait_for_port(kei, arduino)
        arduino.lines(*(f"A1,T1,{n},{n}" for n in range(100)))
        text = jobs.read_text().replace(BROUTE_ID, OTHER_ID)
        jobs.write_text(text)
        arduino.lines(*(f"A1,T1,{n},{n}" for n in range(100, 200)))
        assert changed(kei, 1) == ["broute: broute_id changed"]
        arduino.lines(*(f"A1,T1,{n},{n}" for n in range(200, 300)))
        kei.wait_for_event("session_joined", 20, count=2)
        arduino.lines(*(f"A1,T1,{n},{n}" for n in range(300, 400)))
        wait_until(lambda: len(values(tmp_path, "T1")) >= 400, 20, "all lines of the board")
        so_far = len(values(tmp_path, "E7"))
        wait_until(lambda: len(values(tmp_path, "E7")) > so_far, 20, "the meter's answers")
        assert kei.stop() == 0
    assert values(tmp_path, "T1") == [str(n) for n in range(400)]
    assert len(kei.events("session_left")) == 2
    assert len(kei.events("sensor_port_opened")) == 1
    assert not any(secret in kei.output() for secret in (BROUTE_ID, OTHER_ID))


def test_the_meter_can_be_added_and_taken_away(tmp_path: Path, arduino: Board) -> None:
    with_meter = write_jobs(tmp_path, SIMULATED, serial(arduino), requests=group("E7", 0.5))
    both = with_meter.read_text()
    with_meter.write_text(serial(arduino) + "\n")
    with running("--jobs", str(with_meter)) as kei:
        wait_for_port(kei, arduino)
        with_meter.write_text(both)
        assert changed(kei, 1)[0] == "broute: added"
        kei.wait_for_event("session_joined", 20)
        with_meter.write_text(serial(arduino) + "\n")
        assert changed(kei, 2)[0] == "broute: removed"
        kei.wait_for_event("session_left")
        arduino.lines("A1,T1,1,1")
        wait_until(lambda: values(tmp_path, "T1") == ["1"], 10, "the sensor")
        assert kei.stop() == 0
    assert len(kei.events("sensor_port_opened")) == 1


def test_an_upload_and_the_log_level_change_while_everything_goes_on(tmp_path: Path) -> None:
    upload = '[[upload]]\nname = "home"\ntarget_url = "http://127.0.0.1:9/?token=hush"'
    jobs = write_jobs(tmp_path, SIMULATED, requests=group("E7", 0.5))
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        more = (upload, 'format = "json"', 'what = "readings"', "cycle = 1")
        write_jobs(tmp_path, SIMULATED, *more, requests=group("E7", 0.5))
        assert changed(kei, 1) == ["upload home: added"]
        kei.wait_for_event("upload_failing", 20)
        others = (
            upload.replace("hush", "hush2"),
            'format = "json"',
            'what = "readings"',
            "cycle = 2",
        )
        log = ("[log]", 'level = "debug"')
        write_jobs(tmp_path, SIMULATED, *others, *log, requests=group("E7", 0.5))
        assert changed(kei, 2) == [
            "upload home: target_url changed",
            "upload home: cycle 1s -> 2s",
            "log: level info -> debug",
        ]
        kei.wait_for_event("request_answered", idle_s=IN_TIME_S)
        assert kei.stop() == 0
    assert len(kei.events("session_joined")) == 1
    assert "hush" not in kei.output()


def test_options_of_a_simulator_that_are_wrong_leave_everything_as_it_is(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=group("E7", 0.5))
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        write_jobs(tmp_path, "sim:nonsense=1", requests=group("E7", 0.5))
        kei.wait_for_event("config_refused", idle_s=IN_TIME_S)
        so_far = len(values(tmp_path, "E7"))
        wait_until(lambda: len(values(tmp_path, "E7")) > so_far + 1, 10, "the meter's answers")
        assert kei.stop() == 0
    assert len(kei.events("session_joined")) == 1


def test_a_file_is_taken_up_however_an_editor_puts_it_there(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, SIMULATED, requests=group("E7", "1d"))
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("session_joined")
        new = write_jobs(tmp_path, SIMULATED, requests=group("E7", 1.0)).read_text()
        assert changed(kei, 1) == ["broute.requests E7: cycle 86400s -> 1s"]
        beside = tmp_path / "jobs.toml.new"
        beside.write_text(new.replace("1.0", "2.0"))
        os.replace(beside, jobs)  # noqa: PTH105 - what editors call
        assert changed(kei, 2) == ["broute.requests E7: cycle 1s -> 2s"]
        assert kei.stop() == 0
