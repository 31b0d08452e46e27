import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.config import rules
from kei.config.errors import FaultList
from kei.config.values import Source, read
from kei.settings.keys import Word
from kei.settings.serial import LINE_END, PARITY
from kei.settings.text_rules import Wrong


def read_word(kind: Word) -> Callable[[str], object]:
    source = Source(FaultList(Path("jobs.toml"), {}), Path("/"), {})
    return lambda text: read(kind, text, ("key",), source)


@given(text=st.text())
@pytest.mark.parametrize(
    "rule",
    [rules.port, rules.sensor_port, rules.epc, read_word(PARITY), read_word(LINE_END)],
)
def test_a_rule_takes_a_text_or_says_that_it_is_wrong(
    rule: Callable[[str], object], text: str
) -> None:
    with contextlib.suppress(Wrong):
        rule(text)
