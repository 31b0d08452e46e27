"""Radio repeats and outliers, and nothing else, are left out."""

from decimal import Decimal

import pytest

from kei.sensors.filters import Outliers, Repeats
from kei.sensors.line_parser import Line, Reason, parse
from kei.settings.serial import SeriesCheck


def line(raw: str) -> Line:
    found = parse(raw.encode())
    assert isinstance(found, Line)
    return found


def repeats(*lines: str) -> list[bool]:
    known = Repeats()
    return [known.is_repeat(line(raw), raw.encode()) for raw in lines]


def judged(check: SeriesCheck, *values: str) -> list[str | None]:
    outliers = Outliers([check])
    return [outliers.check(line(f"A1,T1,{value}")) for value in values]


def check(
    minimum: str | None = None, maximum: str | None = None, variation: str | None = None
) -> SeriesCheck:
    low, high, step = (None if v is None else Decimal(v) for v in (minimum, maximum, variation))
    return SeriesCheck("A1", "T1", low, high, step)


def test_a_line_that_is_heard_again_is_a_repeat() -> None:
    assert repeats("A,T,1,5", "A,T,1,5", "A,T,1,5") == [False, True, True]


@pytest.mark.parametrize("other", ["B,T,1,5", "A,S,1,5", "A,T,2,5", "A,T,1,6", "A,T,1.0,5"])
def test_a_line_that_differs_in_one_field_is_none(other: str) -> None:
    assert repeats("A,T,1,5", other) == [False, False]


def test_a_line_is_known_for_the_ten_that_follow() -> None:
    others = [f"A,T,1,x{number}" for number in range(9)]
    assert repeats("A,T,1,5", *others, "A,T,1,5")[-1] is True
    assert repeats("A,T,1,5", *others, "A,T,1,x9", "A,T,1,5")[-1] is False


def test_repeats_make_nothing_forgotten() -> None:
    assert repeats("A,T,1,5", *["B,T,1,5"] * 30, "A,T,1,5")[-1] is True


def test_a_line_without_data_id_is_never_a_repeat() -> None:
    assert repeats("A,T,1", "A,T,1") == [False, False]


def test_values_out_of_range_are_dropped_and_the_bounds_belong_to_it() -> None:
    out = Reason.OUT_OF_RANGE
    assert judged(check("-40", "85"), "-40", "85", "85.0001", "-40.1", "20") == [
        None,
        None,
        out,
        out,
        None,
    ]


def test_a_jump_is_believed_the_third_time_in_a_row() -> None:
    jump = Reason.JUMP
    values = ["20", "40", "41", "40", "41", "20"]
    assert judged(check(variation="10"), *values) == [None, jump, jump, None, None, jump]


def test_a_good_value_between_jumps_begins_the_row_anew() -> None:
    jump = Reason.JUMP
    assert judged(check(variation="10"), "20", "40", "40", "21", "40", "40", "40") == [
        *[None, jump, jump, None],
        *[jump, jump, None],
    ]


def test_a_step_of_just_the_variation_is_none() -> None:
    assert judged(check(variation="0.1"), "0.1", "0.2", "0.3") == [None] * 3


def test_a_value_out_of_range_neither_continues_nor_ends_a_row_of_jumps() -> None:
    jump, out = Reason.JUMP, Reason.OUT_OF_RANGE
    assert judged(check(maximum="85", variation="10"), "20", "40", "99", "40", "40") == [
        *[None, jump, out, jump, None],
    ]


def test_a_series_without_a_check_is_taken_as_it_is() -> None:
    outliers = Outliers([check("0", "1")])
    assert outliers.check(line("A1,T2,999")) is None
    assert judged(check(), "1", "1e9", "-1e9") == [None] * 3
