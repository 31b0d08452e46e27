import re
import sys
import time

import pytest
from simulator_bench import (
    BP35A1,
    BROUTE_ID,
    BROUTE_PWD,
    DONGLE,
    DSS,
    GET_E7,
    IPS,
    METER,
    Bench,
    answers,
)

from kei.simulator.air.timing import Timing


def test_after_a_join_the_meter_is_known_and_the_first_datagram_goes_out_at_once() -> None:
    bench = Bench()
    bench.type(f"SKSETPWD C {BROUTE_PWD}", f"SKSETRBID {BROUTE_ID}", "SKSREG S3 8888")
    assert f"EVENT 21 {METER} 0 02\nEVENT 02 {METER} 0\n" in bench.type(f"SKJOIN {METER}")
    assert f" 000E \nEVENT 21 {METER} 0 00\nOK\n" in bench.send()


def test_a_datagram_to_a_meter_that_is_not_known_is_preceded_by_a_solicitation() -> None:
    bench = Bench()
    bench.type("SKSREG S3 8888")
    expected = f"EVENT 21 {METER} 0 02\nEVENT 02 {METER} 0\nEVENT 21 {METER} 0 00\nOK\n"
    assert expected in bench.send(security=0)
    assert f" 000E \nEVENT 21 {METER} 0 00\nOK\n" in bench.send(security=0)


@pytest.mark.parametrize(
    ("model", "middle", "code"),
    [(DSS, "1 ", "ER05"), (IPS, "1 0 ", "ER05"), (DSS, "3 0 ", "ER06"), (DSS, "1 2 ", "ER06")],
)
def test_a_datagram_of_the_wrong_form_is_swallowed_and_refused(
    model: str, middle: str, code: str
) -> None:
    bench = Bench(model)
    header = f"SKSENDTO 1 {METER} 0E1A {middle}000E "
    said = bench.raw(header.encode() + GET_E7 + b"SKVER\r\n")
    assert said.startswith(f"{header}\r\nFAIL {code}\r\nSKVER\r\n".encode())


@pytest.mark.parametrize(
    ("handle", "address", "port", "code"),
    [
        ("7", METER, "0E1A", "ER06"),
        ("1", "FE80::1", "0E1A", "ER06"),
        ("1", METER.lower(), "0E1A", "ER06"),
        ("1", METER, "E1A", "ER06"),
        ("1", METER, "0000", "ER06"),
        ("4", METER, "0E1A", "ER10"),
    ],
)
def test_a_datagram_with_a_wrong_argument_is_refused(
    handle: str, address: str, port: str, code: str
) -> None:
    bench = Bench()
    header = f"SKSENDTO {handle} {address} {port} 1 0 000E "
    assert bench.raw(header.encode() + GET_E7) == f"{header}\r\nFAIL {code}\r\n".encode()


def test_a_datagram_to_nobody_is_not_acknowledged() -> None:
    bench = Bench()
    bench.join()
    stranger = METER.replace("5678", "5679")
    said = bench.send(address=stranger)
    assert f"EVENT 21 {stranger} 0 02\nEVENT 21 {stranger} 0 01\nOK\n" in said


def test_a_plain_datagram_is_sent_and_not_answered() -> None:
    bench = Bench()
    bench.join()
    said = bench.send(security=0)
    assert f"EVENT 21 {METER} 0 00\nOK\n" in said
    assert not answers(said)


def test_when_no_handle_listens_answers_are_not_seen() -> None:
    bench = Bench()
    bench.join()
    bench.type("SKUDPPORT 3 0001", "SKUDPPORT 1 0002")
    assert not answers(bench.send())


def test_a_multicast_request_is_answered() -> None:
    bench = Bench()
    bench.join()
    request = bytes.fromhex("108100050EF0010EF0016301D500")
    said = bench.send(request, address="FF02:0000:0000:0000:0000:0000:0000:0001")
    assert [answer.hex().upper() for answer in answers(said)] == [
        "108100050EF0010EF0017301D50401028801"
    ]


def test_ping() -> None:
    bench = Bench(IPS)
    bench.join()
    assert bench.type(f"SKPING {METER}") == f"SKPING {METER}\nOK\nEPONG {METER}\n"
    assert Bench(IPS).type(f"SKPING {METER}") == f"SKPING {METER}\nOK\n"


def test_tables() -> None:
    bench = Bench()
    bench.join()
    assert bench.type("SKTABLE 1") == f"SKTABLE 1\nEADDR\n{DONGLE}\nOK\n"
    assert bench.type("SKTABLE 2") == (f"SKTABLE 2\nENEIGHBOR\n{METER} 001D129012345678 FFFF\nOK\n")
    assert bench.type("SKTABLE E") == "SKTABLE E\nEPORT\n3610\n716\n0\n0\n0\n0\n\nOK\n"
    said = Bench(BP35A1).type("SKTABLE E")
    assert said == "SKTABLE E\nEPORT\n3610\n716\n0\n0\n0\n0\n\n3610\n0\n0\n0\nOK\n"


def test_answers_take_0_6_s_at_the_median_and_3_s_at_most_but_for_1_percent() -> None:
    bench = Bench(timing=Timing.of(None, 0.0, 0.0))
    bench.join()
    bench.wait(5)
    times = []
    for _ in range(600):
        bench.send()
        times.append(bench.time_to("ERXUDP", 25))
        bench.wait(5)
    times.sort()
    assert times[300] == pytest.approx(0.6, rel=0.15)
    assert 2.0 < times[594] < 5.0


def test_the_half_hour_values_come_within_five_minutes() -> None:
    bench = Bench()
    bench.join()
    for _ in range(48):
        bench.time_to("EA0B", 2100)
        second = int(bench.local_seconds()) % 1800
        assert 5 <= second <= 240


def test_without_a_session_no_half_hour_values_come() -> None:
    bench = Bench()
    assert bench.wait(7200) == ""


def test_a_datagram_costs_about_10_ms() -> None:
    bench = Bench()
    bench.join()
    for _ in range(10):
        bench.send()
    said = bench.type("SKSREG SFD")
    [spent] = re.findall("ESREG ([0-9A-F]{16})", said)
    assert 60 <= int(spent, 16) <= 120
    assert bench.type("SKSREG SFD 0", "SKSREG SFD").endswith(f"ESREG {'0' * 16}\nOK\n")


def test_360_s_in_an_hour_are_the_limit_and_lifted_when_the_hour_has_passed() -> None:
    bench = Bench()
    bench.join()
    said, sent = "", 0
    while "EVENT 32" not in said:
        said = bench.send(bytes(1200))
        sent += 1
    assert 3000 < sent < 4000
    assert f"EVENT 21 {METER} 0 01" in bench.send()
    assert "EVENT 33" not in bench.wait(3500)
    assert f"EVENT 33 {DONGLE} 0\n" in bench.wait(200)
    assert f"EVENT 21 {METER} 0 00" in bench.send()


def test_it_answers_thousands_of_requests_a_second() -> None:
    bench = Bench()
    bench.join()
    count, measuring = 4000, sys.gettrace()
    sys.settrace(None)  # measuring coverage takes more time than answering
    start = time.thread_time()
    said = [bench.send() for _ in range(count)]
    took_s = time.thread_time() - start
    sys.settrace(measuring)
    assert count / took_s > 2000
    assert all("FF017201E704" in one for one in said)
