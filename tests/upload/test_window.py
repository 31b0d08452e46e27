"""Which rows go next after a failure."""

from hypothesis import given
from hypothesis import strategies as st
from upload_support import reading_row

from kei.store.rows import Row
from kei.upload.window import Window

ROWS = [reading_row(number) for number in range(1, 9)]


def ids(rows: object) -> list[int]:
    assert isinstance(rows, list)
    return [row.id for row in rows]


def test_at_first_everything_may_go() -> None:
    assert ids(Window(1000).choose(ROWS)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_batch_of_unknown_fate_is_repeated_without_newer_rows() -> None:
    window = Window(1000)
    window.unknown(ROWS[:3])
    assert ids(window.choose(ROWS)) == [1, 2, 3]


def test_a_batch_that_the_queue_has_dropped_is_not_waited_for() -> None:
    window = Window(1000)
    window.unknown(ROWS[:3])
    assert ids(window.choose(ROWS[4:])) == [5, 6, 7, 8]


def test_a_refused_batch_is_halved() -> None:
    window = Window(1000)
    window.refused(ROWS)
    assert ids(window.choose(ROWS)) == [1, 2, 3, 4]


def test_a_good_first_half_puts_the_blame_on_the_second() -> None:
    window = Window(1000)
    window.refused(ROWS)
    window.accepted(ROWS[:4])
    assert ids(window.choose(ROWS[4:])) == [5, 6]


def test_once_all_suspects_are_through_everything_may_go() -> None:
    window = Window(1000)
    window.refused(ROWS[:2])
    window.accepted(ROWS[:2])
    assert ids(window.choose(ROWS[2:])) == [3, 4, 5, 6, 7, 8]


def test_too_large_a_batch_halves_the_room() -> None:
    window = Window(1000)
    window.too_large(ROWS, data_bytes=800)
    assert window.max_bytes == 400


def test_a_single_row_that_is_too_large_says_nothing_about_the_others() -> None:
    window = Window(1000)
    window.too_large(ROWS, data_bytes=800)
    window.too_large(ROWS[:1], data_bytes=90)
    assert window.max_bytes == 1000


def test_the_row_behind_an_accused_one_is_its_witness() -> None:
    window = Window(1000)
    window.accuse(ROWS[0])
    assert ids(window.choose(ROWS)) == [2]


def test_an_accused_row_without_a_witness_waits() -> None:
    window = Window(1000)
    window.accuse(ROWS[0])
    assert ids(window.choose(ROWS[:1])) == []


def test_an_acquitted_row_goes_alone() -> None:
    window = Window(1000)
    window.accuse(ROWS[0])
    window.acquit()
    assert ids(window.choose(ROWS)) == [1]


def test_a_lost_witness_is_no_witness() -> None:
    window = Window(1000)
    window.accuse(ROWS[0])
    window.unknown(ROWS[1:2])
    assert ids(window.choose(ROWS)) == [1]


@given(count=st.integers(1, 300), data=st.data())
def test_any_poisoned_rows_are_found_with_few_posts(count: int, data: st.DataObject) -> None:
    poisoned = data.draw(st.sets(st.integers(1, count), max_size=3))
    queue = [reading_row(number) for number in range(1, count + 1)]
    window, delivered, aside, posts = Window(1000), list[Row](), set[int](), 0
    while queue:
        batch, posts = list(window.choose(queue)), posts + 1
        if poisoned.isdisjoint(row.id for row in batch):
            window.accepted(batch)
            delivered += batch
        else:
            window.refused(batch)
            if len(batch) > 1:
                continue
            aside.add(batch[0].id)
        queue = queue[len(batch) :]
    assert aside == poisoned
    assert [row.id for row in delivered] == sorted({*range(1, count + 1)} - poisoned)
    assert posts <= 1 + (len(poisoned) + 1) * 2 * count.bit_length()
