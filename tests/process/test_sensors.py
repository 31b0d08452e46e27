"""A real kei with boards on real pseudo terminals."""

import json
import os
import signal
import termios
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from boards import Board, board, wait_for_port, write_serial_jobs
from programs import SIMULATED, Program, command, readings, running, wait_until, write_jobs

CHECKS = """
[[serial.checks]]
unit = "A1"
sensor = "T1"
min = -40
max = 85
variation = 10
"""


@pytest.fixture
def arduino(tmp_path: Path) -> Iterator[Board]:
    with board(tmp_path / "ttyACM0") as made:
        yield made


def recorded(folder: Path, count: int) -> list[list[str]]:
    """The readings without their time, once there are so many."""
    wait_until(lambda: len(readings(folder)) >= count, 20, f"{count} readings")
    return [fields[1:] for fields in readings(folder)]


def run(name: str, folder: Path, *more: str) -> str:
    """What a command of kei prints for the jobs.toml of a folder."""
    return "\n".join(command(name, "--jobs", "jobs.toml", *more, cwd=folder)[1])


def status(folder: Path) -> dict[str, list[dict[str, object]]]:
    found = json.loads(run("status", folder, "--json"))
    assert isinstance(found, dict)
    return found


def test_good_lines_are_recorded_and_others_are_counted(tmp_path: Path, arduino: Board) -> None:
    jobs = write_serial_jobs(tmp_path, arduino.link, more=CHECKS)
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        arduino.send(b"\x00\xff\x80rubbish\r\n")
        arduino.lines("A1,T1,21.5,1", "A1,T1,21.5,1", "A1,T1,nan,2", "A1,T1,99,3", "A1,H1,40")
        arduino.lines("A1,T1,60,4", "A1,T1,60,5", "A1,T1,60,6", "x" * 3000, "A1,H1,41")
        assert recorded(tmp_path, 4) == [
            ["A1", "T1", "21.5", "1"],
            ["A1", "H1", "40", "0"],
            ["A1", "T1", "60", "6"],
            ["A1", "H1", "41", "1"],
        ]
        (port,) = status(tmp_path)["sensors"]
        assert port["port"] == str(arduino.link)
        assert port["accepted"] == 4
        assert port["rejected"] == {
            "encoding": 1,
            "repeat": 1,
            "value": 1,
            "out_of_range": 1,
            "jump": 2,
            "too_long": 1,
        }
        assert kei.stop() == 0
    told = [event["text"] for event in kei.events("line_rejected")]
    assert told[0] == r"\x00\xff\x80rubbish"
    assert len(told) == 5


def test_sensors_share_everything_with_the_meter(tmp_path: Path, arduino: Board) -> None:
    serial = f'[[serial]]\nport = "{arduino.link}"\n[summary]\ncycle = 1'
    groups = '[[broute.requests]]\nepc = ["E7"]\ncycle = 0.2'
    jobs = write_jobs(tmp_path, SIMULATED, serial, requests=groups)
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        arduino.lines("A1,T1,20.25", "A1,T1,20.5")
        kei.wait_for(lambda: {"BR", "A1"} == units(readings(tmp_path)), 20, "both sources")
        wait_until(lambda: "A1,T1,20.375" in summaries_text(tmp_path), 20, "the average")
        (series,) = (each for each in status(tmp_path)["series"] if each["unit"] == "A1")
        assert series["value"] == 20.5
        assert kei.stop() == 0
    exported = run("export", tmp_path, "--from", "2000-01-01", "--to", "2100-01-01", "--unit", "A1")
    assert [Decimal(line.split(",")[-2]) for line in exported.splitlines()[1:]] == [
        Decimal("20.25"),
        Decimal("20.5"),
    ]


def units(lines: list[list[str]]) -> set[str]:
    return {fields[1] for fields in lines}


def summaries_text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("sum*.txt"))


def test_a_port_that_comes_late_and_goes_is_waited_for_and_told_once(tmp_path: Path) -> None:
    arduino = Board(tmp_path / "ttyACM0")
    jobs = write_serial_jobs(tmp_path, arduino.link)
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("sensor_port_lost")
        assert "no such device" in str(kei.events("sensor_port_lost")[0]["reason"])
        (port,) = status(tmp_path)["sensors"]
        assert "no such device" in str(port["fault"])
        for times in (1, 2):
            arduino.plug_in()
            wait_for_port(kei, arduino, times)
            arduino.lines(f"A1,T1,{times}")
            assert len(recorded(tmp_path, times)) == times
            arduino.unplug()
            kei.wait_for_event("sensor_port_lost", count=times + 1)
        assert kei.stop() == 0
    assert len(kei.events("sensor_port_lost")) == 3
    assert len(kei.events("fault_ended")) == 2


