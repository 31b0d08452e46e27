"""The simulated J11 module against the examples, tables and times of its manual."""

import struct

import pytest
from simulated_j11 import (
    ADDRESS,
    DONE,
    ECHONET,
    MAC,
    PANA_DONE,
    SETTINGS,
    Bench,
    Frame,
    answer_of,
    frames,
    reach,
    request,
)
from simulator_bench import BROUTE_ID, BROUTE_PWD, GET_E7

from kei.core.errors import ConfigError
from kei.simulator.air.timing import LIFETIME_S, RENEW_SHARE, Timing
from kei.simulator.control import carry_out
from kei.simulator.j11.frames import from_module
from kei.simulator.options import parse_sim_port


def test_the_way_to_the_first_reading_is_that_of_the_manual() -> None:
    bench = Bench()
    assert bench.ask(0x00D9) == [(0x6019, b"")]
    assert bench.ask(0x006B) == [(0x206B, bytes.fromhex("01040001030000158A"))]
    assert bench.result(0x005F, SETTINGS) == 1
    assert bench.result(0x0054, (BROUTE_ID + BROUTE_PWD).encode()) == 1
    scan = bench.ask(0x0051, bytes.fromhex("060003FFF001") + BROUTE_ID[-8:].encode())
    assert [code for code, _ in scan] == [0x4051] * 14 + [0x2051]
    assert scan[0][1] == bytes.fromhex("000401") + MAC + bytes.fromhex("8888D6")
    assert [data for _, data in scan[1:14]] == [bytes((1, channel)) for channel in range(5, 18)]
    assert bench.ask(0x0053) == [(0x2053, bytes.fromhex("01048888") + MAC + b"\xd6")]
    assert bench.ask(0x0005, ECHONET) == [(0x2005, DONE)]
    joined = bench.ask(0x0056)
    assert joined[:2] == [(0x2056, DONE), PANA_DONE]
    assert answer_of(joined)[10:13] == bytes.fromhex("7301D5")
    sent, received = bench.send()
    assert sent == (0x2008, b"\x01\x00" + GET_E7[:5])
    assert received[0] == 0x6018
    head = ADDRESS + 2 * ECHONET + bytes.fromhex("88880002D60012")
    assert received[1] == head + bytes.fromhex("1081000102880105FF017201E704000001F8")


@pytest.mark.parametrize(("state", "whole"), [(0, (2, 1)), (1, (3, 1)), (2, (3, 2)), (3, (3, 3))])
def test_it_tells_how_far_it_has_come(state: int, whole: tuple[int, int]) -> None:
    bench = Bench()
    reach(bench, state)
    assert bench.state() == whole
    ((_, connections),) = bench.ask(0x0011)
    told = [bytes.fromhex("0100"), bytes.fromhex("0100")]
    told += [
        bytes.fromhex("010101") + MAC + bytes.fromhex("88880107") + bytes((at,)) for at in (1, 2)
    ]
    assert connections == told[state]
    ((_, settings),) = bench.ask(0x0107)
    assert settings == DONE + (SETTINGS if state else bytes.fromhex("FF00FF00"))


def test_what_ends_a_session_leads_back_as_far_as_the_manual_says() -> None:
    bench = Bench()
    bench.join()
    assert bench.result(0x0057) == 1
    assert bench.state() == (3, 2)
    assert bench.result(0x0056) == 0x51  # the credentials are gone, too
    assert bench.result(0x0058) == 1
    assert bench.state() == (3, 1)
    assert bench.result(0x0005, ECHONET) == 0x10
    bench.ask(0x00D9)
    assert bench.state() == (2, 1)


def test_what_cannot_be_read_is_answered_as_in_chapter_11() -> None:
    bench = Bench(zero_sums=False)
    whole = request(0x005F, SETTINGS)
    assert bench.raw(b"SKVER\r\n" + whole[1:]) == []
    bad_header, bad_data = bytearray(whole), bytearray(whole)
    bad_header[9] ^= 1
    bad_data[-1] ^= 1
    assert bench.raw(bytes(bad_header)) == [(0x2FFF, b"\xf0")]
    assert bench.raw(bytes(bad_data)) == [(0x205F, b"\xf1")]
    assert bench.ask(0x1234) == [(0xFFFF, b"\x03")]
    assert bench.result(0x005F, b"\x05\x00\x04") == 0x11
    for wrong in ("05000300", "05001200", "04000400", "05000403"):
        assert bench.result(0x005F, bytes.fromhex(wrong)) == 0x04
    for length, result in ((3, b"\xf2"), (1354, b"\xf3")):
        head = bytes.fromhex("D0EA83FC0001") + struct.pack(">H", length)
        sums = struct.pack(">HH", sum(head), 0)
        assert bench.raw(head + sums) == [(0x2001, result)]
    assert bench.raw(request(0x0001) + b"too many") == [(0x2001, b"\x01\x02\x01\x01")]


