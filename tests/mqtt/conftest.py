from collections.abc import Callable
from pathlib import Path

import pytest
from jobs_file import JobsFile
from mqtt_support import Home
from programs import BROUTE_ID, BROUTE_PWD

BROUTE = f"""
[site]
name = "house-07"
[broute]
port = "sim:"
broute_id = "{BROUTE_ID}"
broute_pwd = "{BROUTE_PWD}"
"""
REQUESTS = """
[[broute.requests]]
epc = ["E7", "E8"]
cycle = 10
[[broute.requests]]
epc = ["E0", "E3"]
cycle = 300
"""
Make = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> Make:
    """Makes a kei with these tables, or with a meter and a broker."""

    def make(text: str = f"{BROUTE}{REQUESTS}[mqtt]\n") -> Home:
        return Home(JobsFile(tmp_path / "jobs.toml").load(text))

    return make
