"""The lock is fair, and giving up leaves it in order."""

import threading

from programs import wait_until

from kei.wisun.priority_lock import AT_ONCE, Turns


def waiting(turns: Turns) -> int:
    return len(turns._waiting)


def test_it_is_handed_on_in_the_order_of_asking() -> None:
    turns, order = Turns(), list[int]()
    turns.acquire()

    def take(number: int) -> None:
        with turns:
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        wait_until(lambda: waiting(turns) == number + 1, 5, "the next in line")  # noqa: B023 - waited for here
    turns.release()
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]


def test_the_most_urgent_comes_first_and_the_keeper_before_all() -> None:
    turns, order = Turns(), list[float]()
    turns.acquire()

    def take(urgency: float) -> None:
        assert turns.acquire(5, urgency=urgency)
        order.append(urgency)
        turns.release()

    threads = []
    for number, urgency in enumerate((30.0, 10.0, AT_ONCE, 20.0)):
        threads.append(threading.Thread(target=take, args=(urgency,)))
        threads[-1].start()
        wait_until(lambda: waiting(turns) == number + 1, 5, "the next in line")  # noqa: B023 - waited for here
    turns.release()
    for thread in threads:
        thread.join(5)
    assert order == [AT_ONCE, 10.0, 20.0, 30.0]


def test_one_who_asks_in_a_loop_does_not_starve_another() -> None:
    turns, done = Turns(), threading.Event()

    def greedy() -> None:
        while not done.is_set():
            with turns:
                pass

    thread = threading.Thread(target=greedy)
    thread.start()
    try:
        for _ in range(200):
            assert turns.acquire(5)
            turns.release()
    finally:
        done.set()
        thread.join(5)


def test_giving_up_leaves_the_others_in_line() -> None:
    turns = Turns()
    turns.acquire()
    assert not turns.acquire(0.01)
    turns.release()
    assert turns.acquire(0)
