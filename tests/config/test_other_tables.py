from decimal import Decimal

import pytest
from jobs_file import BROUTE, JobsFile

from kei.settings.log import LogLevel
from kei.settings.serial import LineEnd, PortSettings, SensorSettings, SeriesCheck

SERIAL = '[[serial]]\nport = "/dev/ttyACM0"\n'
CHECK = SERIAL + '[[serial.checks]]\nunit = "A1"\nsensor = "T1"\n'

# Serial


def test_a_serial_port_needs_no_more_than_its_port(jobs: JobsFile) -> None:
    framing = PortSettings(9600, 8, "N", 1, dtr=True, rts=True, drops_dtr=True)
    port = SensorSettings("/dev/ttyACM0", framing, "ascii", LineEnd.LF, None, ())
    assert jobs.load(SERIAL).serial == (port,)


def test_a_serial_port_takes_what_is_given(jobs: JobsFile) -> None:
    (port,) = jobs.load(
        SERIAL
        + """baudrate = 38400
bytesize = 7
parity = "even"
stopbits = 2
encoding = "Shift_JIS"
line_end = "crlf"
rts = false
reset_on_open = false
stale_after = "10m"
"""
    ).serial
    framing = PortSettings(38400, 7, "E", 2, dtr=True, rts=False, drops_dtr=False)
    assert port == SensorSettings(
        "/dev/ttyACM0", framing, "shift_jis", LineEnd.CRLF, 600.0, checks=()
    )


@pytest.mark.parametrize(
    ("text", "line_end"),
    [
        ('"lf"', LineEnd.LF),
        ('"CRLF"', LineEnd.CRLF),
        ('"cr"', LineEnd.CR),
        (r'"\n"', LineEnd.LF),
        (r'"\r\n"', LineEnd.CRLF),
        (r'"\r"', LineEnd.CR),
    ],
)
def test_a_line_end_is_taken_by_name_or_as_it_is(
    jobs: JobsFile, text: str, line_end: LineEnd
) -> None:
    (port,) = jobs.load(f"{SERIAL}line_end = {text}").serial
    assert port.line_end is line_end


@pytest.mark.parametrize(("text", "letter"), [("none", "N"), ("Odd", "O"), ("E", "E"), ("s", "S")])
def test_a_parity_is_taken_by_name_or_letter(jobs: JobsFile, text: str, letter: str) -> None:
    (port,) = jobs.load(f'{SERIAL}parity = "{text}"').serial
    assert port.framing.parity == letter


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("bytesize = 9", "bytesize: 9 is not possible; it is one of: 5, 6, 7, 8"),
        ("stopbits = 3", "stopbits: 3 is not possible; it is one of: 1, 2"),
        ('parity = "both"', 'parity: "both" is not possible; it is one of: none, even, odd'),
        ('encoding = "klingon"', 'encoding: "klingon" is no encoding; write ascii, utf-8'),
        ('encoding = "hex"', 'encoding: "hex" is no encoding; write ascii, utf-8'),
        ('encoding = "utf-16"', 'encoding: "utf-16" is not possible; use one that contains'),
        ('line_end = "eol"', 'line_end: "eol" is not possible; it is one of: lf, crlf, cr'),
        ("dtr = 1", "dtr: found a whole number, wanted true or false"),
        ("stale_after = 0", "stale_after: 0 is out of range; it must be from 1s to 30d"),
        ("dtr = false\nreset_on_open = false", "dtr: is not possible with reset_on_open = false"),
    ],
)
def test_a_wrong_setting_of_a_serial_port_is_a_fault(jobs: JobsFile, line: str, fault: str) -> None:
    assert jobs.fault(SERIAL + line).startswith(f"3: serial[0].{fault}")


def test_checks_are_exact_numbers(jobs: JobsFile) -> None:
    (port,) = jobs.load(CHECK + "min = -40\nmax = 85.1\nvariation = 0.1").serial
    assert port.checks == (SeriesCheck("A1", "T1", Decimal(-40), Decimal("85.1"), Decimal("0.1")),)


def test_each_limit_of_a_check_may_be_left_out(jobs: JobsFile) -> None:
    (port,) = jobs.load(CHECK).serial
    assert port.checks == (SeriesCheck("A1", "T1", None, None, None),)


