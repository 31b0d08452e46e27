import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.printable import counted, printable, printable_json


def test_what_steers_a_terminal_is_shown_instead() -> None:
    assert printable("\x1b[2J\x9b31m\x07\r\n\u202eX") == r"\x1b[2J\x9b31m\x07\r\n\u202eX"


def test_letters_and_blanks_stay() -> None:
    assert printable("電力\u3000512 W, 20°C") == "電力\u3000512 W, 20°C"


@pytest.mark.parametrize(("count", "told"), [(0, "0 days"), (1, "1 day"), (99, "99 days")])
def test_one_of_something_is_not_called_several(count: int, told: str) -> None:
    assert counted(count, "day") == told


def test_what_is_to_be_kept_stays() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(st.text() | st.text(st.sampled_from("\x1b\x9b\x7f\u202e\ud800\U000e0041a")))
def test_json_has_the_same_value_and_nothing_that_steers(text: str) -> None:
    document = printable_json(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(document) == {text: text}
    assert printable(document) == document
