"""Statuses and what they mean."""

import pytest

from kei.upload.verdict import Verdict, by_status


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert by_status(status) is Verdict.ACCEPTED


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
def test_what_passes_is_tried_again(status: int) -> None:
    assert by_status(status) is Verdict.LATER


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
