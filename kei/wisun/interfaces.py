"""The types and protocols that the session shares with its callers and between its modules.

The messages of a dongle are typed here, whatever grammar its bytes have: a parser
(`skstack.Parser`) makes them, and `Link` hands them to the conversation in progress.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from typing import Protocol

from kei.core.clock import Instant
from kei.core.errors import PortLost
from kei.core.secret import Secret
from kei.echonet.frame import Frame, Property
from kei.wisun.dialects import Dialect, Grammar
from kei.wisun.network import Network


class EventNumber(IntEnum):
    """The events that kei reacts to, with the numbers of the SKSTACK-IP EVENT lines.

    What only the J11 grammar tells has the code of its notification.
    """

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
    RESTARTED = 0x6019
    LINK_LOST = 0x601A  # the meter's beacons are not heard any more
    UNDECIPHERABLE = 0x6038  # a frame came that the session has no key for, or an old one


class SendResult(IntEnum):
    """Parameter of `EventNumber.SENT`."""

    SENT = 0x00
    FAILED = 0x01
    SOLICITING = 0x02  # address resolution went out first; the datagram follows by itself
    BUSY = 0x03  # the channel was not free (J11; SKSTACK-IP has `FAILED` for that, too)


class Reason(Enum):
    """What a refusal means, whatever the dongle's own word for it is."""

    NOT_UNDERSTOOD = auto()  # no such command, or not with so many arguments
    OUT_OF_RANGE = auto()  # the form or range of an argument
    BUSY = auto()  # with something else
    DAMAGED = auto()  # on its way to the dongle
    DONE_BEFORE = auto()
    NOT_HEARD = auto()  # no beacon of the meter
    OTHER = auto()


NOT_NOW = frozenset({Reason.BUSY, Reason.DAMAGED})  # the same may be taken the next time


@dataclass(frozen=True, slots=True)
class Ok:
    """The command was taken.

    Attributes:
        value: the text behind it (`01` of ROPT).
        about: how the datagram begins that was taken, where the dongle tells it.
    """

    value: str = ""
    about: bytes = b""


@dataclass(frozen=True, slots=True)
class Fail:
    """The command was refused.

    Attributes:
        code: the dongle's own word for why, such as `ER04`.
        reason: what that means.
        command: which it was, where that is known to be one that sends.
    """

    code: str
    reason: Reason = Reason.OTHER
    command: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event.

    Attributes:
        number: see `EventNumber`.
        address: IPv6 address in full, upper case; empty if it names none.
        param: its parameter where it has one.
        about: as of `Ok`.
    """

    number: int
    address: str
    param: int | None
    about: bytes = b""


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
        lqi: link quality 0..255 of this frame, with a fraction if the dongle tells dBm; None if it
            tells nothing.
        payload: 1..1232 bytes.
        secured: False if the dongle says that it came in clear.
    """

    sender: str
    destination: str
    sender_port: int
    own_port: int
    lqi: float | None
    payload: bytes
    secured: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What a J11 module answers to a request; to one that sends it is `Ok` or `Fail`.

    Attributes:
        command: of the request.
        result: 1 if it was done.
        data: what follows the result.
    """

    command: int
    result: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Beacon:
    """A meter that a scan of a J11 module has heard."""

    network: Network


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are none of these, or a message that kei has no use for.

    Only its length is kept, because an echo or a broken line may hold the B-route ID or password.
    """

    length: int


Message = (
    Ok
    | Fail
    | Event
    | PanStart
    | PanField
    | Info
    | Version
    | Register
    | Datagram
    | Response
    | Beacon
    | Noise
)


@dataclass(frozen=True, slots=True)
class Received:
    """An ECHONET Lite frame of the meter.

    Attributes:
        frame: the frame.
        at: when it came.
    """

    frame: Frame
    at: Instant


Inbound = Message | Received  # what a conversation gets to see


class State(StrEnum):
    """How far the session has come; what follows each state is in `machine`."""

    INIT = auto()  # the port is closed: open it
    OPEN = auto()  # the port is open: find out what is on it
    ADOPT = auto()  # a dongle answers, and may still have a session of ours: ask the meter
    SETUP = auto()  # a dongle answers: reset it, give it registers and credentials
    SCAN = auto()  # it is ready: look for the meter's network
    JOIN = auto()  # a network is known: authenticate and get a first answer
    JOINED = auto()  # the meter answers: monitor it