def test_sums_of_zero_are_taken_or_refused() -> None:
    zero = bytes.fromhex("D0EA83FC005F00080000000005000400")
    assert Bench().raw(zero) == [(0x205F, DONE)]
    assert Bench(zero_sums=False).raw(zero) == [(0x2FFF, b"\xf0")]


def test_a_request_that_is_not_finished_is_given_up_after_a_second() -> None:
    bench = Bench()
    whole = request(0x005F, SETTINGS)
    assert bench.raw(whole[:13]) == []
    assert bench.wait(0.9) == []
    assert bench.raw(whole[13:14]) == []
    ((after_s, frame),) = bench.wait(1.1)
    assert (after_s, frame) == (1.0, (0x205F, b"\x13"))
    assert bench.result(0x005F, SETTINGS) == 1


def test_another_programs_text_in_a_half_request_is_answered_like_that() -> None:
    bench = Bench()
    bench.raw(request(0x0054, (BROUTE_ID + BROUTE_PWD).encode())[:20])
    assert bench.raw(b"SKVER\r\n") == []
    assert [frame for _, frame in bench.wait(1.1)] == [(0x2054, b"\x13")]


def test_one_request_is_taken_at_a_time_but_a_reset_always() -> None:
    bench = Bench(timing=Timing.of(None, None, None))
    for code, data in ((0x005F, SETTINGS), (0x0054, (BROUTE_ID + BROUTE_PWD).encode())):
        bench.ask(code, data)
        bench.wait(0.1)
    bench.ask(0x0051, bytes.fromhex("060003FFF00100000000") + bytes(4))
    bench.ask(0x0001)
    assert bench.wait(0.05) == [(0.005, (0x2001, b"\x3d"))]
    bench.ask(0x00D9)
    assert bench.wait(20) == [(0.8, (0x6019, b""))]


def test_times_are_those_of_the_manual() -> None:
    bench = Bench(timing=Timing.of(None, None, None))
    bench.ask(0x005F, SETTINGS)
    assert bench.wait(1) == [(0.005, (0x205F, DONE))]
    bench.ask(0x0054, (BROUTE_ID + BROUTE_PWD).encode())
    bench.wait(1)
    for duration, total_s in ((6, 9.9), (7, 18.6), (8, 35.8)):
        bench.ask(0x0051, bytes((duration,)) + bytes.fromhex("0003FFF001") + b"CCDDEEFF")
        after_s, ended = bench.wait(40)[-1]
        assert after_s == pytest.approx(total_s, rel=0.02)
        assert ended == (0x2051, DONE)
    bench.ask(0x005F, bytes.fromhex("05000900"))  # no meter there
    bench.wait(1)
    bench.ask(0x0053)
    assert bench.wait(3) == [(2.6, (0x2053, b"\x0e"))]
    bench.ask(0x005F, SETTINGS)
    bench.wait(1)
    bench.ask(0x0053)
    assert bench.wait(1)[0][0] == 0.3
    bench.ask(0x0005, ECHONET)
    bench.wait(1)
    bench.ask(0x0056)
    said = bench.wait(15)
    assert said[0][1] == (0x2056, DONE)
    assert 4 <= said[1][0] <= 8.1
    assert said[1][1] == PANA_DONE
    assert 0.3 <= said[2][0] - said[1][0] <= 5
    assert answer_of([frame for _, frame in said])


def test_an_authentication_that_nobody_answers_takes_minutes_and_is_in_the_way() -> None:
    bench = Bench("join-fail@1", timing=Timing.of(0.0, 0.0, None))
    bench.start()
    bench.ask(0x0053)
    bench.wait(1)
    assert bench.result(0x0056) == 1
    said = bench.wait(480)
    assert said == []
    assert bench.result(0x0056) == 0x52
    assert bench.result(0x0001) == 0x3D
    ((_, frame),) = bench.wait(300)
    assert frame == (0x6028, b"\x03" + MAC)
    assert bench.state() == (3, 2)


def test_a_wrong_password_is_refused_and_a_wrong_id_not_heard() -> None:
    bench = Bench()
    bench.ask(0x005F, SETTINGS)
    bench.ask(0x0054, (BROUTE_ID + "BA9876543210").encode())
    assert bench.result(0x0053) == 1
    assert bench.ask(0x0056) == [(0x2056, DONE), (0x6028, b"\x02" + MAC)]
    other = Bench(broute_id="F" * 32)
    other.start()
    assert other.result(0x0053) == 0x0E
    scan = other.ask(0x0051, bytes.fromhex("060003FFF001") + BROUTE_ID[-8:].encode())
    assert all(data[0] == 1 for code, data in scan if code == 0x4051)


