"""What the main job masks in the log."""

from dataclasses import dataclass, replace
from pathlib import Path

from jobs_file import BROUTE, BROUTE_ID, BROUTE_PWD, JobsFile

from kei.app.runner import _secrets
from kei.core.secret import Secret

UPLOAD = """
[[upload]]
target_url = "http://127.0.0.1:9/"
format = "json"
upload_key = "the key"
headers = { Authorization = "the header" }
"""


@dataclass(frozen=True)
class Table:
    password: Secret


def test_every_secret_of_a_configuration_is_found_also_in_the_table_of_a_kind_of_job(
    tmp_path: Path,
) -> None:
    config = JobsFile(tmp_path / "jobs.toml").load(BROUTE + UPLOAD)
    config = replace(config, job_tables={"some": Table(Secret("of the table"))})
    found = {secret.reveal() for secret in _secrets(config)}
    assert found == {BROUTE_ID, BROUTE_PWD, "the key", "the header", "of the table"}
