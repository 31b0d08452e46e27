"""What the tests of the session with a J11 module share."""

from collections.abc import Iterator

from programs import PATIENCE_S
from session_bench import Bench, Memory

from kei.core.errors import RetryLater
from kei.wisun import j11
from kei.wisun.j11 import Command, frame

POWER = (0xE7,)
J11 = ",dongle=J11"
RESET = frame(Command.RESET)
ENDS_OR_DISTURBS = {
    Command.RESET,
    Command.SCAN,
    Command.SETTINGS,
    Command.CREDENTIALS,
    Command.START_BROUTE,
    Command.START_PANA,
    Command.END_PANA,
}


def requests(sent: bytes) -> Iterator[tuple[int, bytes]]:
    """The requests among what was sent, as code and data."""
    at = 0
    while (at := sent.find(j11.REQUEST, at)) >= 0:
        code, length = sent[at + 4 : at + 6], sent[at + 6 : at + 8]
        end = at + 8 + int.from_bytes(length, "big")
        yield int.from_bytes(code, "big"), bytes(sent[at + 12 : end])
        at = end


def codes(bench: Bench) -> list[int]:
    """The codes of the requests so far."""
    return [code for code, _ in requests(bytes(bench.sent))]


def says(bench: Bench, hexadecimal: str) -> None:
    bench.says(bytes.fromhex(hexadecimal))


def killed(bench: Bench) -> Memory:
    """End a session without a word to the dongle; return what was remembered."""
    bench.wait_for_join()
    memory = Memory(bench.memory)
    bench.is_deaf = True
    bench.session.stop()
    bench.session_thread.join(PATIENCE_S)
    return memory


def ask_until_one_is_missed(bench: Bench) -> None:
    while bench.session.is_joined:
        try:
            bench.session.get(POWER, 5)
        except RetryLater:
            return


def is_power(data: bytes) -> bool:
    return data[4:6] == b"\0\x08" and data.endswith(b"\xe7\0")


def said_from(bench: Bench, at: int) -> list[int]:
    """The codes from the given one on, without those that only look or send."""
    return [code for code in codes(bench)[at:] if code in ENDS_OR_DISTURBS]


def from_module(code: int, data: bytes) -> bytes:
    head = bytes.fromhex("D0F9EE5D") + code.to_bytes(2, "big") + (4 + len(data)).to_bytes(2, "big")
    sums = (sum(head) & 0xFFFF).to_bytes(2, "big") + (sum(data) & 0xFFFF).to_bytes(2, "big")
    return head + sums + data
