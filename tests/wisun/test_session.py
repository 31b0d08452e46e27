"""The session against the simulator: dialects, requests, notifications, and losses."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from programs import PATIENCE_S, wait_until
from session_bench import Bench, Memory

from kei.core.errors import NotReady, RetryLater
from kei.echonet.frame import Property
from kei.wisun import j11
from kei.wisun.interfaces import Answer, OnData, State
from kei.wisun.remembered import NETWORK_KEY

Start = Callable[..., Bench]

POWER = (0xE7,)


@pytest.mark.parametrize("dongle", ["RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2"])
def test_each_dongle_is_recognised_and_answers(start: Start, dongle: str) -> None:
    bench = start(f",dongle={dongle}")
    bench.wait_for_join()
    assert len(bench.session.get(POWER, 5).properties[0xE7]) == 4
    status = bench.session.status()
    assert status.dongle == dongle
    assert j11.REQUEST not in bench.sent, "it has answered at once"


@pytest.mark.parametrize("dongle", ["RL7023-DSS", "BP35A1", "J11"])
def test_the_first_reading_comes_within_a_second_and_a_half(start: Start, dongle: str) -> None:
    bench = start(f",dongle={dongle}", speed=1)
    bench.wait_for_join()
    bench.session.get(POWER, 5)
    assert bench.clock.monotonic() - bench.began < 1.5


def test_dual_stack_dongles_tell_the_link_quality(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    bench.session.get(POWER, 5)
    assert bench.session.status().lqi is not None


@pytest.mark.parametrize("dongle", ["BP35A1", "BP35C2"])
def test_the_payload_mode_is_written_once_and_never_again(start: Start, dongle: str) -> None:
    bench = start(f",dongle={dongle},fault=unplug@2")
    bench.wait_for_join()
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2, 30)
    assert bench.sent.count(b"WOPT 01\r") == 1


def test_a_dongle_without_a_payload_mode_is_not_written_to(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    assert b"WOPT" not in bench.sent


def test_the_first_answer_has_coefficient_and_unit(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    ((meter, first),) = bench.listener.joins
    assert len(meter) == 16
    assert set(first.properties) == {0xD3, 0xE1}


def test_several_properties_come_in_one_answer(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    assert set(bench.session.get((0xE7, 0xE8, 0xE0), 5).properties) == {0xE7, 0xE8, 0xE0}


def test_a_property_that_the_meter_lacks_is_refused_and_the_others_come(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    answer = bench.session.get((0xE7, 0xE6), 5)
    assert set(answer.properties) == {0xE7}
    assert answer.refused == {0xE6}


def test_a_remembered_network_is_joined_without_a_scan(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    again = start(memory=Memory({NETWORK_KEY: bench.memory[NETWORK_KEY]}))
    again.wait_for_join()
    assert b"SKSCAN" in bench.sent
    assert b"SKSCAN" not in again.sent


def test_a_remembered_network_that_is_damaged_is_scanned_for(start: Start) -> None:
    bench = start(memory=Memory({NETWORK_KEY: "21 XXXX nonsense"}))
    bench.wait_for_join()
    assert b"SKSCAN" in bench.sent


def test_a_session_is_ended_with_skterm(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    bench.session.stop()
    wait_until(lambda: bench.session.state is State.INIT, 5, "the end of the session")
    assert bench.sent.endswith(b"SKTERM\r\n")


@pytest.mark.parametrize("kind", ["inf", "infc"])
def test_half_hour_values_are_handed_on_as_they_come(start: Start, kind: str) -> None:
    bench = start(f",fault={kind}@2")
    bench.wait_for_join()
    bench.session.get(POWER, 5)
    wait_until(lambda: bench.listener.notifications, 5, "a notification")
    assert 0xEA in {item.epc for item in bench.listener.notifications[0]}


def test_a_confirmed_notification_is_confirmed(start: Start) -> None:
    bench = start(",fault=infc@2")
    bench.wait_for_join()
    bench.session.get(POWER, 5)
    infc_res = bytes.fromhex("05FF01 028801 7A")
    wait_until(lambda: infc_res in bench.sent, 5, "INFC_Res")


@pytest.mark.parametrize("kind", ["drop", "wrong-tid", "garble", "txfail", "fail"])
def test_a_lost_answer_is_asked_for_again_within_the_budget(start: Start, kind: str) -> None:
    bench = start(f",fault={kind}@2")
    bench.wait_for_join()
    answer = bench.session.get(POWER, 10)
    assert 0xE7 in answer.properties
    assert bench.session.status().missed == 0


def test_a_duplicate_answer_is_ignored(start: Start) -> None:
    bench = start(",fault=duplicate@2")
    bench.wait_for_join()
    bench.session.get(POWER, 5)
    assert 0xE0 in bench.session.get((0xE0,), 5).properties
    wait_until(lambda: bench.session.status().ignored_frames == 1, 5, "the ignored duplicate")


def test_an_answer_that_does_not_come_is_a_counted_miss(start: Start) -> None:
    bench = start(",fault=drop@2-3")
    bench.wait_for_join()
    with pytest.raises(RetryLater, match="E7"):
        bench.session.get(POWER, 1)
    assert bench.session.status().missed == 1


def test_a_meter_that_falls_silent_is_joined_again(start: Start) -> None:
    bench = start(",fault=lost@2")
    bench.wait_for_join()

    def asked_and_joined_again() -> bool:  # what is not sent in time does not count
        with contextlib.suppress(RetryLater):
            bench.session.get(POWER, 0.5)
        return len(bench.listener.joins) == 2

    wait_until(asked_and_joined_again, 20, "a second join")
    bench.wait_for_join(2)
    assert 0xE7 in bench.session.get(POWER, 5).properties


def test_a_request_waits_while_the_authentication_is_renewed(start: Start) -> None:
    bench = start(",fault=expire@2")
    bench.wait_for_join()
    for _ in range(3):
        assert 0xE7 in bench.session.get(POWER, 10).properties
    assert len(bench.listener.joins) == 1
    assert bench.session.status().missed == 0


def test_a_request_that_cannot_be_put_is_counted(start: Start) -> None:
    bench = start(",fault=limit@2")
    bench.wait_for_join()
    with pytest.raises(RetryLater, match="nothing came"):
        bench.session.get(POWER, 0.5)
    with pytest.raises(NotReady, match="transmission time"):
        bench.session.get(POWER, 0.5)
    status = bench.session.status()
    assert (status.missed, status.held_back) == (1, 1)
    wait_until(lambda: _answers(bench), 10, "the end of the limit")


def test_an_unplugged_dongle_is_opened_again_when_it_is_back(start: Start) -> None:
    bench = start(",fault=unplug@2")
    bench.wait_for_join()
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2, 30)
    assert 0xE7 in bench.session.get(POWER, 5).properties


def test_a_dongle_that_restarts_without_a_word_is_set_up_again(start: Start) -> None:
    bench = start(",fault=reboot@2")
    bench.wait_for_join()
    for _ in range(3):
        with pytest.raises(RetryLater):
            bench.session.get(POWER, 0.5)
    bench.wait_for_join(2, 60)


def test_two_threads_may_ask_at_once(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    answers: list[set[int]] = []

    def ask(epc: int) -> None:
        answers.extend(set(bench.session.get((epc,), 5).properties) for _ in range(50))

    threads = [threading.Thread(target=ask, args=(epc,)) for epc in (0xE7, 0xE0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(map(sorted, answers)) == [[0xE0]] * 50 + [[0xE7]] * 50


def test_power_every_ten_seconds_is_not_starved_by_a_history_that_nobody_answers(
    start: Start,
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        history = data.startswith(b"SKSENDTO") and data.endswith(b"\xe2\x00")
        if history:
            say(b"EVENT 21 FE80:0000:0000:0000:021D:1290:1234:5678 0 00\r\nOK\r\n")
        return history

    bench = start(meddle=meddle)
    bench.wait_for_join()
    done = threading.Event()

    def ask_for_history() -> None:
        while not done.is_set():
            with contextlib.suppress(RetryLater):
                bench.session.get((0xE2,), 30)

    greedy = [threading.Thread(target=ask_for_history) for _ in range(2)]
    for thread in greedy:
        thread.start()
        bench.pause(4)  # otherwise both might be more urgent than one power, by milliseconds
    try:
        for _ in range(6):
            assert 0xE7 in bench.session.get(POWER, 10).properties
    finally:
        done.set()
        for thread in greedy:
            thread.join(PATIENCE_S)


@pytest.mark.parametrize("source", [b"\x02\x88\x01", b"\x0e\xf0\x01"])
def test_whatever_wants_to_be_confirmed_is_confirmed(start: Start, source: bytes) -> None:
    frame = b"\x10\x81\x43\x21" + source + b"\x05\xff\x01\x74\x01\x80\x01\x30"
    bench = start()
    bench.wait_for_join()
    bench.says(received(frame))
    confirmation = b"\x10\x81\x43\x21\x05\xff\x01" + source + b"\x7a\x01\x80\x00"
    wait_until(lambda: confirmation in bench.sent, 5, "INFC_Res")


def test_a_late_answer_to_an_earlier_try_is_taken(start: Start) -> None:
    tids: list[bytes] = []

    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or not data.endswith(b"\xe7\x00"):
            return False
        tids.append(data[-12:-10])
        say(b"EVENT 21 FE80:0000:0000:0000:021D:1290:1234:5678 0 00\r\nOK\r\n")
        if len(tids) == 2:
            say(received(b"\x10\x81" + tids[0] + bytes.fromhex("02880105FF017201E704000001F8")))
        return True

    bench = start(meddle=meddle)
    bench.wait_for_join()
    assert bench.session.get(POWER, 10).properties == {0xE7: b"\0\0\x01\xf8"}
    assert len(set(tids)) == 2
    assert bench.session.status().ignored_frames == 0


def test_a_history_that_comes_after_all_tries_is_taken_while_others_are_answered(
    start: Start,
) -> None:
    """The response timer of a day's history is a minute; its tries are over after 15 s."""
    tids: list[bytes] = []

    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or not data.endswith(b"\xe5\x00"):
            return False
        tids.append(data[-12:-10])
        say(b"EVENT 21 FE80:0000:0000:0000:021D:1290:1234:5678 0 00\r\nOK\r\n")
        return True

    bench = start(meddle=meddle)
    bench.wait_for_join()
    answers: list[Answer] = []
    asking = threading.Thread(
        target=lambda: answers.append(bench.session.get((0xE5,), 60, gives_way=True))
    )
    begun = bench.clock.monotonic()
    asking.start()
    while len(tids) < 3 or bench.clock.monotonic() - begun < 25:
        assert 0xE7 in bench.session.get(POWER, 10).properties
        bench.pause(2)
    bench.says(received(b"\x10\x81" + tids[0] + bytes.fromhex("02880105FF017201E50107")))
    asking.join(PATIENCE_S)
    assert answers[0].properties == {0xE5: b"\x07"}


