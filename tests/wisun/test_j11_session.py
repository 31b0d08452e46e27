"""The session with a J11 module: how it is recognised, joined, taken over and left."""

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from j11_bench import (
    ENDS_OR_DISTURBS,
    J11,
    POWER,
    RESET,
    ask_until_one_is_missed,
    codes,
    from_module,
    is_power,
    killed,
    said_from,
    says,
)
from programs import BROUTE_ID, PATIENCE_S, wait_until
from session_bench import Bench, Memory
from structlog.testing import capture_logs

from kei.core.errors import PortLost
from kei.wisun import j11
from kei.wisun.commands import LEAVE_ON_SHUTDOWN_S
from kei.wisun.interfaces import OnData, State
from kei.wisun.j11 import Command, frame
from kei.wisun.machine import REFUSED_PAUSE_S
from kei.wisun.remembered import NETWORK_KEY, SESSION_KEY

Start = Callable[..., Bench]


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


def test_a_stop_while_joining_leaves_no_authentication_behind(start: Start) -> None:
    bench = start(f"{J11},join-time=60", speed=20)
    wait_until(lambda: Command.START_PANA in codes(bench), 20, "the join")
    assert bench.session.state is State.JOIN
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert codes(bench)[-2:] == [Command.END_PANA, Command.RESET]


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


def test_a_channel_that_is_never_free_is_no_silent_meter(start: Start) -> None:
    with capture_logs() as logs:
        start(f"{J11},fault=cca%100", speed=40)
        wait_until(lambda: any(e["event"] == "join_failed" for e in logs), 20, "the fault")
    (told, *_) = [str(line["hint"]) for line in logs if line["event"] == "join_failed"]
    assert "the channel is never free" in told
    assert "silent" not in told


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
    assert b"SKTERM" not in bench.sent
    assert bench.memory[SESSION_KEY] == "open"
    again = start(memory=Memory(bench.memory), beside=before)
    again.wait_for_join()
    assert said_from(again, 0) == []


def test_a_stop_before_the_dongle_is_recognised_again_leaves_its_session_to_the_next_start(
    start: Start,
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        assert callable(say)
        if is_power(data):
            lost.append(len(codes(bench)))
            raise PortLost("a loose plug")
        return bool(lost)

    lost: list[int] = []
    bench = start(J11, dongle="J11", meddle=meddle)
    bench.wait_for_join()
    with pytest.raises(Exception, match="loose plug"):
        bench.session.get(POWER, 5)
    wait_until(lambda: b"SKVER" in bench.sent, 20, "a question of the other grammar")
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert Command.END_PANA not in codes(bench)[lost[0] :]
    assert bench.memory[SESSION_KEY] == "open"


@pytest.mark.parametrize(
    ("dongle", "command", "reply"),
    [
        ("J11", frame(Command.END_PANA), b""),
        ("J11", frame(Command.END_PANA), from_module(0x2057, b"\x3d")),
        ("J11", frame(Command.END_PANA), from_module(0x2057, b"\xf3")),
        ("RL7023-DSS", b"SKTERM\r\n", b""),
        ("RL7023-DSS", b"SKTERM\r\n", b"FAIL ER04\r\n"),
    ],
    ids=["silent", "busy", "damaged", "silent dongle", "damaged for a dongle"],
)
def test_a_dongle_that_cannot_do_what_a_stop_asks_leaves_the_session_to_the_next_start(
    start: Start, dongle: str, command: bytes, reply: bytes
) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_asked = data == command and bench.session.state is State.JOINED
        if is_asked:
            say(reply)
        return is_asked

    bench = start(f",dongle={dongle}", meddle=meddle)
    bench.wait_for_join()
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert bench.memory[SESSION_KEY] == "open"


@pytest.mark.parametrize("kept", ["open", ""])
def test_a_pan_id_that_has_changed_is_known_from_now_on(start: Start, kept: str) -> None:
    """To a session that is taken over as well as to one that is joined."""
    before = start(J11)
    memory = killed(before)
    memory[SESSION_KEY] = kept
    memory[NETWORK_KEY] = memory[NETWORK_KEY].replace("8888", "1234")
    with capture_logs() as logs:
        bench = start(memory=memory, beside=before)
        bench.wait_for_join()
    assert bench.session.status().pan_id == "8888"
    assert memory[NETWORK_KEY].split()[1] == "8888"
    (joined,) = [line for line in logs if line["event"] == "session_joined"]
    assert (joined["pan_id"], joined["adopted"]) == ("8888", kept == "open")


def test_a_meter_that_was_heard_is_joined_although_the_end_of_the_scan_is_not_told(
    start: Start,
) -> None:
    bench = start(f"{J11},scan-time=20", speed=60)
    bench.wait_for_join(deadline_s=60)
    assert codes(bench).count(Command.SCAN) == 1
    assert bench.clock.monotonic() - bench.began < 60


def test_a_beacon_that_is_not_heard_at_once_is_asked_for_again(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_first = codes(bench).count(Command.START_BROUTE) == 1
        is_unheard = data == frame(Command.START_BROUTE) and is_first
        if is_unheard:
            say(bytes.fromhex("D0F9EE5D20530005038C000E0E"))
        return is_unheard

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    said = codes(bench)
    assert (said.count(Command.START_BROUTE), said.count(Command.CREDENTIALS)) == (2, 2)


def test_a_notification_before_the_response_to_its_request_is_heard(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_first = data == frame(Command.START_PANA) and codes(bench).count(data[5]) == 1
        if is_first:
            say(bytes.fromhex("D0F9EE5D6028000D03A901D502001D129012345678"))
            say(from_module(0x2056, b"\x01"))
        return is_first

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    assert bench.clock.monotonic() - bench.began < 30


def test_a_stop_is_over_in_time_however_slow_the_module_is(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        code = int.from_bytes(data[4:6], "big")
        if code not in (Command.END_PANA, Command.STOP_BROUTE) or not stops:
            return False
        now = bench.clock.monotonic()
        asked.append(now)
        is_busy = code == Command.STOP_BROUTE or now < asked[0] + 2
        result, after_s = (b"\x3d", 0.7) if is_busy else (b"\x01", 2.7)

        def answer() -> None:
            while bench.clock.monotonic() < now + after_s:
                bench.pause(0.05)
            say(from_module(0x2000 + code, result))

        answers.append(threading.Thread(target=answer))
        answers[-1].start()
        return True

    stops: list[bool] = []
    asked: list[float] = []
    answers: list[threading.Thread] = []
    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
    stops.append(True)
    began = bench.clock.monotonic()
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    assert bench.clock.monotonic() - began < LEAVE_ON_SHUTDOWN_S + 0.3
    for each in answers:
        each.join(PATIENCE_S)


def test_credentials_that_are_set_already_are_set(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        is_again = data[4:6] == b"\0\x54" and codes(bench).count(Command.CREDENTIALS) > 1
        if is_again:
            say(from_module(0x2054, b"\x58"))
        return is_again

    bench = start(J11, meddle=meddle)
    bench.wait_for_join()
