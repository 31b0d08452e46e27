"""The lock is fair, and giving up leaves it in order."""

import threading

from programs import PATIENCE_S, wait_until

from kei.wisun.priority_lock import AT_ONCE, PriorityLock


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


def test_who_gives_way_waits_for_all_others_and_for_who_has_claimed_it() -> None:
    lock, got = PriorityLock(), threading.Event()

    def give_way() -> None:
        assert lock.acquire(PATIENCE_S, urgency=AT_ONCE, gives_way=True)
        got.set()
        lock.release()

    with lock.claimed():
        patient = threading.Thread(target=give_way)
        patient.start()
        wait_until(lambda: len(lock._giving_way) == 1, 5, "the patient one")
        for _ in range(3):  # tries, with pauses in between
            assert lock.acquire(0, urgency=60.0)
            lock.release()
        assert not lock.acquire(0, gives_way=True)
        assert not got.is_set()
    patient.join(PATIENCE_S)
    assert got.is_set()
    assert lock.acquire(0, gives_way=True)


def test_who_gives_way_is_last_in_line_however_urgent() -> None:
    lock, order = PriorityLock(), list[str]()
    lock.acquire()

    def take(name: str, *, gives_way: bool) -> None:
        assert lock.acquire(PATIENCE_S, urgency=1.0 if gives_way else 99.0, gives_way=gives_way)
        order.append(name)
        lock.release()

    threads = []
    for name, gives_way in (("patient", True), ("live", False)):
        threads.append(threading.Thread(target=take, args=(name,), kwargs={"gives_way": gives_way}))
        threads[-1].start()
        count = len(threads)
        wait_until(lambda: len(lock._giving_way) + waiting(lock) == count, 5, name)  # noqa: B023 - waited for here
    lock.release()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == ["live", "patient"]
