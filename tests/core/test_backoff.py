"""Waits grow, are spread and are bounded."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.backoff import Backoff


class Highest(Random):
    """Always the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def full_jitter(rng: Random) -> Backoff:
    return Backoff(rng, first_s=5, max_s=600, jitter=(0.0, 1.0))


def test_the_limit_doubles_up_to_ten_minutes() -> None:
    backoff = full_jitter(Highest())
    waits = [backoff.after_failure() for _ in range(9)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_success_begins_anew() -> None:
    backoff = full_jitter(Highest())
    backoff.after_failure()
    backoff.reset()
    assert backoff.after_failure() == 5


@pytest.mark.usefixtures("unmeasured")  # a property
@given(seed=st.integers(), failures=st.integers(1, 50))
def test_no_wait_is_longer_than_ten_minutes(seed: int, failures: int) -> None:
    backoff = full_jitter(Random(seed))
    assert all(0 <= backoff.after_failure() <= 600 for _ in range(failures))


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = [full_jitter(Random(seed)).after_failure() for seed in range(200)]
    assert min(waits) < 1
    assert max(waits) > 4


@pytest.mark.usefixtures("unmeasured")  # a property
@given(seed=st.integers())
def test_jitter_stays_in_its_range(seed: int) -> None:
    backoff = Backoff(Random(seed), first_s=2, max_s=600, jitter=(0.5, 1.0))
    limits = [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert all(limit / 2 <= backoff.after_failure() <= limit for limit in limits)


def test_a_wait_that_was_shortened_grows_on() -> None:
    backoff = Backoff(Highest(), first_s=2, max_s=600, jitter=(0.5, 1.0))
    for _ in range(8):
        backoff.after_failure()
    backoff.shorten(30)
    assert [backoff.after_failure() for _ in range(3)] == [30, 60, 120]


def test_shortening_lengthens_nothing() -> None:
    backoff = Backoff(Highest(), first_s=2, max_s=600, jitter=(0.5, 1.0))
    backoff.shorten(30)
    assert backoff.after_failure() == 2


def test_failures_are_counted_until_a_success() -> None:
    backoff = full_jitter(Highest())
    for _ in range(3):
        backoff.after_failure()
    assert backoff.failures == 3
    backoff.reset()
    assert backoff.failures == 0
