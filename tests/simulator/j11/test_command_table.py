"""Every request of a J11 module in every state: what the manual's tables let it answer."""

import struct
from collections.abc import Iterator

import pytest
from simulated_j11 import ADDRESS, ECHONET, MAC, RESPONSE, SETTINGS, Bench, Frame, reach
from simulator_bench import BROUTE_ID, BROUTE_PWD, GET_E7

from kei.simulator.air.timing import LIFETIME_S, RENEW_SHARE, Timing

ALL_CHANNELS = bytes.fromhex("0003FFF0")
ID = (BROUTE_ID + BROUTE_PWD).encode()
SCAN = b"\x06" + ALL_CHANNELS + b"\x01" + BROUTE_ID[-8:].encode()
SEND = ADDRESS + 2 * ECHONET + struct.pack(">H", len(GET_E7)) + GET_E7
PING = ADDRESS + bytes.fromhex("000401")
RESET = 0x00D9

# The data, and the result when the module is not started, started, running, authenticated
# (sections 2.8.4 and 3.1; which of 10, 34, 35, 37 a state gives is not documented).
TABLE: dict[int, tuple[bytes, str]] = {
    0x0001: (b"", "01 01 01 01"),
    0x0005: (bytes.fromhex("0E1B"), "37 10 01 01"),
    0x0006: (ECHONET, "37 10 01 01"),
    0x0007: (b"", "37 10 01 01"),
    0x0008: (SEND, "37 10 01 01"),
    0x0009: (b"", "01 01 01 01"),
    0x000E: (b"", "01 01 01 01"),
    0x0011: (b"", "01 01 01 01"),
    0x0051: (SCAN, "37 01 01 01"),
    0x0053: (b"", "37 01 34 35"),
    0x0054: (ID, "37 01 01 35"),
    0x0056: (b"", "37 10 01 35"),
    0x0057: (b"", "37 10 34 01"),
    0x0058: (b"", "37 10 01 35"),
    0x0059: (b"", "37 10 34 01"),
    0x005E: (b"", "37 10 01 01"),
    0x005F: (SETTINGS, "01 01 34 35"),
    0x006B: (b"", "01 01 01 01"),
    0x00D1: (PING, "37 10 01 01"),
    0x00D2: (b"", "37 10 34 01"),
    0x00DB: (ALL_CHANNELS, "37 01 01 01"),
    0x00F0: (b"", "01 10 34 35"),
    0x0100: (b"", "01 01 01 01"),
    0x0101: (b"\x01", "01 01 34 35"),
    0x0102: (b"", "01 01 01 01"),
    0x0107: (b"", "01 01 01 01"),
    0x010A: (b"\x01", "01 01 34 35"),
    0x010B: (b"", "01 01 01 01"),
}
LENGTHS = {  # of the data of a response that is done, in the states of the table
    0x0001: (3, 3, 3, 3),
    0x0009: (16,) * 4,
    0x000E: (8,) * 4,
    0x0011: (1, 1, 15, 15),
    0x006B: (8,) * 4,
    0x0100: (2, 2, 20, 20),
    0x0107: (4,) * 4,
}


def rows() -> Iterator[tuple[int, int, int]]:
    for code, (_, results) in TABLE.items():
        for state, result in enumerate(results.split()):
            yield code, state, int(result, 16)


def answer(bench: Bench, code: int, data: bytes) -> bytes:
    """The data of the response, which may come behind notifications."""
    (found,) = (told for each, told in bench.ask(code, data) if each == code + RESPONSE)
    return found


@pytest.mark.parametrize(("code", "state", "result"), list(rows()))
def test_a_request_is_answered_as_the_state_demands(code: int, state: int, result: int) -> None:
    bench = Bench()
    reach(bench, state)
    told = answer(bench, code, TABLE[code][0])
    assert told[0] == result
    if result != 1:
        assert len(told) == 1
    elif code in LENGTHS:
        assert len(told) == 1 + LENGTHS[code][state]


@pytest.mark.parametrize("code", TABLE)
def test_a_request_of_another_size_is_refused_for_that_alone(code: int) -> None:
    data, results = TABLE[code]
    bench = Bench()
    reach(bench, results.split().index("01"))
    assert answer(bench, code, data + b"\0") == b"\x11"
    if data:
        assert answer(bench, code, data[:-1]) == b"\x11"


@pytest.mark.parametrize("code", TABLE)
def test_while_an_authentication_goes_on_only_a_reset_is_taken(code: int) -> None:
    bench = Bench("join-fail@1", timing=Timing.of(0.0, 0.0, None))
    bench.start()
    bench.ask(0x0053)
    bench.wait(1)
    assert answer(bench, 0x0056, b"") == b"\x01"
    assert answer(bench, code, TABLE[code][0]) == (b"\x52" if code == 0x0056 else b"\x3d")
    assert bench.ask(RESET) == [(0x6019, b"")]
    assert bench.wait(1000) == []


