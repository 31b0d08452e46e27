"""What dongles and meters do at the worst moment, and what the session makes of it."""

import threading
from collections.abc import Callable

import pytest
from fakes import FastClock
from programs import PATIENCE_S, wait_until
from session_bench import Bench, Memory

from kei.core.errors import NotAsked, NotReady, PortLost, RetryLater, StoreError
from kei.wisun.interfaces import OnData, State
from kei.wisun.remembered import NETWORK_KEY, SESSION_KEY

Start = Callable[..., Bench]

POWER = (0xE7,)
METER = b"FE80:0000:0000:0000:021D:1290:1234:5678"
CACHED = "21 8888 001D129012345678 E1"
ELSEWHERE = "3C 1234 001D129012345678 E1"  # where the meter was before it changed the channel


def try_to_get(bench: Bench, budget_s: float = 5.0) -> str:
    try:
        bench.session.get(POWER, budget_s)
    except (NotReady, RetryLater) as error:
        return str(error)
    return ""


def wait_for_answer(bench: Bench, deadline_s: float = 10.0) -> None:
    wait_until(lambda: not try_to_get(bench), deadline_s, "an answer")


def test_a_remembered_network_that_the_dongle_refuses_to_join_is_scanned_for(start: Start) -> None:
    scanned = threading.Event()

    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSCAN"):
            scanned.set()
        if data.startswith(b"SKJOIN") and not scanned.is_set():
            say(b"FAIL ER10\r\n")
            return True
        return False

    bench = start(memory=Memory({NETWORK_KEY: CACHED}), meddle=meddle)
    bench.wait_for_join()
    assert bench.sent.count(b"SKJOIN") == 3


class ReadOnly(Memory):
    """A database on a disk that takes nothing any more."""

    def set_state(self, key: str, value: str) -> None:
        raise StoreError(f"{key} is not written, {len(value)} characters")


def test_a_stale_network_is_scanned_for_even_if_it_cannot_be_forgotten(start: Start) -> None:
    bench = start(memory=ReadOnly({NETWORK_KEY: ELSEWHERE}), speed=40)
    bench.wait_for_join()
    assert bench.sent.count(b"SKSCAN") >= 1


def test_a_back_off_ends_when_the_dongle_is_plugged_in_again(start: Start) -> None:
    bench = start(",fault=scan-miss:34,fault=unplug@t200", speed=40)
    wait_until(lambda: bench.sent.count(b"SKSCAN") == 34, 30, "seven rounds in vain")
    bench.wait_for_join(1, 20)
    assert bench.clock.monotonic() - bench.began < 200 + 30


def test_an_event_that_ends_the_session_while_it_is_being_settled_counts(start: Start) -> None:
    says: list[OnData] = []

    class Slow(Memory):
        def set_state(self, key: str, value: str) -> None:
            super().set_state(key, value)
            if len(says) == 1:
                says[0](b"EVENT 26 " + METER + b" 0\r\n")

    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKJOIN"):
            says.append(say)
        return False

    bench = start(memory=Slow(), meddle=meddle)
    wait_until(lambda: len(says) == 2, 10, "a second join")
    bench.wait_for_join()


@pytest.mark.parametrize("number", [b"24", b"26", b"27", b"28", b"29"])
def test_what_becomes_of_another_session_is_not_our_business(start: Start, number: bytes) -> None:
    bench = start()
    bench.wait_for_join()
    bench.says(b"EVENT " + number + b" FE80:0000:0000:0000:021D:1290:1234:56A5 0\r\n")
    assert 0xE7 in bench.session.get(POWER, 5).properties
    assert len(bench.listener.joins) == 1


