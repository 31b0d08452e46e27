"""What log lines look like from outside: JSON, priorities, masks, and other libraries' lines."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from programs import BROUTE_ID, BROUTE_PWD, NOTHING, PATIENCE_S, ROOT, running

LOGGER = """
import logging, os, sys, warnings
import structlog
from pathlib import Path
from kei.core import logs
from kei.core.secret import Secret
file = Path(sys.argv[1]) if len(sys.argv) > 1 else None
logs.masker.hide([Secret("%s"), Secret("%s"), Secret('k"ey\\\\1')])
logs.configure("info", file, os.environ)
log = structlog.stdlib.get_logger("kei.test")
""" % (BROUTE_ID, BROUTE_PWD)  # noqa: UP031 - the text has braces of its own


def run(code: str, *args: str, **environ: str) -> list[str]:
    """The lines that a process prints in which this code logs."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "logger.py"
        script.write_text(LOGGER + code)
        with running(
            *args, cwd=None, stdin=NOTHING, program=(str(script),), measured=True, **environ
        ) as program:
            assert (program.wait(), program.errors) == (0, [])
    return program.lines


def run_into(stdout: int, code: str, **environ: str) -> None:
    """The same, but it prints elsewhere."""
    env = {k: v for k, v in os.environ.items() if k not in ("DEBUG", "JOURNAL_STREAM")}
    done = subprocess.run(
        [sys.executable, "-c", LOGGER + code],
        env=env | environ | {"PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stderr == ""


def test_a_line_is_one_json_object_with_the_promised_fields() -> None:
    (line,) = run("log.info('session_joined', channel=33, pan_id='8888')")
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["logger"]) == (
        "session_joined",
        "info",
        "kei.test",
    )
    assert (entry["channel"], entry["pan_id"]) == (33, "8888")
    assert entry["timestamp"].endswith("Z")


def test_lines_below_the_level_are_not_written() -> None:
    assert run("log.debug('nothing')") == []


def test_debug_in_the_environment_makes_readable_lines_whatever_its_value() -> None:
    (line,) = run("log.debug('frame_ignored', tid=7)", DEBUG="0")
    assert "frame_ignored" in line
    assert not line.startswith("{")
    assert "\x1b" not in line


def test_a_traceback_is_a_field_of_its_line() -> None:
    (line,) = run("try: 1 / 0\nexcept ZeroDivisionError: log.exception('failed')")
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_other_libraries_and_warnings_come_in_the_same_shape() -> None:
    lines = run("logging.getLogger('apscheduler').warning('late by %d', 3)\nwarnings.warn('old')")
    entries = [json.loads(line) for line in lines]
    assert [e["logger"] for e in entries] == ["apscheduler", "py.warnings"]
    assert entries[0]["event"] == "late by 3"


def test_chatter_of_libraries_is_not_written() -> None:
    assert (
        run("logging.getLogger('urllib3').info('x')\nlogging.getLogger('apscheduler').info('y')")
        == []
    )


def test_secrets_are_masked_in_fields_texts_tracebacks_and_hex() -> None:
    code = f"""
log.info('a', text='x{BROUTE_ID}y', data={{'deep': ['{BROUTE_PWD}']}}, lower='{BROUTE_ID.lower()}')
log.info('{BROUTE_PWD.encode().hex()}', upper='{BROUTE_ID.encode().hex().upper()}')
log.info('key', value='k"ey\\\\1')
try: raise ValueError('{BROUTE_ID}')
except ValueError: log.exception('failed')
"""
    text = "\n".join(run(code)).upper()
    assert text.count("***") >= 6
    for secret in (BROUTE_ID, BROUTE_PWD):
        assert secret not in text
        assert secret.encode().hex().upper() not in text
    assert "EY\\" not in text


def test_lines_for_the_journal_carry_their_priority() -> None:
    ours, journal = socket.socketpair()
    with ours, journal:
        stat = os.fstat(journal.fileno())
        code = "log.info('a')\nlog.warning('b')\nlog.error('c')\nlog.critical('d')"
        run_into(journal.fileno(), code, JOURNAL_STREAM=f"{stat.st_dev}:{stat.st_ino}")
        journal.close()
        lines = ours.makefile().read().splitlines()
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>", "<2>"]
    assert [json.loads(line[3:])["event"] for line in lines] == ["a", "b", "c", "d"]


def test_a_journal_stream_that_is_not_stdout_adds_no_priority() -> None:
    (line,) = run("log.info('a')", JOURNAL_STREAM="1:2")
    assert line.startswith("{")


def test_the_log_file_is_opened_anew_after_it_was_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "kei.log"
    run("log.info('a')\nlogs.flush(5)\nos.rename(file, str(file) + '.1')\nlog.info('b')", str(file))
    assert json.loads((tmp_path / "kei.log.1").read_text())["event"] == "a"
    assert json.loads(file.read_text())["event"] == "b"


def test_a_reader_of_stdout_that_goes_away_does_not_matter() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run_into(writing, "log.info('a')\nlog.info('b')\nos.dup2(os.open(os.devnull, 1), 1)")
    finally:
        os.close(writing)


def test_a_log_file_on_a_full_disk_does_not_matter() -> None:
    lines = run("log.info('a')\nlog.info('b')", "/dev/full")
    assert [json.loads(line)["event"] for line in lines] == ["a", "b"]


def test_a_short_secret_spoils_no_line() -> None:
    code = """
logs.masker.hide([Secret('1'), Secret('2'), Secret('"')])
log.info('session_joined', channel=33, lqi=225, text='level "1"')
"""
    entry = json.loads(*run(code))
    assert (entry["lqi"], entry["channel"], entry["text"]) == (225, 33, 'level "1"')


def test_a_secret_that_looks_like_a_time_or_a_level_spoils_no_line() -> None:
    code = """
logs.masker.hide([Secret('warning'), Secret('kei.test'), Secret('T00:00')])
log.warning('late', at='2026-01-01T00:00:00')
"""
    entry = json.loads(*run(code))
    assert (entry["level"], entry["logger"]) == ("warning", "kei.test")
    assert entry["timestamp"].endswith("Z")
    assert entry["at"] == "2026-01-01***:00"


def test_a_message_that_does_not_fit_its_arguments_makes_a_line_all_the_same() -> None:
    entry = json.loads(*run("logging.getLogger('x').warning('%d of %d', 'a')"))
    assert (entry["event"], entry["level"], entry["logger"]) == ("log_line_failed", "warning", "x")


def test_an_error_that_nobody_expected_is_logged_masked(tmp_path: Path) -> None:
    code = f"""
import threading
def fail(): raise ValueError('{BROUTE_PWD}')
thread = threading.Thread(target=fail, name='worker')
thread.start()
thread.join()
"""
    entry = json.loads(*run(code))
    assert (entry["event"], entry["level"]) == ("thread_crashed", "critical")
    assert entry["exception"].endswith("ValueError: ***")


def test_the_last_lines_before_a_crash_are_written() -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LOGGER + "for n in range(500): log.info('a', n=n)\n1 / 0"],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [entry["event"] for entry in entries] == [*["a"] * 500, "crashed"]
    assert entries[-1]["exception"].endswith("ZeroDivisionError: division by zero")


def test_nothing_in_a_readable_line_steers_the_terminal() -> None:
    code = """
log.warning('a', text='\\x1b[2J\\x9b1m', deep=['\\x07'], lines='b\\nc')
try: raise ValueError('\\x1b]0;x')
except ValueError: log.exception('failed')
"""
    lines = run(code, DEBUG="1")
    assert all(line.isprintable() for line in lines)
    assert r"text=\x1b[2J\x9b1m" in lines[0]
    assert r"lines=b\nc" in lines[0]
    assert lines[-1] == r"ValueError: \x1b]0;x"


def test_nothing_in_a_json_line_steers_the_terminal() -> None:
    (line,) = run("log.warning('a', text='\\x1b[2J\\x9b1m\\u202e')")
    assert line.isprintable()
    assert json.loads(line)["text"] == "\x1b[2J\x9b1m\u202e"


def test_stdout_that_is_closed_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "kei.log"
    code = LOGGER.replace("logs.configure", "sys.stdout = None\nlogs.configure")
    subprocess.run(
        [sys.executable, "-c", code + "log.info('a')", str(file)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=PATIENCE_S,
        check=True,
    )
    assert json.loads(file.read_text())["event"] == "a"
