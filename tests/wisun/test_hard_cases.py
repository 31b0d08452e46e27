"""What dongles and meters do at the worst moment, and what the session makes of it."""

import threading
from collections.abc import Callable

import pytest
from fakes import FastClock
from programs import wait_until
from session_bench import Bench, Memory
from structlog.testing import capture_logs

from kei.core.errors import NotReady, PortLost, RetryLater, StoreError
from kei.wisun.interfaces import OnData, State
from kei.wisun.remembered import NETWORK_KEY

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


def test_the_transmission_limit_is_no_reason_to_join_again(start: Start) -> None:
    sends: list[bytes] = []

    def meddle(data: bytes, say: OnData) -> bool:
        if not data.startswith(b"SKSENDTO") or not joined.is_set():
            return False
        sends.append(data)
        failed = len(sends) > 2
        if len(sends) == 3:
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
    assert bench.session.status().held_back > 0
    assert bench.sent.count(b"SKJOIN") < 25


def test_the_reader_may_report_a_lost_port_while_a_step_begins(start: Start) -> None:
    bench = start(",fault=unplug@t2,fault=unplug@t6,fault=unplug@t10,fault=unplug@t14", speed=10)
    bench.wait_for_join(1)
    wait_until(lambda: bench.clock.monotonic() > bench.began + 20, 10, "all faults")
    wait_for_answer(bench)


@pytest.mark.parametrize("network", [{}, {NETWORK_KEY: CACHED}], ids=["scan", "remembered"])
@pytest.mark.parametrize(
    ("configured", "there"),
    [("RL7023-IPS", "RL7023-DSS"), ("BP35A1", "BP35C2"), ("RL7023-DSS", "RL7023-IPS")],
)
def test_a_wrong_dialect_is_told_once_with_the_remedy_and_does_no_harm(
    start: Start, configured: str, there: str, network: dict[str, str]
) -> None:
    with capture_logs() as logs:
        bench = start(f",dongle={there},fault=unplug@5", dongle=configured, memory=Memory(network))
        bench.wait_for_join()
        while len(bench.listener.joins) == 1:
            try_to_get(bench, 2)
        bench.wait_for_join(2)
    (told,) = [e for e in logs if e["event"] == "dongle_setting_wrong"]
    assert (told["configured"], told["found"]) == (configured, there)
    assert f'set dongle = "auto" or "{there}"' in told["hint"]
    assert not [e for e in logs if e["event"] == "dongle_failing"]
    assert not try_to_get(bench)
    assert bench.session.status().dongle == there


def test_a_dongle_that_refuses_what_its_dialect_has_is_told(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSCAN"):
            say(b"FAIL ER05\r\n")
        return data.startswith(b"SKSCAN")

    with capture_logs() as logs:
        start(dongle="RL7023-DSS", meddle=meddle)
        wait_until(lambda: any(e["event"] == "dongle_failing" for e in logs), 10, "the fault")
    (told,) = [e for e in logs if e["event"] == "dongle_failing"]
    assert 'is broute.dongle right? "auto"' in told["reason"]
    assert not [e for e in logs if e["event"] == "dongle_setting_wrong"]


def test_a_meter_that_only_the_longest_scan_hears_is_found_in_the_second_round(
    start: Start,
) -> None:
    bench = start(",heard-from=8")
    bench.wait_for_join()
    scans = [line.split()[3] for line in bytes(bench.sent).splitlines() if b"SKSCAN" in line]
    assert scans == [*b"4 5 6 7 4 5 6 7 8".split()]


def test_firmware_without_the_longest_scan_is_no_fault(start: Start) -> None:
    with capture_logs() as logs:
        bench = start(",longest-scan=7,fault=scan-miss:12")
        bench.wait_for_join()
    assert bench.sent.count(b"SKSCAN 2 FFFFFFFF 8") == 2
    warned = {e["event"] for e in logs if e["log_level"] == "warning"}
    assert warned == {"meter_not_found"}


def first_join_failed(start: Start, options: str, **given: object) -> dict[str, object]:
    with capture_logs() as logs:
        start(options, **given)
        wait_until(lambda: any(e["event"] == "join_failed" for e in logs), 20, "the fault")
    return dict(next(e for e in logs if e["event"] == "join_failed"))


def test_a_join_that_fails_the_first_time_puts_id_and_password_in_doubt(start: Start) -> None:
    assert "check B-route ID and password" in str(first_join_failed(start, ",fault=join-fail@1"))


def test_a_join_that_fails_after_an_earlier_one_says_that_the_meter_is_silent(start: Start) -> None:
    before = start()
    before.wait_for_join()
    told = first_join_failed(start, ",fault=join-fail@1", memory=before.memory)
    assert (told["lqi"], told["rssi_dbm"]) == (225, -42.4)
    assert "the meter is silent; ID and password are right" in str(told["hint"])
    assert "check" not in str(told["hint"])


def test_a_meter_that_takes_the_credentials_and_says_nothing_is_called_silent(start: Start) -> None:
    told = first_join_failed(start, ",fault=drop@1-6", speed=40)
    assert "the meter is silent; ID and password are right" in str(told["hint"])


def test_other_credentials_than_those_that_were_taken_are_in_doubt(start: Start) -> None:
    before = start()
    before.wait_for_join()
    told = first_join_failed(start, "", memory=before.memory, password="BA9876543210")
    assert "check B-route ID and password" in str(told["hint"])


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
    crashed.session_thread.join(10)
    begun = crashed.clock.monotonic()
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
    for _ in range(3):
        try_to_get(bench, 2)
    wait_until(lambda: bench.session.state is State.JOIN, 10, "the silence")
    bench.session.stop()
    bench.session_thread.join(10)
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


def test_a_limit_that_lasts_while_the_meter_is_to_be_joined_is_no_hang(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSREG SFB"):
            say(b"ESREG 1\r\nOK\r\n")
        return data.startswith(b"SKSREG SFB")

    bench = start(meddle=meddle, speed=200)
    bench.wait_for_join()
    bench.says(b"EVENT 32 " + METER + b" 0\r\nEVENT 26 " + METER + b" 0\r\n")
    wait_until(lambda: bench.session.state is State.JOIN, 10, "the end of the session")
    began, longest_s = bench.clock.monotonic(), 0.0
    while bench.clock.monotonic() < began + 700:
        longest_s = max(longest_s, bench.session.heartbeat.silent_s)
    assert longest_s < 300