def test_a_check_may_allow_one_value_only(jobs: JobsFile) -> None:
    assert jobs.load(CHECK + "min = 1\nmax = 1.0").serial


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("min = 2\nmax = 1.5", "6: serial[0].checks[0].min: 2 is above max = 1.5; "),
        ("variation = 0", "6: serial[0].checks[0].variation: 0 is out of range; "),
        ("variation = -0.5", "6: serial[0].checks[0].variation: -0.5 is out of range; "),
        ("min = nan", "6: serial[0].checks[0].min: nan is not possible; "),
        ("max = -inf", "6: serial[0].checks[0].max: -inf is not possible; "),
        ("max = 1e400", "6: serial[0].checks[0].max: inf is not possible; "),
        ("max = 1e9999999999999999999", "6: serial[0].checks[0].max: inf is not possible; "),
        ("max = true", "6: serial[0].checks[0].max: found true or false, wanted a number; "),
        ('max = "85"', "6: serial[0].checks[0].max: found a text, wanted a number; "),
        (f"max = 0x{'f' * 5000}", "6: serial[0].checks[0].max: is too large a number; "),
        ("maximum = 1", "6: serial[0].checks[0].maximum: unknown key; did you mean max?"),
    ],
)
def test_a_bad_limit_is_a_fault(jobs: JobsFile, line: str, fault: str) -> None:
    assert jobs.fault(CHECK + line).startswith(fault)


def test_a_check_names_its_series(jobs: JobsFile) -> None:
    assert jobs.faults(SERIAL + '[[serial.checks]]\nunit = "A 1"') == [
        "3: serial[0].checks[0].sensor: is missing; add it to this table: sensor = ...",
        (
            '4: serial[0].checks[0].unit: "A 1" cannot be an ID in the files; '
            "use at least one of the ASCII letters, digits, - and _, and nothing else"
        ),
    ]


def test_two_checks_of_a_series_are_a_fault(jobs: JobsFile) -> None:
    fault = jobs.fault(CHECK + '[[serial.checks]]\nunit = "A1"\nsensor = "T1"\n')
    assert fault == (
        '6: serial[0].checks[1]: "A1,T1" is already at serial[0].checks[0] (line 3); '
        "keep one check for each series"
    )


def test_the_same_series_may_be_checked_on_two_ports(jobs: JobsFile) -> None:
    assert len(jobs.load(CHECK + CHECK.replace("ACM0", "ACM1")).serial) == 2


def test_two_serial_tables_with_one_port_are_a_fault(jobs: JobsFile) -> None:
    assert jobs.fault(SERIAL + SERIAL) == (
        '4: serial[1].port: "/dev/ttyACM0" is already at serial[0].port (line 2); '
        "give each table a port of its own"
    )


def test_a_sensor_on_the_port_of_the_dongle_is_a_fault(jobs: JobsFile) -> None:
    fault = jobs.fault(BROUTE.replace("sim:", "/dev/ttyACM0") + SERIAL)
    assert fault.startswith('6: serial[0].port: "/dev/ttyACM0" is already at broute.port (line 2)')


def test_the_simulator_is_no_sensor(jobs: JobsFile) -> None:
    assert jobs.fault('[[serial]]\nport = "sim:"').startswith("2: serial[0].port: the simulator ")


def test_simulated_sensors_are_a_port_of_their_own(jobs: JobsFile) -> None:
    (port,) = jobs.load('[[serial]]\nport = "sim-sensor:seed=3"').serial
    assert port.port == "sim-sensor:seed=3"
    assert jobs.fault('[[serial]]\nport = "sim-sensor"').startswith(
        '2: serial[0].port: "sim-sensor" lacks its colon'
    )
    assert jobs.fault(BROUTE.replace("sim:", "sim-sensor:")).startswith(
        "2: broute.port: the simulated sensors are no smart meter"
    )


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "serial = [1]",
            ["1: serial[0]: found a whole number, wanted a table; write [[serial]] in double"],
        ),
        (
            "[serial]\nport = '/dev/ttyACM0'",
            ["1: serial: found a table, wanted an array of tables; write [[serial]] in double"],
        ),
        ("[[serial]]", ["1: serial[0].port: is missing"]),
        ("[[serial]]\nport = 'COM3'\n[[serial]]\nport = 'COM3'", ["2: serial[0]", "4: serial[1]"]),
    ],
)
def test_serial_is_an_array_of_tables_with_a_port_each(
    jobs: JobsFile, text: str, faults: list[str]
) -> None:
    found = jobs.faults(text)
    assert len(found) == len(faults)
    for fault, start in zip(found, faults, strict=True):
        assert fault.startswith(start)


# Recorder


