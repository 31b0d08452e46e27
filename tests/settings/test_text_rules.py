import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.settings import text_rules
from kei.settings.text_rules import Wrong

pytestmark = pytest.mark.usefixtures("unmeasured")  # properties


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86_400.0),
        ("400d", 34_560_000.0),
        ("1.5h", 5400.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, seconds: float) -> None:
    assert text_rules.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("90", 'write 90 without quotes, or "90s"'),
        ("1.5", 'write 1.5 without quotes, or "1.5s"'),
        ("10 sec", 'write "10s" ('),
        ("10 s", 'write "10s" ('),
        ("5min", 'write "5m" ('),
        ("1 hour", 'write "1h" ('),
        ("2 Days", 'write "2d" ('),
        ("10S", 'write "10s" ('),
        ("500 msec", 'write "500ms" ('),
        ("", "write a number of seconds, or a text like "),
        ("-5s", "write a number of seconds, or a text like "),
        ("1h30m", "write a number of seconds, or a text like "),
        ("1e3s", "write a number of seconds, or a text like "),
        ("１０s", "write a number of seconds, or a text like "),
        ("10s\n", 'write "10s" ('),
    ],
)
def test_anything_else_is_no_duration_and_gets_a_hint(text: str, remedy: str) -> None:
    with pytest.raises(Wrong) as caught:
        text_rules.duration(text)
    assert caught.value.remedy.startswith(remedy)


@given(seconds=st.integers(0, 36_500 * 86_400))
def test_a_shown_duration_reads_as_the_same_number_of_seconds(seconds: int) -> None:
    shown = text_rules.show_duration(seconds)
    assert (0 if shown == "0" else text_rules.duration(shown)) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0"), (0.1, "100ms"), (1, "1s"), (90, "90s"), (120, "2m"), (3600, "1h"), (86_400, "1d")],
)
def test_durations_are_shown_in_the_largest_unit_that_fits(seconds: float, shown: str) -> None:
    assert text_rules.show_duration(seconds) == shown


@given(text=st.text())
@pytest.mark.parametrize(
    "rule",
    [
        text_rules.duration,
        text_rules.plain,
        text_rules.identifier,
        text_rules.fname_base,
        text_rules.file_path,
        text_rules.encoding,
        text_rules.broute_id,
        text_rules.broute_pwd,
        text_rules.upload_key,
        text_rules.target_url,
        text_rules.header_name,
        text_rules.header_value,
        text_rules.moment,
    ],
)
def test_a_rule_takes_a_text_or_says_that_it_is_wrong(
    rule: Callable[[str], object], text: str
) -> None:
    with contextlib.suppress(Wrong):
        rule(text)


@given(text=st.from_regex(r"https?://[^\n]*", fullmatch=True))
def test_an_address_that_is_taken_has_a_host(text: str) -> None:
    try:
        taken = text_rules.target_url(text)
    except Wrong:
        return
    assert text_rules.host(taken)
