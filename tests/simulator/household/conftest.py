"""Thousands of simulated days: the tests of meter and dongle run through the same lines."""

import pytest


@pytest.fixture(autouse=True)
def _days_unmeasured(unmeasured: None) -> None:
    """Let nothing be measured."""
