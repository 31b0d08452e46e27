"""Readings wait for a slow disk in the order they came, and nobody else waits for it."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from fakes import FakeClock
from programs import PATIENCE_S, wait_until

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
        self.may.wait(PATIENCE_S)
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
    thread.join(PATIENCE_S)
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
    bringer.join(PATIENCE_S)
    queue.stop()
    thread.join(PATIENCE_S)
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


def test_a_reading_is_stamped_when_it_is_brought_and_not_when_it_is_handed_on() -> None:
    taken: list[Reading] = []

    class Recorder(SlowRecorder):
        def _take(self, _how: str, readings: Sequence[Reading]) -> None:
            taken.extend(readings)

    clock = FakeClock()
    queue = IntakeQueue(Recorder(), clock)
    made = clock.now_ms() - 500  # half a second before it is brought
    queue.record([Reading(made, "A1", "T1", Decimal(1), "x")])
    queue.record([Reading(made, "A1", "T1", Decimal(2), "x", monotonic_ms=7)])
    queue.record_once([Reading(made, "BR", "EA", Decimal(3), "x")])
    clock.advance(60)
    clock.wall_ms += 3_600_000  # the clock is set meanwhile
    queue.stop()
    queue.run()
    assert [each.monotonic_ms for each in taken] == [999_500, 7, None]


def test_an_error_of_ours_ends_neither_the_thread_nor_the_stop() -> None:
    class Broken(SlowRecorder):
        def _take(self, how: str, readings: Sequence[Reading]) -> None:
            if readings[0].value == 1:
                raise OverflowError("date value out of range")
            super()._take(how, readings)

    recorder = Broken()
    recorder.may.set()
    queue = IntakeQueue(recorder, FakeClock())
    queue.record([reading(1)])
    queue.record_once([reading(2)])
    queue.stop()
    queue.run()
    assert recorder.taken == [("once", 2)]


def test_readings_of_another_time_are_passed_on_and_the_latest_only_if_they_are() -> None:
    recorder = SlowRecorder()
    recorder.may.set()
    queue = IntakeQueue(recorder, FakeClock())
    power, energy = (Reading(0, "BR", sensor, Decimal(1), "x") for sensor in ("E7", "EA"))
    queue.record([power, reading(2)])
    queue.record_once([energy])
    queue.record_once([replace(energy, time_ms=-1, value=Decimal(0))])
    assert {name: each.value for name, each in queue.latest("BR").items()} == {"E7": 1, "EA": 1}
    assert set(queue.newest()) == {("BR", "E7"), ("BR", "EA"), ("A1", "T1")}
    queue.stop()
    queue.run()
    assert recorder.taken == [("each", 1), ("each", 2), ("once", 1), ("once", 0)]


def test_what_was_made_good_is_the_latest_only_if_it_is_of_now() -> None:
    clock = FakeClock()
    queue = IntakeQueue(SlowRecorder(), clock)
    now_ms, kwh = clock.now_ms(), Decimal(1)
    older, newest = (Reading(now_ms - s * 1000, "BR", "EA", kwh, "x") for s in (2100, 300))
    queue.know([Reading(now_ms - 3_600_000, "BR", "EA", kwh, "x")])
    assert queue.latest("BR") == {}
    queue.know([newest, older])
    assert queue.latest("BR") == {"EA": newest}
    later = replace(newest, time_ms=now_ms)
    queue.record([later])
    queue.know([newest])
    assert queue.latest("BR")["EA"].time_ms == now_ms


def test_the_longest_of_the_last_pauses_is_that_of_a_series() -> None:
    clock = FakeClock()
    queue = IntakeQueue(SlowRecorder(), clock)
    assert queue.pauses_s() == {}
    for pause_s in (0, 0.5, 60, 0.5, 0.5):  # a board that sends three lines each minute
        clock.advance(pause_s)
        queue.record([replace(reading(1), time_ms=clock.now_ms())])
    assert 40 < queue.pauses_s()["A1", "T1"] <= 60
    clock.wall_ms += 86_400_000  # set: nothing has been silent for a day
    queue.record([replace(reading(1), time_ms=clock.now_ms())])
    assert queue.pauses_s()["A1", "T1"] <= 60
    for _ in range(60):
        clock.advance(1)
        queue.record([replace(reading(1), time_ms=clock.now_ms())])
    assert queue.pauses_s() == {("A1", "T1"): 1.0}


def test_a_sensor_that_was_away_for_hours_has_no_pauses_of_hours() -> None:
    clock = FakeClock()
    queue = IntakeQueue(SlowRecorder(), clock)

    def comes_after(pause_s: float) -> float:
        clock.advance(pause_s)
        queue.record([replace(reading(1), time_ms=clock.now_ms())])
        return queue.pauses_s().get(("A1", "T1"), 0)

    for _ in range(5):
        comes_after(10)
    assert comes_after(10) == 10
    assert comes_after(3 * 3600) == 60
    for _ in range(5):  # now that it measures each hour
        comes_after(3600)
    assert comes_after(3600) == 3600
