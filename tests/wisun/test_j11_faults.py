"""What a J11 module does wrong, and what that costs."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from j11_bench import (
    J11,
    POWER,
    RESET,
    ask_until_one_is_missed,
    codes,
    from_module,
    is_power,
    said_from,
    says,
)
from programs import PATIENCE_S, wait_until
from session_bench import Bench
from structlog.testing import capture_logs

from kei.core.errors import RetryLater, Stopping
from kei.wisun import j11
from kei.wisun.connect_steps import CHECK_LIMIT_S
from kei.wisun.interfaces import Datagram, Event, OnData
from kei.wisun.j11 import Command, frame
from kei.wisun.remembered import SESSION_KEY

Start = Callable[..., Bench]


def test_a_restart_that_nobody_asked_for_is_a_matter_of_seconds(start: Start) -> None:
    bench = start(f"{J11},fault=reboot@3")
    bench.wait_for_join()
    began = bench.clock.monotonic()
    ask_until_one_is_missed(bench)
    bench.wait_for_join(2)
    assert bench.clock.monotonic() - began < 15
    assert codes(bench).count(Command.SCAN) == 1


def test_a_module_that_lost_its_session_without_a_word_is_set_up_anew(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_refused = data.endswith(b"\xe7\0") and RESET not in bench.sent
        if is_refused:
            say(bytes.fromhex("D0F9EE5D200800050341003737"))
        return is_refused

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    with pytest.raises(RetryLater, match="nothing is started"):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2)


def test_a_module_that_hangs_is_reset_when_it_is_asked_again(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        has_hung = bool(hangs) and not data.startswith(RESET)
        hangs[:] = hangs if has_hung else []
        return has_hung

    hangs: list[bool] = []
    bench = start(J11, meddle=meddle, speed=20)
    bench.wait_for_join()
    hangs.append(True)
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 5)
    bench.wait_for_join(2, 30)


def test_of_a_session_that_ended_without_a_word_one_try_at_most_goes_out_in_clear(
    start: Start,
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_power = data.endswith(b"\xe7\0") and RESET not in bench.sent
        is_status = data == frame(Command.STATUS) and asked and RESET not in bench.sent
        if is_power:
            asked.append(data)
            say(from_module(0x2008, b"\x01\0" + data[-14:-9]))
        elif is_status:
            say(from_module(0x2001, b"\x01\x03\x02\x01"))
        return is_power or bool(is_status)

    asked: list[bytes] = []
    bench = start(J11, meddle=meddle, speed=20)
    bench.wait_for_join()
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 10)
    bench.wait_for_join(2, 30)
    assert len(asked) == 1


def test_an_answer_before_the_response_to_its_request_counts(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data[4:6] != b"\0\x08" or not data.endswith(b"\xe7\0"):
            return False
        tid = data[-12:-10]
        answer = b"\x10\x81" + tid + bytes.fromhex("02880105FF017201E704000001F8")
        address = bytes.fromhex("FE80000000000000021D129012345678")
        about = address + bytes.fromhex("0E1A0E1A88880002CB")
        received = about + len(answer).to_bytes(2, "big") + answer
        late = bytes.fromhex("D0F9EE5D205F00050398000101")  # of a request that was given up
        say(late + from_module(0x6018, received) + from_module(0x2008, b"\x01\0\x10\x81" + tid))
        return True

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    assert bench.session.get(POWER, 5).properties == {0xE7: b"\0\0\x01\xf8"}
    assert bench.session.status().rssi_dbm == -53.0


def test_the_limit_is_found_to_be_over_by_sending_once_a_minute(start: Start) -> None:
    bench = start(f"{J11},fault=limit@3", speed=60)
    bench.wait_for_join()
    with capture_logs() as logs:
        ask_until_one_is_missed(bench)
        wait_until(lambda: bench.session._machine.why_not_ready() is None, 20, "the end")
        assert 0xE7 in bench.session.get(POWER, 5).properties
    assert [line["event"] for line in logs if "transmission_limit" in str(line)][:1] == [
        "transmission_limit"
    ]
    assert bench.session.status().joined


def test_what_came_in_clear_is_no_answer(start: Start) -> None:
    bench = start(J11)
    bench.wait_for_join()
    ignored = bench.session.status().ignored_frames
    clear = bytes.fromhex("FE80000000000000021D1290123456780E1A0E1A88880001CB0012")
    clear += bytes.fromhex("1081000102880105FF017301E704FFFFFB5B")
    bench.says(from_module(0x6018, clear))
    wait_until(lambda: bench.session.status().ignored_frames > ignored, 5, "it is counted")
    assert bench.listener.notifications == []


def test_a_late_word_on_an_earlier_try_does_not_end_the_one_in_progress(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if is_power(data):
            tries.append(data)
            if len(tries) > 1:
                say(from_module(0x2008, b"\x01\x05" + tries[0][34:39]))
        return tries[:1] == [data]

    tries: list[bytes] = []
    bench = start(f"{J11},latency=2", meddle=meddle)
    bench.wait_for_join()
    assert 0xE7 in bench.session.get(POWER, 20).properties
    assert len(tries) == 2


def test_a_session_whose_end_was_not_heard_is_joined_anew_without_a_reset(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        if ended or not is_power(data):
            return False
        ended.append(data)
        transport = bench.session._link._transport
        assert transport is not None
        transport.write(frame(Command.END_PANA))
        return True

    ended: list[bytes] = []
    bench = start(J11, meddle=meddle, speed=20)
    bench.wait_for_join()
    before = len(codes(bench))
    with capture_logs() as logs:
        with pytest.raises(RetryLater):
            bench.session.get(POWER, 5)
        bench.wait_for_join(2)
    assert not {Command.RESET, Command.SCAN} & set(codes(bench)[before:])
    (lost,) = [line for line in logs if line["event"] == "session_lost"]
    assert lost["reason"] == "the session ended without a word"


@pytest.mark.parametrize(
    "said",
    [
        "D0F9EE5D601A000E039C02CF04001D1290123456A5CB",
        "D0F9EE5D601A000E039C020303001D1290123456A500",
        "D0F9EE5D6028000D03A9020202001D1290123456A5",
        from_module(
            0x6018,
            bytes.fromhex("FE80000000000000021D1290123456780E1A0E1B88880002CB0012")
            + bytes.fromhex("1081000102880105FF017301E704FFFFFB5B"),
        ).hex(),
    ],
)
def test_what_is_not_of_this_meter_or_for_this_port_changes_nothing(
    start: Start, said: str
) -> None:
    frames = j11.Parser().feed(bytes.fromhex(said))
    assert isinstance(frames[0], Event | Datagram)
    bench = start(J11)
    bench.wait_for_join()
    before = len(codes(bench))
    says(bench, said)
    assert 0xE7 in bench.session.get(POWER, 5).properties
    assert said_from(bench, before) == []
    assert bench.listener.notifications == []


def test_a_module_that_is_busy_is_not_taken_for_one_that_may_send_again(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_check = data[4:6] == b"\0\x08" and data.endswith(b"\x80\0")
        if not (is_check and missed and len(checks) < 2):
            return False
        checks.append(data)
        say(from_module(0x2008, (b"\x3d", b"\xf1")[len(checks) - 1]))
        return True

    missed: list[bool] = []
    checks: list[bytes] = []
    bench = start(f"{J11},fault=limit@3", speed=60, meddle=meddle)
    bench.wait_for_join()
    ask_until_one_is_missed(bench)
    missed.append(True)
    limited_at = bench.clock.monotonic()
    wait_until(lambda: bench.session._machine.why_not_ready() is None, 20, "the end")
    assert len(checks) == 2
    assert bench.clock.monotonic() - limited_at > 2 * CHECK_LIMIT_S


def test_a_module_that_is_busy_for_seconds_keeps_its_session(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_busy = bool(busy_until) and bench.clock.monotonic() < busy_until[0]
        if is_busy:
            say(from_module(0x2000 + int.from_bytes(data[4:6], "big"), b"\x3d"))
        return is_busy

    busy_until: list[float] = []
    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    before = len(codes(bench))
    busy_until.append(bench.clock.monotonic() + 5)
    assert 0xE7 in bench.session.get(POWER, 20).properties
    assert said_from(bench, before) == []


@pytest.mark.parametrize(
    "reply",
    [
        "D0F9EE5D2FFF0005044700F0F0",  # damaged on its way
        "D0F9EE5D200800050341000606D0F9EE5D20010008033D000801030301",  # after a late answer
        "",  # the answer is damaged
    ],
)
def test_a_question_that_goes_wrong_once_costs_no_session(start: Start, reply: str) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if is_power(data) and not looked:
            return True
        is_first_look = data == frame(Command.STATUS) and len(asked) > 0 and not looked
        if is_first_look:
            looked.append(data)
            say(bytes.fromhex(reply))
        return is_first_look

    asked: list[bool] = []
    looked: list[bytes] = []
    bench = start(J11, meddle=meddle, speed=20)
    bench.wait_for_join()
    before = len(codes(bench))
    asked.append(True)
    with pytest.raises(RetryLater):
        bench.session.get(POWER, 3)
    wait_until(lambda: looked, 10, "a look")
    assert 0xE7 in bench.session.get(POWER, 20).properties
    assert said_from(bench, before) == []


@pytest.mark.parametrize(
    ("code", "data"),
    [(0x6028, b"\x03" + bytes(8)), (0x6028, b"\x03"), (0x601A, b"\x03" + bytes(9))],
    ids=["no MAC", "no room for one", "link lost"],
)
def test_a_notice_of_the_end_that_names_nobody_is_about_the_meter(
    start: Start, code: int, data: bytes
) -> None:
    bench = start(J11)
    bench.wait_for_join()
    bench.says(from_module(code, data))
    bench.wait_for_join(2)


def test_frames_of_others_that_cannot_be_deciphered_end_no_session(start: Start) -> None:
    bench = start(J11)
    bench.wait_for_join()
    before = len(codes(bench))
    foreign = bytes.fromhex("01FE80000000000000021D1290999999990000000010810001")
    bench.says(2 * from_module(0x6038, foreign))
    assert 0xE7 in bench.session.get(POWER, 5).properties
    assert said_from(bench, before) == []


def test_frames_that_cannot_be_deciphered_are_followed_by_a_new_authentication(
    start: Start,
) -> None:
    bench = start(f"{J11},fault=keys@3", speed=20)
    bench.wait_for_join()
    before = len(codes(bench))
    while bench.session.is_joined:
        with suppress(RetryLater):
            bench.session.get(POWER, 5)
    bench.wait_for_join(2)
    said = codes(bench)[before:]
    assert Command.RENEW_PANA in said
    assert Command.END_PANA not in said


def test_a_length_that_lies_does_not_swallow_the_answer(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if is_power(data):
            head = bytes.fromhex("D0F9EE5D60180549")
            say(head + sum(head).to_bytes(2, "big") + bytes(2))
        return False

    bench = start(J11, meddle=meddle, speed=1)
    bench.wait_for_join()
    began = bench.clock.monotonic()
    assert 0xE7 in bench.session.get(POWER, 20).properties
    assert bench.clock.monotonic() - began < 4


def test_a_stop_while_a_request_is_under_way_leaves_the_meter(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_busy = bool(sent) and codes(bench).count(Command.END_PANA) < 3
        if is_power(data):
            sent.append(data)
        elif is_busy:
            say(from_module(0x2000 + int.from_bytes(data[4:6], "big"), b"\x3d"))
        return is_busy or is_power(data)

    sent: list[bytes] = []
    bench = start(J11, meddle=meddle)
    bench.wait_for_join()

    def ask() -> None:
        with suppress(Stopping):
            bench.session.get(POWER, 5)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: sent, 10, "a request")
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    asking.join(PATIENCE_S)
    assert codes(bench)[-2:] == [Command.END_PANA, Command.STOP_BROUTE]
    assert bench.memory[SESSION_KEY].startswith("left ")
