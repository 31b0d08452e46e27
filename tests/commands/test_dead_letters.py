"""`kei dead-letters` where there is nothing, or not what is asked for."""

from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock

from kei.commands.dead_letters import Action, carry_out
from kei.core.errors import KeiError
from kei.store.database import Database
from kei.store.dead_letters import Filter

UPLOAD = """
[[upload]]
target_url = "https://example.com/upload.php"
upload_key_file = "not there"
"""


def said(jobs: Path, action: Action, *ids: int, as_json: bool = False) -> list[str]:
    clock = FakeClock(zone=TOKYO)
    selected = Filter(None, ids)
    return list(carry_out(jobs, action, selected, as_json=as_json, environ={}, clock=clock))


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(UPLOAD)
    Database.open(tmp_path / "kei.db", FakeClock(zone=TOKYO)).close()
    return path


def test_none_is_said_and_no_secret_is_needed_for_it(jobs: Path) -> None:
    assert said(jobs, Action.LIST) == ["none\n"]
    assert said(jobs, Action.LIST, as_json=True) == []


@pytest.mark.parametrize("action", [Action.RETRY, Action.DROP])
def test_an_id_that_none_has_is_an_error(jobs: Path, action: Action) -> None:
    with pytest.raises(KeiError, match="no dead letter has the id 5, 6; `kei dead-letters` lists"):
        said(jobs, action, 5, 6)
