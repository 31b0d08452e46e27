"""The lock is fair, and giving up leaves it in order."""

import threading

from programs import PATIENCE_S, wait_until

from kei.wisun.link import AT_ONCE, PriorityLock


def waiting(lock: PriorityLock) -> int:
    return len(lock._waiting)


def test_it_is_handed_on_in_the_order_of_asking() -> None:
    lock, order = PriorityLock(), list[int]()
    lock.acquire()

    def take(number: int) -> None:
        with lock:
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        wait_until(lambda: waiting(lock) == number + 1, 5, "the next in line")  # noqa: B023 - waited for here
    lock.release()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == [0, 1, 2, 3, 4]


def test_the_most_urgent_comes_first_and_the_session_thread_before_all() -> None:
    lock, order = PriorityLock(), list[float]()
    lock.acquire()

    def take(urgency: float) -> None:
        assert lock.acquire(5, urgency=urgency)
        order.append(urgency)
        lock.release()

    threads = []
    for number, urgency in enumerate((30.0, 10.0, AT_ONCE, 20.0)):
        threads.append(threading.Thread(target=take, args=(urgency,)))
        threads[-1].start()
        wait_until(lambda: waiting(lock) == number + 1, 5, "the next in line")  # noqa: B023 - waited for here
    lock.release()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == [AT_ONCE, 10.0, 20.0, 30.0]


def test_one_who_asks_in_a_loop_does_not_starve_another() -> None:
    lock, done = PriorityLock(), threading.Event()

    def greedy() -> None:
        while not done.is_set():
            with lock:
                pass

    thread = threading.Thread(target=greedy)
    thread.start()
    try:
        for _ in range(200):
            assert lock.acquire(5)
            lock.release()
    finally:
        done.set()
        thread.join(PATIENCE_S)


def test_giving_up_leaves_the_others_in_line() -> None:
    lock = PriorityLock()
    lock.acquire()
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)
