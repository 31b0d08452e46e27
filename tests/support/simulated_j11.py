"""A simulated J11 module, its clock, and a hand that writes frames."""

import random
import struct
from collections.abc import Iterator

from fakes import TOKYO, FakeClock
from simulator_bench import BROUTE_ID, BROUTE_PWD, GET_E7, NOON_MS, SteadyHousehold

from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.air.timing import Timing
from kei.simulator.faults import parse_fault
from kei.simulator.j11.dongle import J11Dongle
from kei.simulator.meter.meter import Meter

AT_ONCE = Timing.of(0.0, 0.0, 0.0)
MAC = bytes.fromhex("001D129012345678")
ADDRESS = bytes.fromhex("FE80000000000000021D129012345678")
ECHONET = bytes.fromhex("0E1A")
SETTINGS = bytes.fromhex("05000400")  # Dual, channel 4, 20 mW
RESPONSE = 0x2000
DONE = b"\x01"
PANA_DONE = (0x6028, b"\x01" + MAC)

Frame = tuple[int, bytes]


def request(code: int, data: bytes = b"") -> bytes:
    head = bytes.fromhex("D0EA83FC") + struct.pack(">HH", code, 4 + len(data))
    return head + struct.pack(">HH", sum(head) & 0xFFFF, sum(data) & 0xFFFF) + data


def frames(said: bytes) -> Iterator[Frame]:
    """Take what was said to pieces; every byte of it belongs to a whole frame with right sums."""
    while said:
        assert said.startswith(bytes.fromhex("D0F9EE5D"))
        code, length, header_sum, data_sum = struct.unpack_from(">HHHH", said, 4)
        data, rest = said[12 : 8 + length], said[8 + length :]
        assert (header_sum, data_sum) == (sum(said[:8]) & 0xFFFF, sum(data) & 0xFFFF)
        yield code, data
        said = rest


class Bench:
    """A module, its clock, and a hand that writes frames."""

    def __init__(
        self,
        *faults: str,
        timing: Timing = AT_ONCE,
        zero_sums: bool = True,
        heard_from: int = 0,
        broute_id: str = BROUTE_ID,
    ) -> None:
        self.clock = FakeClock(NOON_MS, TOKYO)
        self.dongle = J11Dongle(
            MeterRadio(broute_id, BROUTE_PWD, heard_from=heard_from),
            Meter(SteadyHousehold(0), lambda: self.clock.now_ms() / 1000 + 9 * 3600),
            timing=timing,
            faults=[parse_fault(text) for text in faults],
            rng=random.Random(0),
            now=self.clock.monotonic(),
            zero_sums=zero_sums,
        )

    def raw(self, data: bytes) -> list[Frame]:
        """Give it bytes; return what it says at this very instant."""
        self.dongle.receive(data, self.clock.monotonic())
        return list(frames(self.dongle.poll(self.clock.monotonic())))

    def ask(self, code: int, data: bytes = b"") -> list[Frame]:
        return self.raw(request(code, data))

    def result(self, code: int, data: bytes = b"") -> int:
        """Return the result of a request that is answered at once."""
        answer = self.ask(code, data)[0]
        assert answer[0] == code + RESPONSE
        return answer[1][0]

    def wait(self, seconds: float) -> list[tuple[float, Frame]]:
        """Let time pass; return what was said, and after how long."""
        begun = self.clock.monotonic()
        said: list[tuple[float, Frame]] = []
        while (due := self.dongle.next_due()) is not None and due <= begun + seconds:
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            now = self.clock.monotonic()
            said += [(round(now - begun, 3), frame) for frame in frames(self.dongle.poll(now))]
        self.clock.advance(max(0.0, begun + seconds - self.clock.monotonic()))
        return said

    def start(self) -> None:
        assert self.result(0x005F, SETTINGS) == 1
        assert self.result(0x0054, (BROUTE_ID + BROUTE_PWD).encode()) == 1

    def run(self) -> None:
        self.start()
        assert self.result(0x0053) == 1
        assert self.result(0x0005, ECHONET) == 1

    def join(self) -> None:
        self.run()
        assert PANA_DONE in self.ask(0x0056)

    def send(self, payload: bytes = GET_E7, address: bytes = ADDRESS) -> list[Frame]:
        return self.ask(0x0008, address + 2 * ECHONET + struct.pack(">H", len(payload)) + payload)

    def state(self) -> tuple[int, int]:
        """The whole and the B route, as the module tells."""
        ((_, data),) = self.ask(0x0001)
        return data[1], data[2]


def reach(bench: Bench, state: int) -> None:
    [lambda: None, bench.start, bench.run, bench.join][state]()


def answer_of(said: list[Frame]) -> bytes:
    """The payload of the one datagram that was received."""
    (data,) = (data for code, data in said if code == 0x6018)
    return data[27:]