def test_a_port_in_use_is_waited_for(tmp_path: Path, arduino: Board) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    with running("--jobs", str(write_serial_jobs(here, arduino.link))) as first:
        wait_for_port(first, arduino)
        with running("--jobs", str(write_serial_jobs(there, arduino.link))) as second:
            second.wait_for_event("sensor_port_lost")
            assert "in use by" in str(second.events("sensor_port_lost")[0]["reason"])
            assert first.stop() == 0
            wait_for_port(second, arduino)
            arduino.lines("A1,T1,5")
            assert recorded(there, 1) == [["A1", "T1", "5", "0"]]


READING = """
import os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print("open", flush=True)
while True:
    os.read(port, 100)
"""


def test_a_program_that_reads_from_the_port_as_well_is_named_and_no_half_line_is_recorded(
    tmp_path: Path, arduino: Board
) -> None:
    with running("--jobs", str(write_serial_jobs(tmp_path, arduino.link))) as kei:
        wait_for_port(kei, arduino)
        with running(str(arduino.link), program=("-c", READING)) as other:
            other.wait_for(lambda: other.lines, 10, "the other program")
            wait_until(lambda: meddled(kei, arduino), 20, "that kei finds less than there was")
            (told,) = kei.events("sensor_port_lost")
            assert f"(pid {other.process.pid}) reads from it as well" in str(told["reason"])
            (port,) = status(tmp_path)["sensors"]
            assert port["fault"] == told["reason"]
        wait_for_port(kei, arduino, 2)
        before = len(readings(tmp_path))
        arduino.lines("T1,102,1,1", "A1,T1, 7.25,1")
        assert recorded(tmp_path, before + 1)[before:] == [["A1", "T1", "7.25", "1"]]
        assert kei.stop() == 0
    assert len(kei.events("sensor_port_lost")) == 1


def meddled(kei: Program, arduino: Board) -> bool:
    arduino.send(b"A1,T1,10\r\n")
    return bool(kei.events("sensor_port_lost"))


def test_a_line_that_began_before_kei_did_is_not_recorded(tmp_path: Path, arduino: Board) -> None:
    arduino.send(b"A")
    with running("--jobs", str(write_serial_jobs(tmp_path, arduino.link))) as kei:
        wait_for_port(kei, arduino)
        arduino.lines("1,T1,5,1", "A1,T1,6,2")
        assert recorded(tmp_path, 1) == [["A1", "T1", "6", "2"]]
        assert kei.stop() == 0


@pytest.mark.parametrize("state", ["missing", "silent", "talking"])
def test_kei_stops_at_once_however_a_port_behaves(tmp_path: Path, state: str) -> None:
    arduino = Board(tmp_path / "ttyACM0")
    with running("--jobs", str(write_serial_jobs(tmp_path, arduino.link))) as kei:
        if state == "missing":
            kei.wait_for_event("sensor_port_lost")
        else:
            arduino.plug_in()
            wait_for_port(kei, arduino)
        if state == "talking":
            arduino.lines(*(f"A1,T1,{number}" for number in range(1000)))
            recorded(tmp_path, 1)
        assert kei.stop(limit_s=3) == 0
    arduino.unplug()


def test_a_burst_of_10000_lines_loses_nothing(tmp_path: Path, arduino: Board) -> None:
    with running("--jobs", str(write_serial_jobs(tmp_path, arduino.link))) as kei:
        wait_for_port(kei, arduino)
        arduino.lines(*(f"A1,T1,{number},{number}" for number in range(10_000)))
        values = [fields[2] for fields in recorded(tmp_path, 10_000)]
        assert values == [str(number) for number in range(10_000)]
        assert kei.stop() == 0
    exported = run("export", tmp_path, "--from", "2000-01-01", "--to", "2100-01-01")
    assert len(exported.splitlines()) == 1 + 10_000


def test_a_kill_loses_no_line_that_has_arrived(tmp_path: Path, arduino: Board) -> None:
    jobs = write_serial_jobs(tmp_path, arduino.link)
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        arduino.lines(*(f"A1,T1,{number}" for number in range(200)))
        recorded(tmp_path, 200)
        kei.send(signal.SIGKILL)
        kei.wait()
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        assert kei.stop() == 0
    exported = run("export", tmp_path, "--from", "2000-01-01", "--to", "2100-01-01")
    assert len(exported.splitlines()) == 1 + 200
    assert len(readings(tmp_path)) == 200


