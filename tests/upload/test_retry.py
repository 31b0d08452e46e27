"""How long to leave a server alone that asks for it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.backoff import Backoff
from kei.upload.retry import RETRY_AFTER_MAX_S, new_backoff, retry_after_s, wait_s


class Highest(Random):
    """Always the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def backoff() -> Backoff:
    return new_backoff(Highest())


def test_waits_for_a_server_double_up_to_ten_minutes() -> None:
    waits = backoff()
    assert [wait_s(waits) for _ in range(9)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_what_the_server_asks_for_is_the_least() -> None:
    assert wait_s(backoff(), 120) == 120


def test_what_the_server_asks_for_does_not_shorten_the_wait() -> None:
    assert wait_s(backoff(), 1) == 5


def test_no_server_silences_kei_for_good() -> None:
    assert wait_s(backoff(), 10.0**9) == RETRY_AFTER_MAX_S


NOW_MS = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60),
        ({"Retry-After": "Tue, 14 Nov 2023 22:12:20 GMT"}, 0),
    ],
)
def test_both_forms_of_retry_after_are_read(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers, NOW_MS) == seconds


def test_a_date_counts_from_the_servers_own_clock() -> None:
    headers = {
        "Date": "Tue, 14 Nov 2023 22:13:50 GMT",
        "Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT",
    }
    assert retry_after_s(headers, now_ms=0) == 30


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "²", "Tue, 99 Nov 2023 22:14:20 GMT"])
def test_what_cannot_be_understood_is_ignored(text: str) -> None:
    assert retry_after_s({"Retry-After": text}, NOW_MS) is None


@given(text=st.text(max_size=60), date=st.text(max_size=60))
def test_no_header_is_too_strange(text: str, date: str) -> None:
    wait_s = retry_after_s({"Retry-After": text, "Date": date}, NOW_MS)
    assert wait_s is None or wait_s >= 0
