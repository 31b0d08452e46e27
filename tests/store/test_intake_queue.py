"""Readings wait for a slow disk in the order they came, and nobody else waits for it."""

import threading
from collections.abc import Sequence
from decimal import Decimal

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


def started(inlet: IntakeQueue) -> threading.Thread:
    thread = threading.Thread(target=inlet.run)
    thread.start()
    return thread


def test_all_are_handed_over_in_order_once_the_disk_is_back() -> None:
    recorder = SlowRecorder()
    inlet = IntakeQueue(recorder)
    thread = started(inlet)
    inlet.record([reading(1), reading(2)])
    inlet.record_once([reading(3)])
    inlet.record([reading(4)])
    assert recorder.taken == []
    recorder.may.set()
    inlet.stop()
    thread.join(20)
    assert recorder.taken == [("each", 1), ("each", 2), ("once", 3), ("each", 4)]


def test_who_brings_more_than_may_wait_waits_for_room() -> None:
    recorder = SlowRecorder()
    inlet = IntakeQueue(recorder, bound=2)
    thread = started(inlet)
    done = []

    def bring() -> None:
        for number in range(1, 6):
            inlet.record([reading(number)])
            done.append(number)

    bringer = threading.Thread(target=bring)
    bringer.start()
    wait_until(lambda: len(done) >= 2, 10, "two that have room")
    assert len(done) < 5
    recorder.may.set()
    bringer.join(20)
    inlet.stop()
    thread.join(20)
    assert [number for _, number in recorder.taken] == [1, 2, 3, 4, 5]


def test_what_comes_after_the_end_is_handed_over_by_another_run() -> None:
    recorder = SlowRecorder()
    recorder.may.set()
    inlet = IntakeQueue(recorder, bound=1)
    inlet.stop()
    inlet.record([reading(1), reading(2)])
    inlet.record([reading(3)])
    inlet.run()
    assert [number for _, number in recorder.taken] == [1, 2, 3]
