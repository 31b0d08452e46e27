"""The form that the original's server takes, and its answers."""

from dataclasses import replace
from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from any_rows import many_rows
from fakes import TOKYO
from hypothesis import given
from hypothesis import strategies as st
from upload_support import ORIGIN, TARGET, reading_row, summary_row

from kei.core.clock import local
from kei.core.reading import Reading, Summary
from kei.core.secret import Secret
from kei.store.rows import Row
from kei.upload.formats.keilog import KeilogFormat
from kei.upload.retry import Verdict

FORM = KeilogFormat(
    replace(TARGET, upload_key=Secret("k&y=")), replace(ORIGIN, fname_base="mydatafile")
)


def fields(rows: list[Row], max_bytes: int = 1000) -> dict[str, str]:
    batch = FORM.batch(rows, max_bytes)
    assert batch is not None
    form = parse_qs(batch.body.decode(), keep_blank_values=True, strict_parsing=True)
    return {name: value for name, [value] in form.items()}


def test_readings_go_to_their_daily_file() -> None:
    row = Row(1, Reading(1_700_000_000_000, "BR", "E7", Decimal(512), "x"))
    assert fields([row]) == {
        "type": "text",
        "key": "k&y=",
        "fname": "20231115-mydatafile.txt",
        "data": "2023/11/15 07:13:20,BR,E7,512,x\n",
    }


def test_summaries_go_to_their_daily_file() -> None:
    start_ms = 1_700_000_400_000
    row = Row(1, Summary(start_ms, "BR", "E7", Decimal("51.25"), Decimal(1), Decimal(99), 60))
    form = fields([row])
    assert form["fname"] == "sum20231115-mydatafile.txt"
    assert form["data"] == "2023/11/15 07:20,BR,E7,51.25\n"


def test_a_missing_key_is_sent_empty() -> None:
    batch = KeilogFormat(replace(TARGET, upload_key=None), ORIGIN).batch([reading_row(1)], 1000)
    assert batch is not None
    assert b"&key=&" in batch.body


def test_a_batch_ends_at_midnight_of_the_local_zone() -> None:
    midnight_ms = 1_700_060_400_000  # 2023-11-16 00:00 in Tokyo
    rows = [reading_row(number, time_ms=midnight_ms - 3000) for number in range(1, 6)]
    batch = FORM.batch(rows, 1000)
    assert batch is not None
    assert [row.id for row in batch.rows] == [1, 2]


@pytest.mark.usefixtures("unmeasured")  # a property
@given(rows=many_rows, max_bytes=st.integers(0, 500))
def test_data_are_whole_lines_of_one_day(rows: list[Row], max_bytes: int) -> None:
    batch = FORM.batch(rows, max_bytes)
    assert batch is not None
    data = parse_qs(batch.body.decode())["data"][0]
    assert data.endswith("\n")
    assert data.count("\n") == len(batch.rows)
    days = {line[:10] for line in data.splitlines()}
    assert days == {f"{_day(rows[0]):%Y/%m/%d}"}


def _day(row: Row) -> object:
    item = row.item
    return local(item.time_ms if isinstance(item, Reading) else item.start_ms, TOKYO)


def test_only_the_data_count_against_max_bytes() -> None:
    line_bytes = len("2023/11/15 07:13:21,BR,E7,1,x\n")
    batch = FORM.batch([reading_row(1), reading_row(2)], 2 * line_bytes)
    assert batch is not None
    assert batch.data_bytes == 2 * line_bytes


@pytest.mark.parametrize("body", [b"OK.", b"OK", b"\xef\xbb\xbfOK.\n", b"\r\nOK. 3 lines"])
def test_ok_is_success(body: bytes) -> None:
    assert FORM.judge(200, body) is Verdict.ACCEPTED


@pytest.mark.parametrize("status", [200, 403, 413, 500])
def test_error_is_temporary_whatever_the_status(status: int) -> None:
    assert FORM.judge(status, b"Error: disk full") is Verdict.FAILED


@pytest.mark.parametrize("body", [b"", b"<html>Welcome to the hotel", b"ok", b"Not OK"])
def test_success_without_ok_is_not_believed(body: bytes) -> None:
    assert FORM.judge(200, body) is Verdict.LATER


def test_a_refusal_without_error_is_a_refusal() -> None:
    assert FORM.judge(400, b"Bad Request") is Verdict.REFUSED


def test_ok_with_a_server_error_is_not_success() -> None:
    assert FORM.judge(500, b"OK") is Verdict.FAILED


def test_a_summary_batch_may_span_many_windows_of_a_day() -> None:
    assert fields([summary_row(number) for number in range(1, 4)])["data"].count("\n") == 3
