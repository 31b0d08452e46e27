"""The session with a J11 module: how it is recognised, what it is never told, what it may do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from programs import BROUTE_ID, PATIENCE_S, wait_until
from session_bench import Bench, Memory
from structlog.testing import capture_logs

from kei.core.errors import RetryLater, Stopping
from kei.wisun import j11
from kei.wisun.interfaces import OnData, State
from kei.wisun.j11 import Command, frame
from kei.wisun.machine import REFUSED_PAUSE_S
from kei.wisun.remembered import NETWORK_KEY, SESSION_KEY

Start = Callable[..., Bench]

POWER = (0xE7,)
J11 = ",dongle=J11"
RESET = frame(Command.RESET)
ENDS_OR_DISTURBS = {
    Command.RESET,
    Command.SCAN,
    Command.SETTINGS,
    Command.CREDENTIALS,
    Command.START_BROUTE,
    Command.START_PANA,
    Command.END_PANA,
}


def requests(sent: bytes) -> Iterator[tuple[int, bytes]]:
    """The requests among what was sent, as code and data."""
    at = 0
    while (at := sent.find(j11.REQUEST, at)) >= 0:
        code, length = sent[at + 4 : at + 6], sent[at + 6 : at + 8]
        end = at + 8 + int.from_bytes(length, "big")
        yield int.from_bytes(code, "big"), bytes(sent[at + 12 : end])
        at = end


def codes(bench: Bench) -> list[int]:
    return [code for code, _ in requests(bytes(bench.sent))]


def says(bench: Bench, hexadecimal: str) -> None:
    bench.says(bytes.fromhex(hexadecimal))


def killed(bench: Bench) -> Memory:
    """End a session without a word to the dongle; return what was remembered."""
    bench.wait_for_join()
    memory = Memory(bench.memory)
    bench.is_deaf = True
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    return memory


def ask_until_one_is_missed(bench: Bench) -> None:
    while bench.session.is_joined:
        try:
            bench.session.get(POWER, 5)
        except RetryLater:
            return


@pytest.mark.parametrize("chosen", [None, "J11", "BP35C2"])
def test_a_j11_is_recognised_and_answers_with_its_signal_in_dbm(
    start: Start, chosen: str | None
) -> None:
    with capture_logs() as logs:
        bench = start(J11, dongle=chosen)
        bench.wait_for_join()
    assert len(bench.session.get(POWER, 5).properties[0xE7]) == 4
    status = bench.session.status()
    assert (status.dongle, status.firmware) == ("J11", "1.3 revision 158A")
    assert (status.channel, status.pan_id, status.rssi_dbm) == (33, "8888", -42.0)
    warned = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert warned == (["dongle_setting_wrong"] if chosen == "BP35C2" else [])


def test_a_dongle_with_skstack_is_found_although_jobs_toml_says_j11(start: Start) -> None:
    with capture_logs() as logs:
        bench = start(",dongle=BP35A1", dongle="J11")
        bench.wait_for_join()
    assert bench.session.status().dongle == "BP35A1"
    (told,) = [line for line in logs if line["log_level"] == "warning"]
    assert (told["configured"], told["found"]) == ("J11", "BP35A1")


@pytest.mark.parametrize("dongle", ["RL7023-DSS", "BP35A1"])
def test_a_dongle_with_skstack_that_is_slow_to_answer_is_not_disturbed_by_the_question_for_a_j11(
    start: Start, dongle: str
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        return data == b"SKVER\r\n" and j11.REQUEST not in bench.sent

    before = start(f",dongle={dongle}")
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    bench.wait_for_join()
    assert bench.sent.count(j11.REQUEST) == 1
    assert bench.session.status().dongle == dongle
    assert not [word for word in (b"SKRESET", b"SKTERM", b"SKJOIN") if word in bench.sent]


def test_nothing_is_sent_to_the_meter_before_it_is_authenticated(start: Start) -> None:
    bench = start(f"{J11},fault=closed@3,fault=mac-lost@5,fault=reboot@7,fault=reauth-fail@9")
    bench.wait_for_join()
    for count in range(2, 6):
        ask_until_one_is_missed(bench)
        bench.wait_for_join(count, 40)
    said = codes(bench)
    joins = [at for at, code in enumerate(said) if code in (Command.START_PANA, Command.RENEW_PANA)]
    for begun, ended in pairwise([0, *joins]):
        between = said[begun:ended]
        resets = [at for at, code in enumerate(between) if code == Command.RESET]
        assert Command.SEND not in between[resets[-1] if resets else len(between) :]


@pytest.mark.parametrize("leaves_half", [RESET[:7], frame(Command.CREDENTIALS, bytes(44))[:30]])
def test_a_request_that_another_program_has_half_sent_is_no_obstacle(
    start: Start, leaves_half: bytes
) -> None:
    bench = start(J11, left_behind=leaves_half)
    bench.wait_for_join()
    assert bench.session.status().dongle == "J11"


def test_a_module_that_another_program_has_left_scanning_is_reset(start: Start) -> None:
    before = start(J11)
    before.wait_for_join()
    scanning = frame(Command.SCAN, j11.scan(12, BROUTE_ID))
    left = frame(Command.SETTINGS, j11.settings(33)) + scanning
    bench = start(f"{J11},scan-time=300", memory=Memory(before.memory), left_behind=left, speed=30)
    bench.wait_for_join()
    assert bench.clock.monotonic() - bench.began < 30
    said = codes(bench)
    assert said[: said.index(Command.RESET)].count(Command.VERSION) > 1


def test_a_living_session_is_taken_over_as_it_is(start: Start) -> None:
    before = start(J11)
    bench = start(memory=killed(before), beside=before)
    bench.wait_for_join()
    assert not ENDS_OR_DISTURBS & set(codes(bench))
    assert Command.OPEN_PORT in codes(bench)
    assert len(bench.session.get(POWER, 5).properties[0xE7]) == 4
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert codes(bench)[-2:] == [Command.END_PANA, Command.STOP_BROUTE]
    assert bench.memory[SESSION_KEY].startswith("left ")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (Command.STATUS, "D0F9EE5D20010008033D000701030201"),  # would send in clear
        (
            Command.CONNECTIONS,
            "D0F9EE5D20110014035902F1010101001D1290123456798888010702",  # another meter's
        ),
    ],
)
def test_a_session_that_is_not_ours_is_not_used(start: Start, command: Command, reply: str) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_asked = data == frame(command) and RESET not in bench.sent
        if is_asked:
            say(bytes.fromhex(reply))
        return is_asked

    before = start(J11)
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    bench.wait_for_join(deadline_s=30)
    said = codes(bench)
    assert Command.SEND not in said[: said.index(Command.RESET)]
    assert Command.SCAN not in said


def test_an_authentication_that_nobody_answers_is_given_up_by_a_reset(start: Start) -> None:
    """It would be in the way for up to 706 s."""
    bench = start(f"{J11},join-time=2,fault=join-fail@1", speed=60)
    bench.wait_for_join(deadline_s=60)
    said = codes(bench)
    assert said.count(Command.START_PANA) == 2
    first, second = (at for at, code in enumerate(said) if code == Command.START_PANA)
    assert Command.RESET in said[first:second]
    assert bench.clock.monotonic() - bench.began < 100


def test_a_password_that_the_meter_refuses_twice_is_not_offered_for_ten_minutes(
    start: Start,
) -> None:
    with capture_logs() as logs:
        bench = start(J11, password="BA9876543210", speed=20)
        wait_until(lambda: any(e["event"] == "join_failed" for e in logs), 20, "the fault")
        assert (bench.session.status().next_try_s or 0) < REFUSED_PAUSE_S  # once is no proof
        wait_until(lambda: codes(bench).count(Command.START_PANA) == 2, 20, "a second attempt")
        wait_until(lambda: (bench.session.status().next_try_s or 0) > 60, 20, "the pause")
    assert (bench.session.status().next_try_s or 0) > REFUSED_PAUSE_S - 60
    told = next(e for e in logs if e["event"] == "join_failed")
    assert str(told["hint"]).startswith("the meter refuses: check B-route ID and password")


def test_another_meter_that_answers_to_the_id_is_not_joined_but_looked_for(start: Start) -> None:
    before = start(J11)
    before.wait_for_join()
    memory = Memory(before.memory)
    memory[NETWORK_KEY] = memory[NETWORK_KEY].replace("001D129012345678", "001D129012345679")
    bench = start(J11, memory=memory)
    bench.wait_for_join(deadline_s=30)
    said = codes(bench)
    assert Command.SCAN in said[: said.index(Command.START_PANA)]
    ((meter, _),) = bench.listener.joins
    assert meter == "001D129012345678"


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


def test_a_stop_while_joining_leaves_no_authentication_behind(start: Start) -> None:
    bench = start(f"{J11},join-time=60", speed=20)
    wait_until(lambda: Command.START_PANA in codes(bench), 20, "the join")
    assert bench.session.state is State.JOIN
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert codes(bench)[-2:] == [Command.END_PANA, Command.RESET]


def is_power(data: bytes) -> bool:
    return data[4:6] == b"\0\x08" and data.endswith(b"\xe7\0")


def said_from(bench: Bench, at: int) -> list[int]:
    """The codes from the given one on, without those that only look or send."""
    return [code for code in codes(bench)[at:] if code in ENDS_OR_DISTURBS]


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


def test_a_lost_frame_does_not_keep_a_session_from_going_on(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_lost = data[4:6] == b"\0\x08" and not lost
        if is_lost:
            lost.append(data)
            say(from_module(0x2008, b"\x01\x05" + data[34:39]))
        return is_lost

    lost: list[bytes] = []
    before = start(J11)
    bench = start(memory=killed(before), beside=before, meddle=meddle)
    bench.wait_for_join(deadline_s=30)
    assert said_from(bench, 0) == []


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


def test_a_module_that_takes_long_to_start_is_reset_once(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        now = bench.clock.monotonic()
        if data == frame(Command.STATUS) and not resets:
            say(bytes.fromhex("D0F9EE5D20010008033D000801030201"))  # what others have left
            return True
        if data.startswith(RESET):
            resets.append(now)
        return bool(resets) and now < resets[-1] + 12

    resets: list[float] = []
    bench = start(J11, meddle=meddle, speed=20)
    bench.wait_for_join(deadline_s=60)
    assert len(resets) == 1


def test_a_meter_that_refuses_what_it_has_taken_before_is_not_called_silent(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_asked = data == frame(Command.START_PANA)
        if is_asked:
            say(from_module(0x2056, b"\x01"))
            say(bytes.fromhex("D0F9EE5D6028000D03A901D502001D129012345678"))
        return is_asked

    before = start(J11)
    memory = killed(before)
    memory[SESSION_KEY] = ""
    with capture_logs() as logs:
        bench = start(memory=memory, beside=before, meddle=meddle)
        wait_until(lambda: (bench.session.status().next_try_s or 0) > 60, 20, "the long pause")
    told = next(e for e in logs if e["event"] == "join_failed")
    assert str(told["hint"]).startswith("the meter refuses ID and password, which it has taken")


def test_a_network_that_is_lost_during_an_authentication_is_not_waited_for(start: Start) -> None:
    bench = start(f"{J11},join-time=40", speed=20)
    wait_until(lambda: Command.START_PANA in codes(bench), 20, "the join")
    began = bench.clock.monotonic()
    says(bench, "D0F9EE5D601A000E039C01D603001D12901234567800")
    wait_until(lambda: Command.RESET in codes(bench), 20, "a new start")
    assert bench.clock.monotonic() - began < 20


def test_a_stop_before_the_dongle_is_recognised_leaves_the_session_to_the_next_start(
    start: Start,
) -> None:
    before = start(J11)
    memory = killed(before)
    bench = start(memory=memory, beside=before, meddle=lambda *_: True)
    wait_until(lambda: frame(Command.VERSION) in bench.sent, 20, "a question")
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    again = start(memory=Memory(bench.memory), beside=before)
    again.wait_for_join()
    assert said_from(again, 0) == []


def test_credentials_that_are_set_already_are_set(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_again = data[4:6] == b"\0\x54" and codes(bench).count(Command.CREDENTIALS) > 1
        if is_again:
            say(from_module(0x2054, b"\x58"))
        return is_again

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()


def from_module(code: int, data: bytes) -> bytes:
    head = bytes.fromhex("D0F9EE5D") + code.to_bytes(2, "big") + (4 + len(data)).to_bytes(2, "big")
    sums = (sum(head) & 0xFFFF).to_bytes(2, "big") + (sum(data) & 0xFFFF).to_bytes(2, "big")
    return head + sums + data
