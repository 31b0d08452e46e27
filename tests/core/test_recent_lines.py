"""The last log lines that `kei status` shows."""

import json
import os
import subprocess
import sys

from programs import BROUTE_ID, ROOT

LOGGER = f"""
import json, logging, os, sys
import structlog
from dataclasses import astuple
from kei.core import logs
from kei.core.secret import Secret
logs.masker.hide([Secret("{BROUTE_ID}")])
logs.configure("info", None, os.environ)
log = structlog.stdlib.get_logger("kei.test")
"""


def recent(code: str) -> list[tuple[int, str, str, str]]:
    """The lines that a process remembers after this code: time, level, logger, text."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGER + code + "\njson.dump([astuple(l) for l in "
         "logs.recent_lines()], sys.stderr)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )  # fmt: skip
    return [tuple(line) for line in json.loads(done.stderr)]


def test_lines_from_warning_upwards_are_remembered() -> None:
    lines = recent("log.info('a')\nlog.warning('b', channel=33)\nlog.error('c')\nlog.critical('d')")
    assert [line[1:] for line in lines] == [
        ("warning", "kei.test", "b channel=33"),
        ("error", "kei.test", "c"),
        ("critical", "kei.test", "d"),
    ]
    assert all(line[0] > 1_500_000_000_000 for line in lines)


def test_only_the_last_ten_are_remembered() -> None:
    lines = recent("for n in range(25): log.warning('late', n=n)")
    assert [line[3] for line in lines] == [f"late n={n}" for n in range(15, 25)]


def test_lines_of_other_libraries_are_remembered_too() -> None:
    (line,) = recent("logging.getLogger('apscheduler').warning('late by %d', 3)")
    assert line[2:] == ("apscheduler", "late by 3")


def test_secrets_are_masked() -> None:
    (line,) = recent(f"log.warning('a', text='x{BROUTE_ID}y', lower='{BROUTE_ID.lower()}')")
    assert line[3] == "a text=x***y lower=***"


def test_a_secret_that_a_long_line_would_cut_is_masked() -> None:
    (line,) = recent(f"log.warning('a', text='x' * 280 + '{BROUTE_ID}')")
    assert line[3].endswith("x***")


def test_a_line_has_a_bound_and_no_line_ends() -> None:
    (line,) = recent("log.warning('a', text='b\\n' * 1000)")
    assert len(line[3]) == 300
    assert line[3].isprintable()


def test_of_a_traceback_only_the_error_is_remembered() -> None:
    (line,) = recent("try: 1 / 0\nexcept ZeroDivisionError: log.exception('failed', n=1)")
    assert line[3] == "failed n=1 exception=ZeroDivisionError: division by zero"


def test_lines_are_remembered_over_a_change_of_settings() -> None:
    lines = recent("log.warning('a')\nlogs.configure('error', None, {})\nlog.error('b')")
    assert [line[3] for line in lines] == ["a", "b"]
