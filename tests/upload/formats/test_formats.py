"""What holds for every format."""

import pytest
from fakes import TOKYO
from hypothesis import given, settings
from hypothesis import strategies as st
from upload_support import many_rows, reading_row

from kei.settings.upload import What
from kei.store.rows import Row
from kei.upload.batch import Format, fitting, idempotency_key
from kei.upload.formats.influx import InfluxFormat
from kei.upload.formats.json import JsonFormat
from kei.upload.formats.keilog import KeilogFormat
from kei.upload.formats.registry import format_of
from kei.upload.target import FormatName, Target

FORMATS: list[Format] = [
    KeilogFormat("key", "base", TOKYO),
    JsonFormat("server", "key", "host", TOKYO),
    InfluxFormat("server", "key", "host"),
]
every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__)


@every_format
@settings(max_examples=40)
@given(rows=many_rows, max_bytes=st.integers(0, 1000))
def test_a_batch_of_several_rows_never_exceeds_max_bytes(
    form: Format, rows: list[Row], max_bytes: int
) -> None:
    batch = form.batch(rows, max_bytes)
    assert batch is not None
    assert batch.data_bytes <= max_bytes or len(batch.rows) == 1


@every_format
@settings(max_examples=40)
@given(rows=many_rows, max_bytes=st.integers(0, 1000))
def test_batches_after_one_another_carry_every_row_once_in_order(
    form: Format, rows: list[Row], max_bytes: int
) -> None:
    carried: list[Row] = []
    rest = rows
    while (batch := form.batch(rest, max_bytes)) is not None:
        carried += batch.rows
        rest = rest[len(batch.rows) :]
    assert carried == rows


@every_format
@settings(max_examples=40)
@given(rows=many_rows, more=many_rows, max_bytes=st.integers(0, 1000))
def test_a_batch_made_again_from_its_own_rows_is_the_same(
    form: Format, rows: list[Row], more: list[Row], max_bytes: int
) -> None:
    batch = form.batch(rows, max_bytes)
    assert batch is not None
    assert form.batch(batch.rows, max_bytes) == batch


@every_format
def test_no_rows_make_no_batch(form: Format) -> None:
    assert form.batch([], 1000) is None


@pytest.mark.parametrize("name", FormatName)
def test_every_format_of_the_configuration_exists(name: FormatName) -> None:
    target = Target("t", "http://localhost/", None, name, What.READINGS, "base")
    assert type(format_of(target, "host", TOKYO)).__name__.lower() == f"{name}format"


def test_a_first_piece_that_is_too_large_goes_alone() -> None:
    assert fitting([b"12345", b"1"], room=3) == [b"12345"]


def test_joints_count_between_pieces() -> None:
    assert fitting([b"12", b"34", b"56"], room=5, joint=1) == [b"12", b"34"]


@pytest.mark.parametrize(
    ("target", "numbers", "body"),
    [("other", [1, 2], b"b"), ("t", [1, 3], b"b"), ("t", [1, 2], b"c")],
)
def test_the_idempotency_key_differs_with_target_rows_and_body(
    target: str, numbers: list[int], body: bytes
) -> None:
    rows = [reading_row(1), reading_row(2)]
    others = [reading_row(number) for number in numbers]
    assert idempotency_key("t", rows, b"b") != idempotency_key(target, others, body)


def test_the_idempotency_key_stays_the_same_over_the_releases() -> None:
    key = idempotency_key("t", [reading_row(1)], b"body")
    assert key == "0708121a18ab0990d4f06c64e3d44073"