def test_lower_case_is_taken_in_a_password_only() -> None:
    bench = Bench()
    bench.ask(0x005F, SETTINGS)
    assert bench.result(0x0054, (BROUTE_ID.lower() + BROUTE_PWD).encode()) == 0x04
    assert bench.result(0x0054, (BROUTE_ID + BROUTE_PWD.lower()).encode()) == 1
    assert bench.result(0x0053) == 1
    assert PANA_DONE in [*bench.ask(0x0005, ECHONET), *bench.ask(0x0056)]


def test_what_is_sent_before_authentication_goes_out_in_clear_and_is_not_answered() -> None:
    bench = Bench()
    bench.run()
    assert bench.send() == [(0x2008, b"\x01\x00" + GET_E7[:5])]
    assert bench.wait(60) == []


def test_without_its_port_an_answer_is_lost_and_that_is_told() -> None:
    bench = Bench()
    bench.start()
    bench.ask(0x0053)
    bench.ask(0x0056)
    _, (code, data) = bench.send()
    assert (code, data[:17]) == (0x6038, b"\x40" + ADDRESS)
    assert data[21:] == bytes.fromhex("1081000102")


def test_without_the_right_keys_nothing_is_received_until_an_authentication() -> None:
    bench = Bench("keys@1")
    bench.join()
    code, data = bench.send()[1]
    assert (code, data[:17], data[21:]) == (0x6038, b"\x01" + ADDRESS, GET_E7[:4] + b"\x02")
    assert PANA_DONE in bench.ask(0x00D2)
    assert answer_of(bench.send())


def test_a_datagram_for_nobody_is_refused() -> None:
    bench = Bench()
    bench.join()
    assert bench.send(address=bytes(16)) == [(0x2008, b"\x06")]
    assert bench.send(payload=b"") == [(0x2008, b"\x04")]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("cca@1", (0x2008, b"\x01\x03" + GET_E7[:5])),
        ("txfail@1", (0x2008, b"\x01\x05" + GET_E7[:5])),
        ("limit@1", (0x2008, b"\x01\x02" + GET_E7[:5])),
        ("fail@1", (0x2008, b"\x3d")),
        ("header-sum@1", (0x2FFF, b"\xf0")),
        ("data-sum@1", (0x2008, b"\xf1")),
        ("drop@1", (0x2008, b"\x01\x00" + GET_E7[:5])),
        ("lost@1", (0x2008, b"\x01\x00" + GET_E7[:5])),
    ],
)
def test_a_datagram_that_a_fault_hits_is_answered_so(fault: str, answer: Frame) -> None:
    bench = Bench(fault)
    bench.join()
    assert bench.send() == [answer]


@pytest.mark.parametrize(
    ("fault", "said", "state"),
    [
        ("reboot@1", (0x6019, b""), (2, 1)),
        ("closed@1", (0x601A, b"\x04" + MAC + b"\xd6"), (3, 2)),
        ("mac-lost@1", (0x601A, b"\x03" + MAC + b"\x00"), (3, 1)),
        ("reauth-fail@1", (0x6028, b"\x03" + MAC), (3, 3)),
    ],
)
def test_what_happens_of_itself_is_told_and_changes_the_state(
    fault: str, said: Frame, state: tuple[int, int]
) -> None:
    bench = Bench(fault)
    bench.join()
    assert said in bench.send()
    assert bench.state() == state


def test_a_module_that_does_not_join_is_dropped_after_80_minutes() -> None:
    bench = Bench()
    bench.join()
    assert bench.result(0x0057) == 1
    assert bench.wait(80 * 60 - 1) == []
    assert bench.wait(1) == [(1.0, (0x601A, b"\x03" + MAC + b"\x00"))]
    assert bench.state() == (3, 1)
    bench.join()
    assert [frame for _, frame in bench.wait(81 * 60) if frame[0] == 0x601A] == []


def test_the_limit_is_lifted_without_a_word() -> None:
    bench = Bench("limit@1")
    bench.join()
    assert bench.send()[0][1][1] == 2
    assert bench.wait(10) == []
    assert answer_of(bench.send())


def test_a_renewal_is_silent_when_it_succeeds() -> None:
    bench = Bench()
    bench.join()
    said = [frame for _, frame in bench.wait(LIFETIME_S * RENEW_SHARE + 10)]
    assert not [code for code, _ in said if code != 0x6018]
    assert answer_of(bench.send())