def test_a_history_has_its_turn_also_where_others_ask_all_the_time(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    done = threading.Event()

    def ask_for_power() -> None:
        while not done.is_set():
            with contextlib.suppress(RetryLater):
                bench.session.get(POWER, 10)

    greedy = [threading.Thread(target=ask_for_power) for _ in range(2)]
    for thread in greedy:
        thread.start()
    try:
        assert 0xE5 in bench.session.get((0xE5,), 60, gives_way=True).properties
    finally:
        done.set()
        for thread in greedy:
            thread.join(PATIENCE_S)


def received(frame: bytes) -> bytes:
    """The line of a frame that came from the meter."""
    head = "ERXUDP FE80:0000:0000:0000:021D:1290:1234:5678 FE80:0000:0000:0000:021D:1290:0003:C890"
    middle = f"0E1A 0E1A 001D129012345678 1 0 {len(frame):04X}"
    return f"{head} {middle} {frame.hex().upper()}\r\n".encode()


def _answers(bench: Bench) -> bool:
    try:
        return 0xE7 in bench.session.get(POWER, 2).properties
    except (NotReady, RetryLater):
        return False


def test_a_property_is_set_and_the_meter_says_whether_it_took_it(start: Start) -> None:
    bench = start()
    bench.wait_for_join()
    assert bench.session.set(Property(0xE5, b"\x07"), 5)
    assert bench.session.get((0xE5,), 5).properties == {0xE5: b"\x07"}
    assert not bench.session.set(Property(0xE5, b"\xc8"), 5)  # no meter has 200 days
    assert bench.session.get((0xE5,), 5).properties == {0xE5: b"\x07"}
