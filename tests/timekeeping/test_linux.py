"""What a machine tells of its clock, by real files and a C library that says what a test wants."""

import ctypes
import os
from pathlib import Path

import pytest

from kei.timekeeping.linux import (
    TIMESYNC_MARKER,
    AdjTimex,
    ClockSources,
    LinuxClock,
    Timex,
    adjtimex_of_libc,
    boot_id,
)

TIME_OK, TIME_ERROR, REFUSED = 0, 5, -1
UNSYNC, PLL = 0x40, 0x01
NOTHING_KNOWN_US = 16_000_000


def libc(state: int, status: int = 0, maxerror: int = NOTHING_KNOWN_US) -> AdjTimex:
    def adjtimex(timex: Timex) -> int:
        assert timex.modes == 0, "anything else sets the clock"
        timex.status, timex.maxerror = status, maxerror
        return state

    return adjtimex


@pytest.mark.parametrize(
    ("adjtimex", "synchronised"),
    [
        (libc(TIME_OK, PLL, 500_000), True),
        (libc(TIME_ERROR, UNSYNC), False),
        (libc(TIME_ERROR, PLL), False),
        (libc(TIME_OK, UNSYNC), False),
        (libc(TIME_ERROR, UNSYNC, 30_000), True),  # chronyd without rtcsync
        (libc(REFUSED, 0, 0), None),
        (None, None),
    ],
)
def test_the_kernel_is_asked_whether_its_clock_is_synchronised(
    adjtimex: AdjTimex | None, tmp_path: Path, *, synchronised: bool | None
) -> None:
    assert LinuxClock(adjtimex, tmp_path).kernel_synchronised() is synchronised


def test_the_c_library_of_this_machine_can_be_asked_and_sets_nothing() -> None:
    adjtimex = adjtimex_of_libc()
    if adjtimex is None:
        pytest.skip("this C library has no adjtimex")
    assert LinuxClock(adjtimex).kernel_synchronised() in (True, False, None)


def test_the_structure_has_the_kernels_layout() -> None:
    word = ctypes.sizeof(ctypes.c_long)
    assert Timex.maxerror.offset == 3 * word  # type: ignore[attr-defined]  # a ctypes field
    assert Timex.status.offset == 5 * word  # type: ignore[attr-defined]  # a ctypes field
    assert ctypes.sizeof(Timex) > 208


def test_the_marker_of_timesyncd_is_found(tmp_path: Path) -> None:
    machine = LinuxClock(None, tmp_path)
    assert machine.timesync_marker() is None
    (tmp_path / TIMESYNC_MARKER).parent.mkdir(parents=True)
    (tmp_path / TIMESYNC_MARKER).touch()
    first = machine.timesync_marker()
    assert first is not None
    os.utime(tmp_path / TIMESYNC_MARKER, ns=(first + 1, first + 1))
    assert machine.timesync_marker() == first + 1


def test_a_machine_without_anything_has_neither_clock_nor_service(tmp_path: Path) -> None:
    assert LinuxClock(None, tmp_path).sources() == ClockSources(
        battery_clock=False, time_service=False
    )


def test_a_battery_clock_is_a_device(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/rtc0").touch()
    assert LinuxClock(None, tmp_path).sources().battery_clock


@pytest.mark.parametrize("name", ["systemd-timesyn", "chronyd", "ntpd"])
def test_a_time_service_is_found_among_the_processes(tmp_path: Path, name: str) -> None:
    for pid, comm in (("1", "systemd"), ("77", name), ("self", "python")):
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "comm").write_text(comm + "\n")
    (tmp_path / "proc/78").mkdir()  # ends while it is looked at
    assert LinuxClock(None, tmp_path).sources().time_service


def test_other_processes_are_no_time_service(tmp_path: Path) -> None:
    (tmp_path / "proc/9").mkdir(parents=True)
    (tmp_path / "proc/9/comm").write_bytes(b"ntpd-not\xff\n")
    assert not LinuxClock(None, tmp_path).sources().time_service


@pytest.mark.parametrize("folder", ["systemd/timesync", "chrony"])
def test_a_time_service_of_another_user_is_found_by_its_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "run" / folder).mkdir(parents=True)
    assert LinuxClock(None, tmp_path).sources().time_service


def test_a_boot_has_one_name_and_boots_without_a_name_are_not_taken_for_one(tmp_path: Path) -> None:
    named, missing = tmp_path / "boot_id", tmp_path / "nothing"
    named.write_text("0b6d\n")
    assert boot_id(named) == boot_id(named) == "0b6d"
    assert boot_id(missing) != boot_id(missing)