def test_a_datagram_that_was_damaged_on_its_way_to_the_dongle_is_sent_again(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_first = data.endswith(b"\xe7\x00") and not damaged
        if is_first:
            damaged.append(data)
            say(b"FAIL ER09\r\n")
        return is_first

    damaged: list[bytes] = []
    bench = start(meddle=meddle)
    bench.wait_for_join()
    assert 0xE7 in bench.session.get(POWER, 10).properties
    assert damaged
    assert len(bench.listener.joins) == 1


OWN = b"FE80:0000:0000:0000:021D:1290:0003:C890 0"


@pytest.mark.parametrize("address", [OWN, b"FE80 0"], ids=["its own", "damaged"])
def test_an_event_that_does_not_name_the_meter_counts_if_it_names_no_other(
    start: Start, address: bytes
) -> None:
    bench = start()
    bench.wait_for_join()
    bench.says(b"EVENT 26 " + address + b"\r\n")
    bench.wait_for_join(2)


def test_the_transmission_limit_is_no_reason_to_join_again(start: Start) -> None:
    sends: list[bytes] = []
    says: list[OnData] = []

    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or not joined.is_set():
            return False
        sends.append(data)
        failed = len(sends) > 2
        if len(sends) == 3:
            says.append(say)
            say(b"EVENT 32 " + METER + b" 0\r\n")
        say(b"EVENT 21 " + METER + (b" 0 01" if failed else b" 0 00") + b"\r\nOK\r\n")
        return True

    joined = threading.Event()
    bench = start(meddle=meddle)
    bench.wait_for_join()
    joined.set()
    assert [bool(try_to_get(bench, 2)) for _ in range(5)] == [True] * 5
    assert "transmission time" in try_to_get(bench)
    assert bench.session.state is State.JOINED
    assert bench.sent.count(b"SKJOIN") == 1
    assert NETWORK_KEY in bench.memory
    told = bench.session.status().fault
    assert told is not None
    assert told.startswith("transmission_limit: the dongle's transmission time of this hour")
    says[0](b"EVENT 33 " + METER + b" 0\r\n")
    wait_until(lambda: bench.session.status().fault is None, 10, "the end of the limit")


def test_a_meter_that_answers_one_property_at_a_time_can_be_joined(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        several = data.startswith(b"SKSENDTO") and data[-5:-4] > b"\x01"
        if several:
            say(b"EVENT 21 " + METER + b" 0 00\r\nOK\r\n")
        return several

    bench = start(meddle=meddle)
    bench.wait_for_join()
    assert set(bench.listener.joins[0][1].properties) == {0x80}
    assert not try_to_get(bench)


def test_a_dongle_that_cannot_be_written_to_is_written_to_once_only(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"WOPT"):
            say(b"OK\r")
            return True
        return False

    bench = start(",dongle=BP35A1,fault=reboot@3,fault=reboot@6", meddle=meddle)
    for count in (1, 2):
        bench.wait_for_join(count)
        wait_until(lambda: try_to_get(bench), 10, "the restart")
    bench.wait_for_join(3)
    assert bench.sent.count(b"WOPT") == 1


def test_a_dongle_that_has_restarted_is_noticed_at_the_first_miss(start: Start) -> None:
    bench = start(",fault=reboot@2")
    bench.wait_for_join()
    assert try_to_get(bench)
    bench.wait_for_join(2)
    assert bench.session.status().missed == 1
    assert bench.sent.count(b"SKSCAN") == 1


def test_a_dongle_that_does_not_answer_one_look_at_it_keeps_its_session(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        is_lost = len(lost) < 2 and data.endswith((b"\xe7\x00", b"SKINFO\r\n")[len(lost)])
        if is_lost and bench.session.is_joined:
            lost.append(data)
        return is_lost and bench.session.is_joined

    lost: list[bytes] = []
    bench = start(meddle=meddle, speed=20)
    bench.wait_for_join()
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 3)
    wait_until(lambda: len(lost) == 2, 10, "a look")
    assert 0xE7 in bench.session.get(POWER, 20).properties
    assert len(bench.listener.joins) == 1
    assert bench.sent.count(b"SKRESET") == 1


def test_a_dongle_that_refuses_to_send_is_set_up_anew_at_the_first_miss(start: Start) -> None:
    bench = start(",fault=fail@2-4")
    bench.wait_for_join()
    assert "ER10" in try_to_get(bench, 10)
    bench.wait_for_join(2)
    assert bench.session.status().missed == 1


def test_a_silent_session_is_ended_before_another_is_begun(start: Start) -> None:
    bench = start(",fault=lost@2")
    bench.wait_for_join()
    for _ in range(3):
        try_to_get(bench, 2)
    bench.wait_for_join(2)
    last_join = bench.sent.rindex(b"SKJOIN")
    assert b"SKTERM" in bench.sent[bench.sent.index(b"SKJOIN") : last_join]


def test_a_meter_that_hangs_up_at_once_is_not_joined_without_end(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSENDTO") and b"\xe7" in data:
            say(b"EVENT 26 " + METER + b" 0\r\n")
        return False

    bench = start(meddle=meddle, speed=40)
    begun = bench.clock.monotonic()
    bench.wait_for_join()
    while bench.clock.monotonic() < begun + 300:
        try_to_get(bench)
        bench.pause()
    assert bench.session.status().held_back > 0
    assert bench.sent.count(b"SKJOIN") < 25


def test_the_reader_may_report_a_lost_port_while_a_step_begins(start: Start) -> None:
    bench = start(",fault=unplug@t2,fault=unplug@t6,fault=unplug@t10,fault=unplug@t14", speed=10)
    bench.wait_for_join(1)
    wait_until(lambda: bench.clock.monotonic() > bench.began + 20, 10, "all faults")
    wait_for_answer(bench)


@pytest.mark.parametrize(
    "left_behind",
    [
        b"SKSENDTO 1 " + METER + b" 0E1A 1 0 04D0 half a payload",
        b"SKSETPWD C 01234",
        b"SKSCAN 2 FFFFFFFF 6 0\r\n",
        b"\x00\xff" * 100,
    ],
)
def test_a_dongle_left_in_the_middle_of_something_is_taken_in_stride(
    start: Start, left_behind: bytes
) -> None:
    bench = start(",scan-time=3", left_behind=left_behind)
    bench.wait_for_join()
    assert not try_to_get(bench)


def test_a_dongle_left_with_a_session_is_joined_again_after_a_rest(start: Start) -> None:
    def lose_the_skterm(data: bytes, say: OnData) -> bool:
        assert callable(say)
        return data.startswith(b"SKTERM")

    crashed = start(meddle=lose_the_skterm)
    crashed.wait_for_join()
    crashed.session.stop()
    crashed.session_thread.join(PATIENCE_S)
    begun = crashed.clock.monotonic()
    crashed.memory[SESSION_KEY] = ""
    bench = start(memory=crashed.memory, beside=crashed)
    bench.wait_for_join()
    assert bench.clock.monotonic() - begun >= 10
    assert b"SKSCAN" not in bench.sent


def test_an_answer_is_waited_for_even_if_nobody_acknowledged_the_question(start: Start) -> None:
    asked: list[bytes] = []

    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or not data.endswith(b"\xe7\x00"):
            return False
        asked.append(data[-12:-10])
        say(b"EVENT 21 " + METER + b" 0 01\r\nOK\r\n")
        if len(asked) == 3:
            frame = b"\x10\x81" + asked[0] + bytes.fromhex("02880105FF017201E704000001F8")
            head = METER + b" " + METER + b" 0E1A 0E1A 001D129012345678 1 0 0012 "
            line = b"ERXUDP " + head + frame.hex().upper().encode() + b"\r\n"
            threading.Timer(0.25, say, [line]).start()  # 2.5 s of the session's time
        return True

    bench = start(meddle=meddle)
    bench.wait_for_join()
    assert not try_to_get(bench, 10)
    assert len(asked) == 3


@pytest.mark.parametrize("reply", [b"OK\r\n", b"EINFO \xff\xfe damaged\r\nOK\r\n"])
def test_a_dongle_that_does_not_say_is_not_taken_for_one_that_has_restarted(
    start: Start, reply: bytes
) -> None:
    joined = threading.Event()

    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKINFO") and joined.is_set():
            say(reply)
            return True
        return False

    bench = start(",fault=drop@2", meddle=meddle)
    bench.wait_for_join()
    joined.set()
    assert try_to_get(bench, 2)
    assert not try_to_get(bench)
    assert len(bench.listener.joins) == 1


def test_a_silent_session_is_ended_even_if_kei_is_stopped_before_it_is_joined_again(
    start: Start,
) -> None:
    bench = start(",fault=lost@2")
    bench.wait_for_join()
    bench.when(State.JOIN, bench.session.stop)
    for _ in range(3):
        try_to_get(bench, 2)
    bench.session_thread.join(PATIENCE_S)
    assert not bench.session_thread.is_alive()
    assert b"SKTERM" in bench.sent[bench.sent.index(b"SKJOIN") :]


def test_an_answer_that_came_while_others_had_their_turn_counts(start: Start) -> None:
    bench = start(",fault=drop@2,fault=limit@4")
    bench.wait_for_join()
    assert not try_to_get(bench, 10)
    status = bench.session.status()
    assert (status.answered, status.missed, status.held_back) == (1, 0, 0)


def test_a_port_that_goes_away_whenever_it_is_used_is_left_alone_for_longer(start: Start) -> None:
    losses: list[float] = []

    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        if data.startswith(b"SKRESET"):
            losses.append(clocks[0].monotonic() if clocks else 0.0)
            raise PortLost("it cannot feed the radio")
        return False

    clocks: list[FastClock] = []
    bench = start(meddle=meddle, speed=40)
    clocks.append(bench.clock)
    wait_until(lambda: len(losses) >= 5, 10, "some rounds")
    assert losses[4] - losses[3] > 8


def test_a_notification_in_the_middle_of_an_echo_arrives(start: Start) -> None:
    frame = bytes.fromhex("1081004A02880105FF017301EA0B07E80101001E0000000010")
    head = METER + b" " + METER + b" 0E1A 0E1A 001D129012345678 1 0 %04X " % len(frame)

    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSENDTO") and data.endswith(b"\xe7\x00"):
            say(b"SKSENDTOERXUDP " + head + frame.hex().upper().encode() + b"\r\n")
        return False

    bench = start(meddle=meddle)
    bench.wait_for_join()
    assert not try_to_get(bench)
    wait_until(lambda: bench.listener.notifications, 5, "the notification")
    assert bench.session.status().missed == 0


@pytest.mark.parametrize(
    ("options", "said", "why"),
    [
        # A renewal, of which nothing else is heard.
        ("", b"EVENT 29 " + METER + b" 0\r\n", "renewing the session"),
        (",fault=txfail@2-4", b"", "nothing came in time"),
        (",fault=fail@2-4", b"", "ER10"),
    ],
)
def test_a_question_that_the_meter_has_not_got_is_told_apart(
    start: Start, options: str, said: bytes, why: str
) -> None:
    bench = start(options)
    bench.wait_for_join()
    bench.says(said)
    with pytest.raises(NotAsked, match=why):
        bench.session.get(POWER, 5)


def test_a_silent_meter_has_been_asked(start: Start) -> None:
    bench = start(",fault=drop@2-4")
    bench.wait_for_join()
    with pytest.raises(RetryLater) as raised:
        bench.session.get(POWER, 5)
    assert not isinstance(raised.value, NotAsked)
