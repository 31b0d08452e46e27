"""The whole simulation as its options say."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from simulator_bench import BROUTE_ID, BROUTE_PWD, GET_E7, METER, NOON_MS, answers, shown

from kei.echonet.frame import decode
from kei.simulator.air.dongle import SimulatedDongle
from kei.simulator.build import build
from kei.simulator.options import parse_sim_port

FAST = "latency=0,scan-time=0,join-time=0"


def joined(options: str, clock: FakeClock) -> SimulatedDongle:
    dongle = build(parse_sim_port(f"sim:{FAST},{options}"), clock)
    say(
        dongle,
        clock,
        f"SKSETPWD C {BROUTE_PWD}\r\nSKSETRBID {BROUTE_ID}\r\nSKSREG S3 8888\r\n"
        f"SKJOIN {METER}\r\n".encode(),
    )
    return dongle


def say(dongle: SimulatedDongle, clock: FakeClock, data: bytes) -> str:
    dongle.receive(data, clock.monotonic())
    return shown(dongle.poll(clock.monotonic()))


def ask(dongle: SimulatedDongle, clock: FakeClock, epc: int) -> bytes:
    request = GET_E7[:12] + bytes((epc, 0))
    header = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode()
    [answer] = answers(say(dongle, clock, header + request))
    return decode(answer).properties[0].edt


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_meter_keeps_the_time_of_japan_wherever_the_machine_is(zone: str) -> None:
    clock = FakeClock(NOON_MS, ZoneInfo(zone))
    dongle = joined("", clock)
    assert ask(dongle, clock, 0x97) == bytes((12, 35))
    assert ask(dongle, clock, 0x98) == bytes((0x07, 0xE8, 1, 15))


def test_with_a_speed_an_hour_of_the_meter_passes_in_a_minute() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined("speed=60", clock)
    assert ask(dongle, clock, 0x97) == bytes((12, 35))
    clock.advance(60)
    said = shown(dongle.poll(clock.monotonic()))
    assert "EA0B07E8010F0D" in said
    assert ask(dongle, clock, 0x97) == bytes((13, 35))


@pytest.mark.parametrize("hours", [-30 * 24, -1, 3, 365 * 24])
def test_the_meter_goes_on_evenly_when_the_clock_of_the_machine_is_set(hours: int) -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined("", clock)
    before = [ask(dongle, clock, epc) for epc in (0x98, 0xE0)]
    clock.wall_ms += hours * 3_600_000
    assert ask(dongle, clock, 0x97) == bytes((12, 35))
    said = ""
    for _ in range(40):
        clock.advance(60)
        said += shown(dongle.poll(clock.monotonic()))
    assert ask(dongle, clock, 0x97) == bytes((13, 15))
    assert "EA0B07E8010F0D0000" in said
    after = [ask(dongle, clock, epc) for epc in (0x98, 0xE0)]
    assert before[0] == after[0]
    assert before[1] <= after[1]


@pytest.mark.parametrize(
    ("seed", "number"),
    [(0, b"KEI000000001"), (7, b"KEI000000008"), (-2, b"KEI999999999")],
)
def test_the_meter_of_another_seed_has_another_serial_number(seed: int, number: bytes) -> None:
    dongle = joined(f"seed={seed},next-gen", FakeClock(NOON_MS, TOKYO))
    assert ask(dongle, FakeClock(NOON_MS, TOKYO), 0x8D) == number
    assert ask(dongle, FakeClock(NOON_MS, TOKYO), 0xC0) == b"\0\0\0\x16" + number


class CountingClock(FakeClock):
    """A clock that knows how often it was looked at."""

    looks = 0

    def now_ms(self) -> int:
        self.looks += 1
        return super().now_ms()

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


def test_what_was_missed_while_the_process_was_stopped_is_not_made_up_for() -> None:
    clock = CountingClock(NOON_MS, TOKYO)
    dongle = joined("speed=100000", clock)
    clock.advance(4 * 3600)
    clock.looks = 0
    said = shown(dongle.poll(clock.monotonic()))
    assert said.count("EA0B") == 1
    assert clock.looks < 10


def test_a_clock_that_is_much_too_fast_ends_nothing() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined("speed=100000", clock)
    clock.advance(30 * 86_400)
    dongle.poll(clock.monotonic())
    assert ask(dongle, clock, 0x98) == bytes((0x27, 0x0F, 12, 31))


def test_a_recorded_day_is_played(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("measured_at,instant_watt\n2022-09-20T00:00:00+09:00,1234\n")
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined(f"household={file}", clock)
    assert ask(dongle, clock, 0xE7) == (1234).to_bytes(4, "big")


def test_a_meter_may_be_heard_by_long_scans_alone() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = build(parse_sim_port(f"sim:{FAST},heard-from=8"), clock)
    say(dongle, clock, f"SKSETRBID {BROUTE_ID}\r\n".encode())
    assert "EPANDESC" not in say(dongle, clock, b"SKSCAN 2 FFFFFFFF 7 0\r\n")
    assert "EPANDESC" in say(dongle, clock, b"SKSCAN 2 FFFFFFFF 8 0\r\n")


def test_a_dongle_may_know_no_longer_scan() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = build(parse_sim_port(f"sim:{FAST},longest-scan=7"), clock)
    assert "OK" in say(dongle, clock, b"SKSCAN 2 FFFFFFFF 7 0\r\n")
    assert "FAIL ER06" in say(dongle, clock, b"SKSCAN 2 FFFFFFFF 8 0\r\n")


def test_the_same_seed_gives_the_same_answers_and_delays() -> None:
    def session() -> list[tuple[float, str]]:
        clock = FakeClock(NOON_MS, TOKYO)
        dongle = build(parse_sim_port("sim:seed=5,fault=garble%50"), clock)
        dongle.receive(b"SKSCAN 2 FFFFFFFF 6 0\r\n", clock.monotonic())
        said = []
        while (due := dongle.next_due()) is not None and due < 1030:
            clock.ticks = due
            said.append((due, shown(dongle.poll(due))))
        return said

    assert session() == session()


@pytest.mark.parametrize(
    ("options", "mode"), [("", 0), (",payload=binary", 0), (",payload=ascii", 1)]
)
def test_a_rohm_dongle_may_begin_in_either_payload_mode(options: str, mode: int) -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = build(parse_sim_port(f"sim:{FAST},dongle=BP35A1{options}"), clock)
    assert say(dongle, clock, b"ROPT\r") == f"ROPT\nOK {mode:02X}\r"


@pytest.mark.parametrize(("options", "answer"), [("", "FAIL ER06"), (",takes-sa2", "OK")])
def test_a_single_stack_may_take_register_sa2(options: str, answer: str) -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = build(parse_sim_port(f"sim:{FAST},dongle=RL7023-IPS{options}"), clock)
    assert say(dongle, clock, b"SKSREG SA2 1\r\n").endswith(f"\n{answer}\n")
