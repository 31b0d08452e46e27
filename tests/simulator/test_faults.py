import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kei.core.errors import ConfigError
from kei.simulator.faults import (
    OF_ITSELF,
    AtTime,
    Chance,
    FaultKind,
    FaultPlan,
    FaultSpec,
    Span,
    parse_fault,
)

KINDS = st.sampled_from(list(FaultKind))
NUMBERS = st.integers(1, 999_999_999)


@given(KINDS, NUMBERS)
def test_at_a_number_is_that_one_time(kind: FaultKind, number: int) -> None:
    assert parse_fault(f"{kind}@{number}") == FaultSpec(kind, Span(number, number))


@given(KINDS, NUMBERS, NUMBERS)
def test_a_range_goes_up(kind: FaultKind, one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert parse_fault(f"{kind}@{first}-{last}") == FaultSpec(kind, Span(first, last))


@given(KINDS, NUMBERS)
def test_a_count_is_the_first_so_many_times(kind: FaultKind, count: int) -> None:
    assert parse_fault(f"{kind}:{count}") == FaultSpec(kind, Span(1, count))


@given(KINDS, st.decimals(0, 999_999_999, places=3))
def test_a_time_is_in_seconds(kind: FaultKind, seconds: object) -> None:
    assert parse_fault(f"{kind}@t{seconds}") == FaultSpec(kind, AtTime(float(f"{seconds}")))


@given(KINDS, st.decimals("0.001", 100, places=3))
def test_a_percentage_is_a_chance(kind: FaultKind, percent: object) -> None:
    assert parse_fault(f"{kind}%{percent}") == FaultSpec(kind, Chance(float(f"{percent}")))


@given(st.text(max_size=30) | st.from_regex(r"drop[@:%t0-9.-]*", fullmatch=True))
def test_any_text_is_read_or_refused_with_one_line(text: str) -> None:
    try:
        kind = parse_fault(text).kind
    except ConfigError as error:
        kind = None
        lines = error.faults
    else:
        lines = [text]
    assert kind is None or kind in FaultKind
    assert len(lines) == 1


@pytest.mark.parametrize(
    "text",
    [
        "drop", "drop@", "drop@0", "drop@5-3", "drop@3-", "drop:0", "drop%0", "drop%101", "@3", "",
        "drop@t", "drop@t-1", "drop@1@2", "drop 3", "drop%nan",
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_fault(text)


def test_a_misspelt_kind_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean 'duplicate'"):
        parse_fault("duplcate@3")


def plan(*texts: str, seed: int = 0) -> FaultPlan:
    made = FaultPlan(random.Random(seed))
    for text in texts:
        made.add(parse_fault(text), 100.0)
    return made


def sends(made: FaultPlan, count: int) -> list[int]:
    """Which of so many sends are hit, counted from 1."""
    return [number for number in range(1, count + 1) if made.on_send(100.0)]


def test_a_range_hits_just_these_sends() -> None:
    assert sends(plan("drop@3-5"), 9) == [3, 4, 5]


def test_several_faults_may_hit_one_send() -> None:
    made = plan("late@1", "duplicate:2")
    assert made.on_send(100.0) == {FaultKind.LATE, FaultKind.DUPLICATE}


def test_scans_and_joins_are_counted_on_their_own() -> None:
    made = plan("scan-miss:1", "join-fail@2")
    assert made.on_send(100.0) == frozenset()
    assert [made.on_scan(100.0), made.on_scan(100.0)] == [True, False]
    assert [made.on_join(100.0), made.on_join(100.0)] == [False, True]


def test_a_fault_at_a_time_hits_the_first_send_after_it_once() -> None:
    made = plan("drop@t5")
    hits = [bool(made.on_send(now)) for now in (104.9, 105.0, 106.0)]
    assert hits == [False, True, False]


def test_what_happens_of_itself_is_due_at_its_time() -> None:
    made = plan()
    due = [made.add(parse_fault(text), 100.0) for text in ("unplug@t5", "drop@t5")]
    assert due == [105.0, None]
    assert FaultKind.UNPLUG in OF_ITSELF


def test_a_percentage_is_reproducible_and_about_right() -> None:
    hits = sends(plan("drop%20", seed=7), 5000)
    assert hits == sends(plan("drop%20", seed=7), 5000)
    assert 900 < len(hits) < 1100