def test_a_renewal_that_fails_is_told_and_in_the_end_the_meter_ends_the_session() -> None:
    bench = Bench("join-fail@2")
    bench.join()
    said = [frame for _, frame in bench.wait(LIFETIME_S + 10)]
    assert [frame for frame in said if frame[0] != 0x6018] == [
        (0x6028, b"\x03" + MAC),
        (0x601A, b"\x04" + MAC + b"\xd6"),
    ]


def test_a_module_in_rewrite_mode_answers_nothing_until_it_is_plugged_in_again() -> None:
    bench = Bench()
    assert bench.result(0x00F0) == 1
    assert bench.ask(0x0001) == bench.ask(0x00D9) == []
    bench.dongle.power_on()
    assert bench.state() == (2, 1)


def test_ports_and_pings_are_those_of_the_manual() -> None:
    bench = Bench()
    bench.join()
    assert bench.result(0x0005, ECHONET) == 0x0A
    assert bench.result(0x0005, bytes.fromhex("02CC")) == 0x04
    assert bench.ask(0x0007) == [(0x2007, bytes.fromhex("01010E1A"))]
    for number in range(9):
        assert bench.result(0x0005, struct.pack(">H", 5000 + number)) == 1
    assert bench.result(0x0005, struct.pack(">H", 6000)) == 0x12
    assert bench.result(0x0006, struct.pack(">H", 6000)) == 0x0B
    assert bench.result(0x0006, ECHONET) == 1
    reply = b"\x01" + ADDRESS + b"\x02\xd6\x00\x04abcd"
    ping = ADDRESS + b"\x00\x04\x01"
    assert bench.ask(0x00D1, ping) == [(0x20D1, DONE), (0x60D1, reply)]
    bench.dongle._module.timing = Timing.of(1.0, 0.0, 0.0)
    bench.ask(0x00D1, ping)
    bench.wait(0.1)
    bench.ask(0x00D1, ping)
    assert [frame for _, frame in bench.wait(5)] == [(0x20D1, b"\x3c"), (0x60D1, reply)]


def test_chances_of_an_energy_scan_and_the_rest_that_is_asked_once() -> None:
    bench = Bench()
    bench.join()
    ((_, levels),) = bench.ask(0x00DB, bytes.fromhex("0003FFF0"))
    assert levels[:3:2] == b"\x01\x04"
    assert levels[1] == 14
    assert bench.ask(0x005E) == [(0x205E, bytes.fromhex("018888"))]
    assert bench.ask(0x0100)[0][1] == bytes.fromhex("010501") + ADDRESS + bytes.fromhex("0702")
    assert bench.ask(0x0102) == [(0x2102, b"\x01\x00")]


def test_a_running_module_takes_the_commands_of_the_console() -> None:
    bench = Bench()
    bench.join()
    now = bench.clock.monotonic()
    carry_out("power 3500", bench.dongle, now)
    assert answer_of(bench.send())[-4:] == (3500).to_bytes(4, "big")
    carry_out("fault cca@1-2", bench.dongle, now)
    assert bench.send()[0][1][1] == 3
    carry_out("clear", bench.dongle, now)
    assert answer_of(bench.send())
    carry_out("unplug", bench.dongle, now)
    assert bench.dongle.unplugged
    bench.dongle.power_on()
    assert bench.state() == (2, 1)


def test_a_notification_comes_each_half_hour_and_if_asked_for() -> None:
    bench = Bench("inf@1", "infc@2")
    bench.join()
    services = [data[37] for code, data in bench.send() if code == 0x6018]
    assert services == [0x73, 0x72]
    services = [data[37] for code, data in bench.send() if code == 0x6018]
    assert services == [0x74, 0x72]
    said = [frame for _, frame in bench.wait(3600) if frame[0] == 0x6018]
    assert [data[37] for _, data in said if data[37] == 0x73] == [0x73, 0x73]


def test_what_a_garbled_answer_leaves_is_no_frame() -> None:
    bench = Bench("garble@1")
    bench.join()
    request_ = ADDRESS + 2 * ECHONET + struct.pack(">H", len(GET_E7)) + GET_E7
    bench.dongle.receive(request(0x0008, request_), bench.clock.monotonic())
    said = bench.dongle.poll(bench.clock.monotonic())
    assert said.startswith(from_module(0x2008, b"\x01\x00" + GET_E7[:5]))
    with pytest.raises((AssertionError, struct.error)):
        list(frames(said))


def test_faults_of_a_j11_happen_to_no_other_dongle() -> None:
    with pytest.raises(ConfigError, match="fault cca: happens to a J11 only"):
        parse_sim_port("sim:fault=cca@1")
    assert parse_sim_port("sim:dongle=J11,fault=cca@1").dongle == "J11"
