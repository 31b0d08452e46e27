"""Readings wait for a slow disk in the order they came, and nobody else waits for it."""

import threading
from collections.abc import Sequence
from decimal import Decimal

from fakes import FakeClock
from programs import wait_until

from kei.core.reading import Reading
from kei.store.intake_queue import IntakeQueue


class SlowRecorder:
    """Takes readings only while it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.taken: list[tuple[str, int]] = []

    def record(self, readings: Sequence[Reading]) -> None:
        self._take("each", readings)

    def record_once(self, readings: Sequence[Reading]) -> None:
        self._take("once", readings)

    def _take(self, how: str, readings: Sequence[Reading]) -> None:
        self.may.wait(20)
        self.taken += [(how, int(one.value)) for one in readings]


def reading(number: int) -> Reading:
    return Reading(1_700_000_000_000, "A1", "T1", Decimal(number), str(number))


def started(queue: IntakeQueue) -> threading.Thread:
    thread = threading.Thread(target=queue.run)
    thread.start()
    return thread


def test_all_are_handed_over_in_order_once_the_disk_is_back() -> None:
    recorder = SlowRecorder()
    queue = IntakeQueue(recorder, FakeClock())
    thread = started(queue)
    queue.record([reading(1), reading(2)])
    queue.record_once([reading(3)])
    queue.record([reading(4)])
    assert recorder.taken == []
    recorder.may.set()
    queue.stop()
    thread.join(20)
    assert recorder.taken == [("each", 1), ("each", 2), ("once", 3), ("each", 4)]


def test_who_brings_more_than_may_wait_waits_for_room() -> None:
    recorder = SlowRecorder()
    queue = IntakeQueue(recorder, FakeClock(), bound=2)
    thread = started(queue)
    done = []

    def bring() -> None:
        for number in range(1, 6):
            queue.record([reading(number)])
            done.append(number)

    bringer = threading.Thread(target=bring)
    bringer.start()
    wait_until(lambda: len(done) >= 2, 10, "two that have room")
    assert len(done) < 5
    recorder.may.set()
    bringer.join(20)
    queue.stop()
    thread.join(20)
    assert [number for _, number in recorder.taken] == [1, 2, 3, 4, 5]


def test_what_comes_after_the_end_is_handed_over_by_another_run() -> None:
    recorder = SlowRecorder()
    recorder.may.set()
    queue = IntakeQueue(recorder, FakeClock(), bound=1)
    queue.stop()
    queue.record([reading(1), reading(2)])
    queue.record([reading(3)])
    queue.run()
    assert [number for _, number in recorder.taken] == [1, 2, 3]