@dataclass(frozen=True, slots=True)
class Settings:
    """What the session needs to know from the configuration.

    Attributes:
        broute_id: 32 hex digits.
        broute_pwd: 12 characters.
        dialect: of the dongle; None to recognise it.
        first_epcs: what to ask right after joining, as the proof of the session.
        outlives_us: whether dongle and meter go on when kei ends, as all real ones do.
        likely: what is asked for first where `dialect` is None.
    """

    broute_id: Secret
    broute_pwd: Secret
    dialect: Dialect | None
    first_epcs: tuple[int, ...]
    outlives_us: bool = True
    likely: Grammar = Grammar.SKSTACK


@dataclass(frozen=True, slots=True)
class Dongle:
    """The dongle on the port: its dialect, and the versions that it reports."""

    dialect: Dialect
    firmware: str
    product: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The meter's answer to a Get.

    Attributes:
        at: when it came.
        properties: the data of each property that it gave.
        refused: the properties that it says it cannot give now.
    """

    at: Instant
    properties: dict[int, bytes]
    refused: frozenset[int]


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A snapshot of the session, flat as other programs read it.

    Attributes:
        state: a name of `State`.
        joined: whether the meter has been joined.
        since_s: seconds since the meter was joined, or since the session was lost (or the start).
        dongle: its kind; None until it has been recognised.
        firmware: what it says of its version; None as above.
        channel: of the last network that was tried, 33..60; None until one was found.
        pan_id: of that network, 4 hex digits; None as above.
        lqi: link quality of the meter's last frame, or else of its beacon, 0..255; None as above.
        rssi_dbm: the same as received power.
        answered: requests since the start that the meter answered.
        missed: requests since the start that it did not answer.
        held_back: requests since the start that could not be sent.
        ignored_frames: late, duplicate, foreign and damaged ones since the start.
        next_try_s: seconds until the next attempt to join; None unless it pauses before one.
        fault: the fault that happened last of those that last, and what to do; None if none does.
        fault_s: seconds since that happened last; None as above.
    """

    state: str
    joined: bool
    since_s: float
    dongle: str | None
    firmware: str | None
    channel: int | None
    pan_id: str | None
    lqi: int | None
    rssi_dbm: float | None
    answered: int
    missed: int
    held_back: int
    ignored_frames: int
    next_try_s: float | None = None
    fault: str | None = None
    fault_s: float | None = None


class Memory(Protocol):
    """Where the session keeps what it needs after a restart."""

    def get_state(self, key: str) -> str | None:
        """Return what was kept under the key; StoreError if that fails."""

    def set_state(self, key: str, value: str) -> None:
        """Keep a text under the key; StoreError if that fails."""


class Listener(Protocol):
    """Receives joins and notifications, in the session thread; may send requests to the meter."""

    def joined(self, meter: str, first: Answer) -> None:
        """Take the MAC address of the meter that has been joined, and its first answer."""

    def ready(self) -> None:
        """React to the meter being ready for requests."""

    def notified(self, properties: tuple[Property, ...], at: Instant) -> None:
        """Take the properties of a notification, which the meter sent unasked."""


class Tap(Protocol):
    """An observer of everything that is sent and received on the port; must not raise."""

    def sent(self, data: bytes) -> None:
        """Take bytes that are sent; may hold the credentials."""

    def received(self, raw: bytes, message: Message) -> None:
        """Take bytes that were received and what they mean; may hold the credentials."""


class Transport(Protocol):
    """An open port."""

    def write(self, data: bytes) -> None:
        """Send all of these bytes; PortLost if the port does not take them."""

    def holders(self) -> tuple[str, ...]:
        """Return the other processes that have the port open, as `name (pid 123)`."""

    def close(self) -> None:
        """Close the port; safe to call twice and from any thread but the reader's."""


Hide = Callable[[bytes], bytes]
"""Returns bytes without what looks like a part of the B-route ID or the password."""

OnData = Callable[[bytes], None]
"""Called with what has come, and with nothing when nothing more has come for a while."""

OnLost = Callable[[PortLost], None]
OpenPort = Callable[[OnData, OnLost], Transport]
