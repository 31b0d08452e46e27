"""Where a jobs.toml that has mistakes would have its database."""

from pathlib import Path

import pytest

from kei.config import database_of


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("[mqqt]", "kei.db"),
        ('[recorder]\ndatabase = "/data/a.db"\n[mqqt]', "/data/a.db"),
        ('[recorder]\ndatabase = "b.db"\nsync = \n[broute', "b.db"),
        ('recorder.database = "c.db"\n[broute', "c.db"),
        ("[broute", "kei.db"),
        ("[recorder]\ndatabase = 7", None),
        ("[recorder]\ndatabase = what", None),
        ('[recorder]\ndatabase = "a\\u0000b"', None),
        ("recorder = 1", None),
        ("a = " + "[" * 20_000, None),
    ],
)
def test_the_database_is_found_where_the_file_has_it(
    tmp_path: Path, text: str, database: str | None
) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text(text)
    assert database_of(path) == (None if database is None else tmp_path / database)


def test_a_file_that_is_not_there_names_no_database(tmp_path: Path) -> None:
    assert database_of(tmp_path / "jobs.toml") is None