def test_of_two_pings_the_second_waits_for_the_end_of_the_first() -> None:
    bench = Bench()
    bench.join()
    bench.dongle._module.timing = Timing.of(0.6, 0.0, 0.0)
    bench.ask(0x00D1, bytes(16) + PING[16:])
    bench.wait(0.1)
    bench.ask(0x00D1, PING)
    assert [frame for _, frame in bench.wait(11)] == [(0x20D1, b"\x3c"), (0x60D1, b"\0")]


def test_a_ping_in_clear_says_so_and_its_forms_have_the_size_they_tell() -> None:
    bench = Bench()
    bench.run()
    head = b"\x01" + ADDRESS + b"\x01\xd6\x00\x04"
    assert bench.ask(0x00D1, PING)[1] == (0x60D1, head + b"abcd")
    assert bench.ask(0x00D1, ADDRESS + b"\x00\x04\x02")[1] == (0x60D1, head + b"0001")
    assert bench.ask(0x00D1, ADDRESS + b"\x00\x04\x00mine")[1] == (0x60D1, head + b"mine")
    assert answer(bench, 0x00D1, ADDRESS + b"\x00\x04\x01mine") == b"\x11"
    assert answer(bench, 0x00D1, ADDRESS + b"\x00\x00\x00") == b"\x04"
    assert answer(bench, 0x00D1, ADDRESS + b"\x00\x04\x03") == b"\x04"


@pytest.mark.parametrize(("setter", "getter"), [(0x0101, 0x0102), (0x010A, 0x010B)])
def test_a_switch_keeps_its_place_until_a_reset(setter: int, getter: int) -> None:
    bench = Bench()
    assert answer(bench, setter, b"\x02") == b"\x04"
    for value in (b"\x01", b"\x00", b"\x01"):
        assert answer(bench, setter, value) == b"\x01"
        assert answer(bench, getter, b"") == b"\x01" + value
    bench.ask(RESET)
    assert answer(bench, getter, b"") == b"\x01\x00"


def forbid(bench: Bench, seconds: float = 600) -> None:
    """Use up the transmission time."""
    bench.dongle._module.air_time.forbid(bench.clock.monotonic() + seconds)


def at_the_limit(bench: Bench, code: int) -> list[Frame]:
    """What a request leads to, the answer included."""
    return [*bench.ask(code, TABLE[code][0]), *(frame for _, frame in bench.wait(11))]


def test_at_the_limit_nothing_reaches_the_meter_and_nothing_says_why() -> None:
    started, running, joined = Bench(), Bench(), Bench()
    started.start()
    running.run()
    joined.join()
    for bench in (started, running, joined):
        forbid(bench)
    heard = [data[0] for code, data in at_the_limit(started, 0x0051) if code == 0x4051]
    assert heard == [1] * 14
    assert at_the_limit(started, 0x0053) == [(0x2053, b"\x0e")]
    assert at_the_limit(running, 0x0056) == [(0x2056, b"\x01"), (0x6028, b"\x03" + MAC)]
    assert running.state() == (3, 2)
    assert at_the_limit(joined, 0x0008) == [(0x2008, b"\x01\x02" + GET_E7[:5])]
    assert at_the_limit(joined, 0x00D1) == [(0x20D1, b"\x01"), (0x60D1, b"\0")]
    assert at_the_limit(joined, 0x00D2) == [(0x20D2, b"\x01"), (0x6028, b"\x03" + MAC)]
    assert joined.state() == (3, 3)
    for bench in (started, running):
        bench.wait(600)
    assert answer(started, 0x0053, b"")[0] == 1
    assert (0x6028, b"\x01" + MAC) in running.ask(0x0056)


def test_a_restart_lifts_the_limit() -> None:
    bench = Bench()
    bench.start()
    forbid(bench)
    bench.ask(RESET)
    bench.start()
    assert answer(bench, 0x0053, b"")[0] == 1


def test_an_authentication_asked_for_in_the_middle_of_a_renewal_takes_its_place() -> None:
    bench = Bench()
    bench.join()
    bench.dongle._module.timing = Timing.of(0.0, 0.0, None)
    bench.wait(LIFETIME_S * RENEW_SHARE + 1)
    assert bench.dongle._module.is_renewing
    bench.ask(0x00D2)
    assert [frame for _, frame in bench.wait(20) if frame[0] == 0x6028] == [(0x6028, b"\x01" + MAC)]
    assert bench.send()[1][0] == 0x6018
