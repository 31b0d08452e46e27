"""Which rows go next after a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upload_support import reading_row

from kei.store.rows import Row
from kei.upload.batching import RowSelector

ROWS = [reading_row(number) for number in range(1, 9)]


def ids(rows: object) -> list[int]:
    assert isinstance(rows, list)
    return [row.id for row in rows]


def test_at_first_everything_may_go() -> None:
    assert ids(RowSelector(1000).select(ROWS)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_batch_of_unknown_fate_is_repeated_without_newer_rows() -> None:
    selector = RowSelector(1000)
    selector.unknown(ROWS[:3])
    assert ids(selector.select(ROWS)) == [1, 2, 3]


def test_a_batch_that_the_queue_has_dropped_is_not_waited_for() -> None:
    selector = RowSelector(1000)
    selector.unknown(ROWS[:3])
    assert ids(selector.select(ROWS[4:])) == [5, 6, 7, 8]


def test_a_refused_batch_is_halved() -> None:
    selector = RowSelector(1000)
    selector.refused(ROWS)
    assert ids(selector.select(ROWS)) == [1, 2, 3, 4]


def test_after_a_good_first_half_the_second_is_searched() -> None:
    selector = RowSelector(1000)
    selector.refused(ROWS)
    selector.accepted(ROWS[:4])
    assert ids(selector.select(ROWS[4:])) == [5, 6]


def test_once_the_search_is_over_everything_may_go() -> None:
    selector = RowSelector(1000)
    selector.refused(ROWS[:2])
    selector.accepted(ROWS[:2])
    assert ids(selector.select(ROWS[2:])) == [3, 4, 5, 6, 7, 8]


def test_too_large_a_batch_halves_the_room() -> None:
    selector = RowSelector(1000)
    selector.too_large(ROWS, data_bytes=800)
    assert selector.max_bytes == 400


def test_a_single_row_that_is_too_large_says_nothing_about_the_others() -> None:
    selector = RowSelector(1000)
    selector.too_large(ROWS, data_bytes=800)
    selector.too_large(ROWS[:1], data_bytes=90)
    assert selector.max_bytes == 1000


def test_the_row_behind_a_suspect_row_is_its_probe_row() -> None:
    selector = RowSelector(1000)
    selector.start_probe(ROWS[0])
    assert ids(selector.select(ROWS)) == [2]


def test_a_suspect_row_without_a_probe_row_waits() -> None:
    selector = RowSelector(1000)
    selector.start_probe(ROWS[0])
    assert ids(selector.select(ROWS[:1])) == []


def test_a_suspect_row_whose_probe_is_cancelled_goes_alone() -> None:
    selector = RowSelector(1000)
    selector.start_probe(ROWS[0])
    selector.cancel_probe()
    assert ids(selector.select(ROWS)) == [1]


def test_a_probe_row_of_unknown_fate_decides_nothing() -> None:
    selector = RowSelector(1000)
    selector.start_probe(ROWS[0])
    selector.unknown(ROWS[1:2])
    assert ids(selector.select(ROWS)) == [1]


@pytest.mark.usefixtures("unmeasured")  # a property
@given(count=st.integers(1, 300), data=st.data())
def test_any_poisoned_rows_are_found_with_few_posts(count: int, data: st.DataObject) -> None:
    poisoned = data.draw(st.sets(st.integers(1, count), max_size=3))
    queue = [reading_row(number) for number in range(1, count + 1)]
    selector, delivered, aside, posts = RowSelector(1000), list[Row](), set[int](), 0
    while queue:
        batch, posts = list(selector.select(queue)), posts + 1
        if poisoned.isdisjoint(row.id for row in batch):
            selector.accepted(batch)
            delivered += batch
        else:
            selector.refused(batch)
            if len(batch) > 1:
                continue
            aside.add(batch[0].id)
        queue = queue[len(batch) :]
    assert aside == poisoned
    assert [row.id for row in delivered] == sorted({*range(1, count + 1)} - poisoned)
    assert posts <= 1 + (len(poisoned) + 1) * 2 * count.bit_length()
