"""What statuses mean; waits grow, are spread and bounded, and the server may ask for longer."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.backoff import Backoff
from kei.upload.retry import (
    RETRY_AFTER_MAX_S,
    Verdict,
    by_status,
    new_backoff,
    retry_after_s,
    wait_s,
)


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


@pytest.mark.parametrize(
    "text", ["999999999", "9" * 4000, "Fri, 31 Dec 9999 23:59:59 GMT", "31 Dec 9999 23:59:59 -2300"]
)
def test_no_server_silences_kei_for_good(text: str) -> None:
    assert retry_after_s({"Retry-After": text}, NOW_MS) == RETRY_AFTER_MAX_S


@pytest.mark.parametrize(
    "absurd",
    [
        "Tue, 14 Nov 10000000000 22:14:20 GMT",
        "Tue, 14 Nov 99999 22:14:20 GMT",
        "Tue, 14 Nov 2023 22:14:20 +99999999999999",
        "Tue, 14 Nov 2023 22:14:20 -" + "9" * 400,
        "Tue, 99999999999999999999 Nov 2023 22:14:20 GMT",
        "Tue, 14 Nov 2023 " + "9" * 4400 + ":14:20 GMT",
    ],
)
def test_a_date_that_no_calendar_has_is_ignored(absurd: str) -> None:
    assert retry_after_s({"Retry-After": absurd}, NOW_MS) is None
    headers = {"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT", "Date": absurd}
    assert retry_after_s(headers, NOW_MS) == 60


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "²", "Tue, 99 Nov 2023 22:14:20 GMT"])
def test_what_cannot_be_understood_is_ignored(text: str) -> None:
    assert retry_after_s({"Retry-After": text}, NOW_MS) is None


_numbers = st.integers(-(10**30), 10**30).map(str)
_dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Tue", "Sunday", ""]),
    _numbers,
    st.sampled_from(["Nov", "Xxx", "11"]),
    _numbers,
    *(st.one_of(st.integers(-1, 99).map(str), _numbers) for _ in range(3)),
    st.one_of(st.sampled_from(["GMT", "EST", ""]), _numbers, _numbers.map("+{}".format)),
)
_headers = st.one_of(st.text(max_size=60), _numbers, _dates)


@pytest.mark.usefixtures("unmeasured")  # a property
@given(text=_headers, date=_headers)
def test_no_header_is_too_strange(text: str, date: str) -> None:
    wait_s = retry_after_s({"Retry-After": text, "Date": date}, NOW_MS)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_MAX_S


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert by_status(status) is Verdict.ACCEPTED


@pytest.mark.parametrize("status", [408, 425, 429, 503, 507, 511])
def test_what_passes_is_tried_again(status: int) -> None:
    assert by_status(status) is Verdict.LATER


@pytest.mark.parametrize("status", [500, 501, 502, 504, 599])
def test_other_5xx_are_failures_of_the_server(status: int) -> None:
    assert by_status(status) is Verdict.FAILED


@pytest.mark.parametrize("status", [101, 301, 302, 303, 304, 307, 308])
def test_being_sent_elsewhere_keeps_the_rows(status: int) -> None:
    assert by_status(status) is Verdict.LATER


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 410, 415, 451])
def test_what_is_about_the_address_or_the_sender_is_doubtful(status: int) -> None:
    assert by_status(status) is Verdict.DOUBTFUL


@pytest.mark.parametrize("status", [400, 409, 412, 414, 416, 418, 422, 499])
def test_other_4xx_are_about_the_rows(status: int) -> None:
    assert by_status(status) is Verdict.REFUSED


def test_413_is_about_the_size() -> None:
    assert by_status(413) is Verdict.TOO_LARGE
