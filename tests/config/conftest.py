from pathlib import Path

import pytest
from jobs_file import JobsFile


@pytest.fixture
def jobs(tmp_path: Path) -> JobsFile:
    return JobsFile(tmp_path / "jobs.toml")
