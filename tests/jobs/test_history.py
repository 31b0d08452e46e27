"""The plan of the job that fills gaps, and its table of jobs.toml."""

from pathlib import Path

import pytest
from jobs_file import BROUTE, JobsFile

from kei.jobs.history import HistorySettings
from kei.jobs.kinds import AfterWindows, Event, Planned, plan


@pytest.fixture
def file(tmp_path: Path) -> JobsFile:
    return JobsFile(tmp_path / "jobs.toml")


def planned(file: JobsFile, text: str) -> list[Planned]:
    return [job for job in plan(file.load(text)) if job.id.startswith("history")]


def test_it_looks_after_each_join_and_when_a_notice_should_have_come(file: JobsFile) -> None:
    (job,) = planned(file, BROUTE)
    assert job.schedule == AfterWindows(1800, 360)
    assert job.also_after is Event.JOINED
    assert job.what == "fill gaps of EA EB with 99 days of the meter's memory"


def test_its_name_tells_what_it_fills_so_that_a_changed_one_begins_beside_the_old_one(
    file: JobsFile,
) -> None:
    names = {
        planned(file, f"{BROUTE}[history]\n{text}")[0].id
        for text in ("", "days = 30", 'epc = ["EA"]', "one_minute = true")
    }
    assert len(names) == 4


@pytest.mark.parametrize("text", ["", f"{BROUTE}[history]\ndays = 0\n"])
def test_without_a_meter_or_days_there_is_no_job(file: JobsFile, text: str) -> None:
    assert planned(file, text) == []


def test_what_a_meter_keeps_no_history_of_is_refused(file: JobsFile) -> None:
    for codes in ('["E7"]', '["EB"]', '["EA", "E0"]'):
        fault = file.fault(f"{BROUTE}[history]\nepc = {codes}\n")
        assert "history.epc" in fault
        assert 'write ["EA"] or ["EA", "EB"]' in fault


def test_more_days_than_a_meter_remembers_are_refused(file: JobsFile) -> None:
    assert "history.days" in file.fault("[history]\ndays = 100\n")


def test_the_table_has_the_defaults_of_the_contract() -> None:
    assert (HistorySettings().days, HistorySettings().epc) == (99, (0xEA, 0xEB))
