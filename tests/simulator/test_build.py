"""The whole simulation as its options say."""

from pathlib import Path

from fakes import TOKYO, FakeClock
from simulator_bench import BROUTE_ID, BROUTE_PWD, GET_E7, METER, NOON_MS, answers, shown

from kei.echonet.frame import decode
from kei.simulator.build import build
from kei.simulator.dongle import VirtualDongle
from kei.simulator.options import parse_sim_port

FAST = "latency=0,scan-time=0,join-time=0"


def joined(options: str, clock: FakeClock) -> VirtualDongle:
    dongle = build(parse_sim_port(f"sim:{FAST},{options}"), clock)
    say(
        dongle,
        clock,
        f"SKSETPWD C {BROUTE_PWD}\r\nSKSETRBID {BROUTE_ID}\r\nSKSREG S3 8888\r\n"
        f"SKJOIN {METER}\r\n".encode(),
    )
    return dongle


def say(dongle: VirtualDongle, clock: FakeClock, data: bytes) -> str:
    dongle.receive(data, clock.monotonic())
    return shown(dongle.poll(clock.monotonic()))


def ask(dongle: VirtualDongle, clock: FakeClock, epc: int) -> bytes:
    request = GET_E7[:12] + bytes((epc, 0))
    header = f"SKSENDTO 1 {METER} 0E1A 1 0 000E ".encode()
    [answer] = answers(say(dongle, clock, header + request))
    return decode(answer).properties[0].edt


def test_the_meter_keeps_local_time() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
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


def test_a_meter_whose_clock_is_set_forward_sends_its_values_within_minutes() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined("", clock)
    clock.wall_ms += 3 * 3_600_000
    clock.advance(61)
    assert "EA0B07E8010F0F1E00" in shown(dongle.poll(clock.monotonic()))


def test_a_meter_whose_clock_is_set_back_goes_on_sending() -> None:
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined("", clock)
    clock.wall_ms -= 30 * 24 * 3_600_000
    said = ""
    for _ in range(40):
        clock.advance(60)
        said += shown(dongle.poll(clock.monotonic()))
    assert "EA0B07E70C100D00" in said


def test_a_recorded_day_is_played(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("measured_at,instant_watt\n2022-09-20T00:00:00+09:00,1234\n")
    clock = FakeClock(NOON_MS, TOKYO)
    dongle = joined(f"household={file}", clock)
    assert ask(dongle, clock, 0xE7) == (1234).to_bytes(4, "big")


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
