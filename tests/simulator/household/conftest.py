"""Thousands of simulated days: measuring what they run through would take most of their time."""

from collections.abc import Iterator

import pytest
from coverage import Coverage


@pytest.fixture(autouse=True)
def unmeasured() -> Iterator[None]:
    """Let nothing be measured; the tests of meter and dongle run through the same lines."""
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    measuring.start()
