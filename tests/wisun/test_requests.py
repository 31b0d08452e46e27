"""Sorting what comes over the radio: whatever it is, it is an answer, news, or counted."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from fakes import FakeClock, FastClock
from hypothesis import given
from hypothesis import strategies as st

from kei.core.incidents import Incidents
from kei.core.secret import Secret
from kei.echonet.frame import CONTROLLER, METER, UDP_PORT, Esv, Frame, Property
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import Datagram, Dongle, Inbound, Message, Settings
from kei.wisun.link import Link
from kei.wisun.network import Network
from kei.wisun.recogniser import Recogniser
from kei.wisun.requests import TRY_S, Request, Requests
from kei.wisun.send_gate import SendGate

NETWORK = Network(33, 0x8888, "001D129012345678", 225)
SETTINGS = Settings(Secret("0" * 32), Secret("0" * 12), None, (0xE7,))
OWN = "FE80:0000:0000:0000:021D:1290:0003:C890"
PANA_PORT = 716
POWER = Property(0xE7, b"\0\0\x01\xf8")

log = structlog.stdlib.get_logger("kei.session")


def requests() -> Requests:
    clock = FakeClock()
    link = Link(clock, lambda _: None)
    found = Requests(
        link,
        Recogniser(link, clock, SETTINGS),
        SendGate(clock, Incidents(log, clock)),
        clock,
        random.Random(1),
    )
    found.talk_to(NETWORK)
    return found


def awaiting(tid: int, *epcs: int) -> tuple[Requests, Request]:
    """Requests of which one has been sent with this TID."""
    found = requests()
    request = found.begin(epcs, 10)
    request.tids.add(tid)
    found._awaited[tid] = request
    return found, request


def datagram(payload: bytes, sender: str = NETWORK.address, port: int = UDP_PORT) -> Datagram:
    return Datagram(sender, OWN, port, UDP_PORT, 200, payload)


def answer(
    tid: int, *properties: Property, esv: Esv = Esv.GET_RES, source: int = METER
) -> Datagram:
    return datagram(Frame(tid, source, CONTROLLER, esv, properties).encode())


def test_an_answer_with_the_awaited_tid_is_the_requests() -> None:
    sorting, request = awaiting(7, 0xE7)
    sorting.sort(answer(7, POWER))
    assert request.answer is not None
    assert request.answer.properties == {0xE7: POWER.edt}
    assert (sorting.ignored, sorting.lqi) == (0, 200)


def test_the_same_answer_again_is_counted() -> None:
    sorting, _ = awaiting(7, 0xE7)
    for _ in range(3):
        sorting.sort(answer(7, POWER))
    assert sorting.ignored == 2


@pytest.mark.parametrize(
    "foreign",
    [
        answer(8, POWER),
        answer(7, Property(0xE0, b"\0\0\0\1")),
        answer(7, POWER, Property(0xE0, b"\0\0\0\1")),
        answer(7, POWER, esv=Esv.SET_RES),
        answer(7, POWER, source=0x0EF001),
        datagram(answer(7, POWER).payload, sender=OWN),
        datagram(answer(7, POWER).payload[:-1]),
        replace(answer(7, POWER), own_port=UDP_PORT + 1),
        replace(answer(7, POWER), secured=False),
    ],
)
def test_what_is_not_our_answer_is_counted_and_ends_nothing(foreign: Datagram) -> None:
    sorting, request = awaiting(7, 0xE7)
    sorting.sort(foreign)
    assert sorting.ignored == 1
    assert request.answer is None
    sorting.sort(answer(7, POWER))
    assert request.answer is not None


def test_what_the_dongle_says_to_the_meter_by_itself_is_neither_news_nor_counted() -> None:
    sorting, _ = awaiting(7, 0xE7)
    sorting.sort(datagram(b"\0" * 40, port=PANA_PORT))
    assert (sorting.ignored, len(sorting.notifications)) == (0, 0)


def test_news_beyond_the_bound_push_out_the_oldest() -> None:
    sorting = requests()
    for tid in range(100):
        sorting.sort(answer(tid, POWER, esv=Esv.INF))
    assert [news.frame.tid for news in sorting.notifications] == list(range(36, 100))


@given(
    payload=st.binary(max_size=60)
    | st.builds(
        lambda head, rest: head + rest,
        st.sampled_from([b"\x10\x81\0\x07\x02\x88\x01\x05\xff\x01", b"\x10\x81\0\x07"]),
        st.binary(max_size=20),
    ),
    port=st.sampled_from([UDP_PORT, PANA_PORT, 0]),
    sender=st.sampled_from([NETWORK.address, OWN]),
)
def test_whatever_comes_is_sorted(payload: bytes, port: int, sender: str) -> None:
    sorting, request = awaiting(7, 0xE7, 0xE0)
    sorting.sort(datagram(payload, sender, port))
    ends = [request.answer is not None, bool(sorting.notifications), bool(sorting.ignored)]
    assert sum(ends) == (port == UDP_PORT)


class Repeating:
    """A dongle and a meter that answers the first question when the second is about to be sent."""

    def __init__(self) -> None:
        self.clock = FastClock(20)
        self.link = Link(self.clock, self._on_message)
        self.link.attach(self)
        recogniser = Recogniser(self.link, self.clock, SETTINGS)
        recogniser.commands.dongle = Dongle(DIALECTS["RL7023-DSS"], "1.5.2", "")
        gate = SendGate(self.clock, Incidents(log, self.clock))
        self.requests = Requests(self.link, recogniser, gate, self.clock, random.Random(1))
        self.requests.talk_to(NETWORK)
        self.sent: list[bytes] = []

    def _on_message(self, message: Message) -> Inbound | None:
        return self.requests.sort(message) if isinstance(message, Datagram) else message

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.link.on_data(b"OK\r\n")

    def answer_late(self) -> None:
        frame = answer(int.from_bytes(self.sent[0][-12:-10], "big"), POWER).payload
        head = f"ERXUDP {NETWORK.address} {OWN} 0E1A 0E1A 001D129012345678 1 0 {len(frame):04X} "
        self.link.on_data(head.encode() + frame.hex().encode() + b"\r\n")

    def holders(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.link.detach()


class Awaited(dict[int, Request]):
    """The requests by TID; does something when a second one is noted, which is about to be sent."""

    def __init__(self, second: Callable[[], None]) -> None:
        super().__init__()
        self._steps = iter([lambda: None, second])

    def __setitem__(self, tid: int, request: Request) -> None:
        super().__setitem__(tid, request)
        next(self._steps)()


def test_an_answer_that_comes_in_the_moment_before_the_next_try_counts() -> None:
    bench = Repeating()
    bench.requests._awaited = Awaited(bench.answer_late)
    request = bench.requests.begin((0xE7,), 30.0)
    begun = bench.clock.monotonic()
    for _ in range(2):
        bench.requests.attempt(request)
    assert request.answer is not None
    assert len(bench.sent) == 1
    assert bench.clock.monotonic() - begun < 1.5 * TRY_S