def test_ports_change_with_jobs_toml_and_those_that_stay_are_read_on(
    tmp_path: Path, arduino: Board
) -> None:
    with board(tmp_path / "ttyACM1") as other:
        jobs = write_serial_jobs(tmp_path, arduino.link)
        with running("--jobs", str(jobs)) as kei:
            wait_for_port(kei, arduino)
            write_serial_jobs(tmp_path, arduino.link, other.link)
            wait_for_port(kei, other)
            other.lines("B1,T1,1")
            arduino.lines("A1,T1,1")
            recorded(tmp_path, 2)
            write_serial_jobs(tmp_path, arduino.link, other.link, below="stale_after = 5\n")
            wait_for_port(kei, other, 2)
            write_serial_jobs(tmp_path, arduino.link)
            wait_until(lambda: len(status(tmp_path)["sensors"]) == 1, 20, "one port less")
            arduino.lines("A1,T1,2")
            assert len(recorded(tmp_path, 3)) == 3
            assert kei.stop() == 0
        ports = [event["port"] for event in kei.events("sensor_port_opened")]
        assert ports == [str(arduino.link), str(other.link), str(other.link)]


def test_a_sensor_that_falls_silent_is_told_and_makes_status_fail(
    tmp_path: Path, arduino: Board
) -> None:
    jobs = write_serial_jobs(tmp_path, arduino.link, more="stale_after = 1")
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        arduino.lines(*["A1,T1,1"] * 3)
        kei.wait_for_event("sensor_silent")
        assert [problem["rule"] for problem in status(tmp_path)["problems"]] == ["sensor_silent"]
        arduino.lines("A1,T1,1")
        kei.wait_for_event("fault_ended")
        assert kei.stop() == 0


@pytest.mark.parametrize(("setting", "falls"), [("true", True), ("false", False)])
def test_whether_a_board_is_reset_when_kei_starts_can_be_set(
    tmp_path: Path, arduino: Board, setting: str, *, falls: bool
) -> None:
    jobs = write_serial_jobs(tmp_path, arduino.link, more=f"reset_on_open = {setting}")
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        fd = os.open(arduino.link, os.O_RDWR | os.O_NOCTTY)
        flags: int = termios.tcgetattr(fd)[2]
        os.close(fd)
        assert bool(flags & termios.HUPCL) is falls
        assert kei.stop() == 0


def test_nothing_to_record_is_said(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("")
    kei: Program
    with running("--jobs", str(jobs)) as kei:
        kei.wait_for_event("config_advice")
        assert str(kei.events("config_advice")[0]["advice"]).startswith(
            "there is nothing to record"
        )


def test_one_device_under_two_names_is_told_so(tmp_path: Path, arduino: Board) -> None:
    other = tmp_path / "by-id"
    other.symlink_to(arduino.link)
    with running("--jobs", str(write_serial_jobs(tmp_path, arduino.link, other))) as kei:
        kei.wait_for_event("sensor_port_lost")
        (told,) = kei.events("sensor_port_lost")
        assert "in use by kei itself" in str(told["reason"])


def test_check_opens_the_ports_on_request(tmp_path: Path, arduino: Board) -> None:
    missing = tmp_path / "ttyACM9"
    jobs = write_serial_jobs(tmp_path, arduino.link, "sim-sensor:", missing)
    with running("check", "--probe-ports", "--jobs", str(jobs)) as kei:
        assert kei.wait() == 1
    assert kei.lines[-3:] == [
        f"port {arduino.link}: can be opened",
        "port sim-sensor: simulated",
        f"port {missing}: no such device; is it plugged in? under /dev/serial/by-id there is none",
    ]
    with running("check", "--jobs", str(jobs)) as kei:
        assert kei.wait() == 0


def test_a_port_that_the_running_kei_has_open_is_in_order(tmp_path: Path, arduino: Board) -> None:
    jobs = write_serial_jobs(tmp_path, arduino.link)
    with running("--jobs", str(jobs)) as kei:
        wait_for_port(kei, arduino)
        with running("check", "--probe-ports", "--jobs", str(jobs)) as check:
            assert check.wait() == 0
        pid = kei.process.pid
        assert check.lines[-1] == f"port {arduino.link}: open in the running kei (pid {pid})"
