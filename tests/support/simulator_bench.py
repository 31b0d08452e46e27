"""A virtual dongle on the bench: no port, no waiting, a clock that is told what time it is."""

import random

from fakes import TOKYO, FakeClock

from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.air.timing import Timing
from kei.simulator.faults import parse_fault
from kei.simulator.household.household import Household
from kei.simulator.meter.meter import Meter
from kei.simulator.skstack.dongle import SkstackDongle
from kei.simulator.skstack.models import MODELS

DSS, IPS, BP35A1, BP35C2 = "RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2"
BROUTE_ID = "00112233445566778899AABBCCDDEEFF"
BROUTE_PWD = "0123456789AB"
METER = "FE80:0000:0000:0000:021D:1290:1234:5678"
DONGLE = "FE80:0000:0000:0000:021D:1290:0003:C890"
GET_E7 = bytes.fromhex("1081000105FF010288016201E700")
NOON_MS = 1_705_289_700_000  # 2024-01-15 12:35:00 in Tokyo
AT_ONCE = Timing.of(0.0, 0.0, 0.0)


class SteadyHousehold(Household):
    """One that always draws 504 W, so that whole lines can be compared."""

    def watt(self, second: int) -> int:  # noqa: ARG002 - the base class' signature
        return 504


class NoNonces(random.Random):
    """Chance whose key material is all zero, as in the published transcripts."""

    def randbytes(self, n: int) -> bytes:
        return bytes(n)


class Bench:
    """A dongle, its clock, and a hand that types."""

    def __init__(
        self,
        model: str = DSS,
        *,
        timing: Timing = AT_ONCE,
        faults: tuple[str, ...] = (),
        broute_id: str = BROUTE_ID,
        seed: int = 0,
    ) -> None:
        self.clock = FakeClock(NOON_MS, TOKYO)
        self.dual = MODELS[model].dual
        self.household = SteadyHousehold(seed)
        self.dongle = SkstackDongle(
            MODELS[model],
            MeterRadio(broute_id, BROUTE_PWD),
            Meter(self.household, self.local_seconds),
            timing=timing,
            faults=[parse_fault(text) for text in faults],
            rng=NoNonces(seed),
            now=self.clock.monotonic(),
        )

    def local_seconds(self) -> float:
        return self.clock.now_ms() / 1000 + 9 * 3600

    def raw(self, data: bytes) -> bytes:
        """Give the dongle bytes; return what it says at this very instant."""
        self.dongle.receive(data, self.clock.monotonic())
        return self.dongle.poll(self.clock.monotonic())

    def type(self, *lines: str) -> str:
        """Type lines and return what is said at this very instant, LF for CR LF."""
        return text("".join(f"{line}\r\n" for line in lines).encode(), self)

    def wait(self, seconds: float) -> str:
        """Let time pass, stopping at everything that is due; return what was said."""
        end = self.clock.monotonic() + seconds
        said = b""
        while (due := self.dongle.next_due()) is not None and due <= end:
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            said += self.dongle.poll(max(due, self.clock.monotonic()))
        self.clock.advance(max(0.0, end - self.clock.monotonic()))
        return shown(said + self.dongle.poll(self.clock.monotonic()))

    def time_to(self, wanted: str, limit: float) -> float:
        """Let time pass until something is said; return how long that took, or fail."""
        start = self.clock.monotonic()
        while (due := self.dongle.next_due()) is not None and due - start <= limit:
            if wanted in self.wait(max(0.0, due - self.clock.monotonic())):
                return self.clock.monotonic() - start
        raise AssertionError(f"not within {limit} s: {wanted}")

    def send(self, payload: bytes = GET_E7, *, address: str = METER, security: int = 1) -> str:
        """Send a datagram to the meter and return what is said at this very instant."""
        side = "0 " if self.dual else ""
        head = f"SKSENDTO 1 {address} 0E1A {security} {side}{len(payload):04X} "
        return text(head.encode() + payload, self)

    def join(self, password: str = BROUTE_PWD) -> str:
        """Do everything up to EVENT 25 and the first datagram; return what was said."""
        said = self.type(
            f"SKSETPWD C {password}",
            f"SKSETRBID {BROUTE_ID}",
            "SKSREG S2 21",
            "SKSREG S3 8888",
            f"SKJOIN {METER}",
        )
        self.type(f"SKADDNBR {METER} 001D129012345678")
        return said


def text(data: bytes, bench: Bench) -> str:
    return shown(bench.raw(data))


def shown(data: bytes) -> str:
    """Return bytes as text, one character each, LF for CR LF."""
    return data.decode("latin-1").replace("\r\n", "\n")


def answers(said: str) -> list[bytes]:
    """Return the data of the ECHONET Lite datagrams among hexadecimal lines."""
    return [
        bytes.fromhex(line.split(" ")[-1])
        for line in said.splitlines()
        if line.startswith("ERXUDP") and " 0E1A 0E1A " in line
    ]
