"""On the way to a joined meter: which dongle it is, scans, joins that fail, and what is told."""

import threading
from collections.abc import Callable

import pytest
from programs import PATIENCE_S, wait_until
from session_bench import Bench, Memory
from structlog.testing import capture_logs

from kei.core.errors import NotReady, RetryLater
from kei.wisun.interfaces import OnData, State
from kei.wisun.remembered import NETWORK_KEY

Start = Callable[..., Bench]

POWER = (0xE7,)
METER = b"FE80:0000:0000:0000:021D:1290:1234:5678"
CACHED = "21 8888 001D129012345678 E1"


def answers(bench: Bench) -> bool:
    try:
        return 0xE7 in bench.session.get(POWER, 2).properties
    except (NotReady, RetryLater):
        return False


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
            answers(bench)
            bench.pause()
        bench.wait_for_join(2)
    (told,) = [e for e in logs if e["event"] == "dongle_setting_wrong"]
    assert (told["configured"], told["found"]) == (configured, there)
    assert f'set dongle = "auto" or "{there}"' in told["hint"]
    assert not [e for e in logs if e["event"] == "dongle_failing"]
    assert answers(bench)
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
    assert "a meter that was replaced wants new ones" in str(told["hint"])


def test_a_meter_that_takes_the_credentials_and_says_nothing_is_called_silent(start: Start) -> None:
    told = first_join_failed(start, ",fault=drop@1-6", speed=40)
    assert "the meter is silent; ID and password are right" in str(told["hint"])


def test_other_credentials_than_those_that_were_taken_are_in_doubt(start: Start) -> None:
    before = start()
    before.wait_for_join()
    told = first_join_failed(start, "", memory=before.memory, password="BA9876543210")
    assert "check B-route ID and password" in str(told["hint"])


def test_a_limit_that_lasts_while_the_meter_is_to_be_joined_is_no_hang(start: Start) -> None:
    def meddle(data: bytes, say: OnData) -> bool:
        if data.startswith(b"SKSREG SFB"):
            say(b"ESREG 1\r\nOK\r\n")
        return data.startswith(b"SKSREG SFB")

    bench = start(meddle=meddle, speed=200)
    bench.wait_for_join()
    lost = threading.Event()
    bench.when(State.JOIN, lost.set)
    bench.says(b"EVENT 32 " + METER + b" 0\r\nEVENT 26 " + METER + b" 0\r\n")
    assert lost.wait(PATIENCE_S)
    began, longest_s = bench.clock.monotonic(), 0.0
    while bench.clock.monotonic() < began + 700:
        longest_s = max(longest_s, bench.session.heartbeat.silent_s)
        bench.pause()
    assert longest_s < 300
