"""A kind of job brings its own table of jobs.toml."""

import pytest
from jobs_file import JobsFile
from reference import described

from kei.config.diff import differences
from kei.config.rules import KNOWN_EPCS
from kei.jobs import kinds
from kei.settings.keys import DAY_S, Duration, Epcs, Flag, SecretText, Whole, key, table
from kei.settings.text_rules import upload_key


@table()
class Gaps:
    """What is asked for of the meter's memory."""

    days: int = key(Whole(0, 99), "Days before today.", default=99)
    epcs: tuple[int, ...] = key(Epcs(), "Codes of the properties.", default=(0xEA,), name="epc")
    every_s: float = key(Duration(1, DAY_S), "Time from one search to the next.", default=3600.0)
    one_minute: bool = key(Flag(), "Whether one-minute values are asked for.", default=False)
    token: object = key(SecretText(upload_key), "The key to it.", default=None, example='"x"')


@pytest.fixture(autouse=True)
def _gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "tables", lambda: {"gaps": Gaps})


def test_a_table_that_is_left_out_has_its_defaults(jobs: JobsFile) -> None:
    assert jobs.load("").job_tables == {"gaps": Gaps()}


def test_a_table_takes_what_is_given(jobs: JobsFile) -> None:
    text = '[gaps]\ndays = 3\nepc = ["EA", "eb"]\nevery = "5m"\none_minute = true'
    assert jobs.load(text).job_tables["gaps"] == Gaps(3, (0xEA, 0xEB), 300.0, one_minute=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[gaps]\ndays = 100", "2: gaps.days: 100 is out of range; it must be from 0 to 99"),
        ("[gaps]\nday = 1", "2: gaps.day: unknown key; did you mean days?"),
        ("[gap]\ndays = 1", "1: gap: unknown table; did you mean gaps?"),
        ("[[gaps]]", "1: gaps: found an array of tables, wanted a table; write [gaps] on a line"),
        (
            "[gaps]\ntoken = 'a'\ntoken_env = 'b'",
            "3: gaps.token_env: stands beside token; keep only one of them",
        ),
    ],
)
def test_a_mistake_in_it_is_a_fault(jobs: JobsFile, text: str, fault: str) -> None:
    assert jobs.fault(text).startswith(fault)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("[gaps]\ndays = 3", ["gaps: days 99 -> 3"]),
        ("[gaps]\nevery = 5\ntoken = 'x'", ["gaps: every 3600s -> 5s", "gaps: token changed"]),
    ],
)
def test_what_changes_in_it_is_named(jobs: JobsFile, text: str, lines: list[str]) -> None:
    assert differences(jobs.load(""), jobs.load(text)) == lines


def test_the_page_describes_it() -> None:
    page = described("")
    assert "## `[gaps]`\n\nWhat is asked for of the meter's memory.\n" in page
    assert "| `days` | whole number, 0 to 99 | `99` | Days before today. |" in page
    known = " ".join(KNOWN_EPCS)
    assert f'| `epc` | list of texts: {known} | `["EA"]` |' in page