def test_the_recorder_takes_what_is_given(jobs: JobsFile) -> None:
    recorder = jobs.load(
        """[recorder]
directory = "/var/lib/kei"
fname_base = "家.2"
database = "db/kei.db"
retention = "1d"
sync = "100ms"
wait_for_clock = 0
"""
    ).recorder
    assert str(recorder.directory) == "/var/lib/kei"
    assert recorder.fname_base == "家.2"
    assert recorder.database == jobs.path.parent / "db" / "kei.db"
    assert recorder.retention_s == 86_400.0
    assert recorder.sync_s == 0.1
    assert recorder.wait_for_clock_s == 0.0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('fname_base = ""', "fname_base: is empty; "),
        ('fname_base = " "', "fname_base: is empty; "),
        ('fname_base = "a/b"', 'fname_base: "a/b" has a path in it; '),
        ('fname_base = "a\\\\b"', 'fname_base: "a\\\\b" has a path in it; '),
        ('fname_base = "a\\nb"', "fname_base: contains a control character; "),
        (f'fname_base = "{"電" * 67}"', "fname_base: is too long for a file name; "),
        ("fname_base = 5", "fname_base: found a whole number, wanted a text; "),
        ('directory = ""', "directory: is empty; "),
        ('directory = "~/data"', "directory: a path with ~ is not expanded; "),
        ('database = "a\\u0000"', "database: contains a control character; "),
        ("database = 2026-01-01", "database: found a date, wanted a text; "),
        ('retention = "23h"', 'retention: "23h" is out of range; it must be from 1d to 36500d'),
        ('retention = "36501d"', "retention: "),
        ("retention = nan", "retention: nan is not possible; "),
        ("retention = true", "retention: found true or false, wanted a number of seconds or a "),
        ("sync = 0", "sync: 0 is out of range; it must be from 100ms to 1h"),
        ("sync = inf", "sync: inf is not possible; "),
        ("sync = []", "sync: found a list, wanted a number of seconds or a text; "),
        ("wait_for_clock = -1", "wait_for_clock: -1 is out of range; it must be from 0 to 1d"),
        (f"wait_for_clock = {10**30}", "wait_for_clock: is too large a number; "),
        ('folder = "x"', "folder: unknown key; "),
    ],
)
def test_a_bad_line_of_the_recorder_is_a_fault(jobs: JobsFile, line: str, fault: str) -> None:
    assert jobs.fault(f"[recorder]\n{line}").startswith(f"2: recorder.{fault}")


# Summary


@pytest.mark.parametrize(
    ("cycle", "seconds"), [("1", 1), ("60.0", 60), ('"10m"', 600), ("86400", 86_400)]
)
def test_a_summary_cycle_divides_a_day(jobs: JobsFile, cycle: str, seconds: int) -> None:
    assert jobs.load(f"[summary]\ncycle = {cycle}").summary.cycle_s == seconds


@pytest.mark.parametrize(
    ("cycle", "fault"),
    [
        ("700", "windows of 700 s; the nearest that fit are 675 and 720"),
        ("86399", "windows of 86399 s; the nearest that fit are 43200 and 86400"),
        ("1.5", "windows of 1.5 s; the nearest that fit are 1 and 2"),
        ("0", "0 is out of range; it must be from 1s to 1d"),
        ('"2d"', '"2d" is out of range; it must be from 1s to 1d'),
        (
            "false",
            'found true or false, wanted a number of seconds or a text; write it like 10 or "10s"',
        ),
    ],
)
def test_another_summary_cycle_is_a_fault(jobs: JobsFile, cycle: str, fault: str) -> None:
    found = jobs.fault(f"[summary]\ncycle = {cycle}")
    assert found.startswith("2: summary.cycle: ")
    assert found.endswith(fault)


# Log


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_every_level_is_taken(jobs: JobsFile, level: str) -> None:
    assert jobs.load(f'[log]\nlevel = "{level}"').log.level is LogLevel(level)


@pytest.mark.parametrize("level", ["INFO", "warn", "", "trace"])
def test_another_level_is_a_fault(jobs: JobsFile, level: str) -> None:
    assert jobs.fault(f'[log]\nlevel = "{level}"').startswith("2: log.level: ")


def test_log_files_are_in_the_folder_of_the_file(jobs: JobsFile) -> None:
    log = jobs.load('[log]\nfile = "kei.log"\ntranscript = "port.txt"').log
    assert log.file == jobs.path.parent / "kei.log"
    assert log.transcript == jobs.path.parent / "port.txt"


def test_an_empty_log_file_is_none(jobs: JobsFile) -> None:
    log = jobs.load('[log]\nfile = ""\ntranscript = ""').log
    assert log.file is None
    assert log.transcript is None


def test_a_log_file_that_no_file_can_be_is_a_fault(jobs: JobsFile) -> None:
    assert jobs.fault('[log]\nfile = "~/kei.log"').startswith("2: log.file: a path with ~ ")


@pytest.mark.parametrize("key", ["directory", "database"])
def test_a_file_where_a_folder_belongs_is_a_fault(jobs: JobsFile, key: str) -> None:
    (jobs.path.parent / "taken").write_text("")
    fault = jobs.fault(f'[recorder]\n{key} = "taken/below/it"')
    assert fault.startswith(f"2: recorder.{key}: ")
    assert "taken is a file, not a folder" in fault


def test_a_folder_as_database_is_a_fault(jobs: JobsFile) -> None:
    (jobs.path.parent / "data").mkdir()
    fault = jobs.fault('[recorder]\ndatabase = "data"')
    assert 'is a folder; name a file in it: "data/kei.db"' in fault
