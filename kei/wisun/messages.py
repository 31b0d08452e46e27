"""The messages that a dongle sends, typed, whatever grammar its bytes have.

A parser (`skstack.Parser`) makes them; `Link` hands them to the conversation in progress.
"""

from dataclasses import dataclass
from enum import IntEnum

from kei.echonet.frame import Frame


class EventNumber(IntEnum):
    """The events that kei reacts to, with the numbers of the SKSTACK-IP EVENT lines."""

    BEACON = 0x20
    SENT = 0x21
    SCAN_DONE = 0x22
    JOIN_FAILED = 0x24
    JOINED = 0x25
    PEER_CLOSED = 0x26
    CLOSED = 0x27
    CLOSE_TIMED_OUT = 0x28
    LIFETIME_EXPIRED = 0x29
    LIMIT_ON = 0x32
    LIMIT_OFF = 0x33


class SendResult(IntEnum):
    """Parameter of EVENT 21."""

    SENT = 0x00
    FAILED = 0x01
    SOLICITING = 0x02  # address resolution went out first; the datagram follows by itself


@dataclass(frozen=True, slots=True)
class Ok:
    """The command was taken; `value` is the text behind it (`01` of ROPT)."""

    value: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """The command was refused: `FAIL ER04` is code 4; 0 where the code was unreadable."""

    code: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its number, the address it names, and its parameter where it has one."""

    number: int
    address: str
    param: int | None


@dataclass(frozen=True, slots=True)
class PanStart:
    """EPANDESC: the fields of one more network follow."""


@dataclass(frozen=True, slots=True)
class PanField:
    """An indented line of EPANDESC."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Info:
    """EINFO: own addresses and settings; `dual` is set for dual-stack firmware."""

    address: str
    mac: str
    channel: int
    pan_id: int
    dual: bool


@dataclass(frozen=True, slots=True)
class Version:
    """EVER (stack) or EAPPVER (product)."""

    text: str
    product: bool


@dataclass(frozen=True, slots=True)
class Register:
    """ESREG: the value of the register that was asked for."""

    value: str


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram that was received (ERXUDP).

    Attributes:
        sender: IPv6 address in full, upper case.
        destination: own address or a multicast one.
        sender_port: 0..0xFFFF.
        own_port: 0..0xFFFF.
        lqi: link quality 0..255 of this frame; None if the dongle does not tell.
        payload: 1..1232 bytes.
    """

    sender: str
    destination: str
    sender_port: int
    own_port: int
    lqi: int | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """A line that is none of these, or one that kei has no use for.

    Only its length is kept, because an echo or a broken line may hold the B-route ID or password.
    """

    length: int


Message = Ok | Fail | Event | PanStart | PanField | Info | Version | Register | Datagram | Noise


@dataclass(frozen=True, slots=True)
class Received:
    """An ECHONET Lite frame of the meter.

    Attributes:
        frame: the frame.
        at_ms: when it came, milliseconds since 1970 in UTC.
    """

    frame: Frame
    at_ms: int


Inbound = Message | Received  # what a conversation gets to see
