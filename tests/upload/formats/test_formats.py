"""What holds for every format."""

import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from any_rows import many_rows
from forked import unmeasured
from hypothesis import given, settings
from hypothesis import strategies as st
from upload_support import ORIGIN, TARGET, reading_row

import kei
from kei.store.rows import Row
from kei.upload import formats
from kei.upload.batching import Format, fitting, idempotency_key
from kei.upload.formats import FORMATS

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties

every_format = pytest.mark.parametrize(
    "form", [pytest.param(spec.build(TARGET, ORIGIN), id=name) for name, spec in FORMATS.items()]
)


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


def test_every_module_of_the_package_is_a_format_in_the_order_of_the_documents() -> None:
    names = [module.name for module in pkgutil.iter_modules(formats.__path__)]
    assert sorted(FORMATS) == sorted(names)
    assert list(FORMATS)[:3] == ["keilog", "json", "influx"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_configuration_exists(name: str) -> None:
    form = FORMATS[name].build(TARGET, ORIGIN)
    assert type(form).__name__.lower() == f"{name}format"


def test_the_formats_of_a_zip_file_are_found_with_neither_requests_nor_sqlite(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "kei.pyz"
    package = Path(kei.__file__).parent
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.rglob("*.py"):
            file.write(path, path.relative_to(package.parent))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from kei.upload import formats\n"
        "assert formats.__file__.startswith(sys.argv[1]), formats.__file__\n"
        "print(*formats.FORMATS, *{'requests', 'sqlite3'} & sys.modules.keys())"
    )
    # -I: neither the checkout's folder nor PYTHONPATH may stand in for the zip file.
    command = [sys.executable, "-I", "-c", code, str(archive)]
    done = subprocess.run(
        command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.stderr) == (list(FORMATS), "")


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
