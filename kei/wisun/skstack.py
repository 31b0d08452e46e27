"""The SKSTACK-IP command interface: bytes in, typed messages out, and commands to bytes. No I/O.

Source of the grammar: ROHM BP35A1 command reference 1.3.2 and captures of dual-stack firmware.
The parser needs no dialect: field widths tell the layouts apart (a side is one digit, an event's
parameter two, an LQI two), and binary payloads are taken by their length.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

MAX_PAYLOAD_BYTES = 1232  # SKSENDTO and ERXUDP, command reference
MAX_LINE_BYTES = 4096  # longest legal line: ERXUDP header 126 + 2 x 1232 hex digits
ECHONET_PORT = 0x0E1A  # 3610
PANA_PORT = 0x02CC  # 716
LQI_DBM_PER_STEP, LQI_DBM_AT_ZERO = 0.275, -104.27  # ROHM's graph of LQI to received power


class EventNumber(IntEnum):
    """The EVENT lines that kei reacts to."""

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
    """The command was taken; `value` is what stood behind it (`01` of ROPT)."""

    value: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    """The command was refused: `FAIL ER04` is code 4; 0 where the code was unreadable."""

    code: int


@dataclass(frozen=True, slots=True)
class Event:
    """An EVENT line: number, the address it names, and its parameter where it has one."""

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
    """EINFO: own addresses and settings; `dual` tells dual-stack firmware by its side field."""

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
    """ERXUDP: a UDP datagram that was received.

    Attributes:
        sender: IPv6 address, upper case, as the dongle writes it.
        destination: own address or a multicast one.
        sender_port: 0..0xFFFF.
        own_port: 0..0xFFFF.
        lqi: link quality 0..255 of this frame, where the dongle tells.
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

_LINE_END = re.compile(rb"[\r\n]")
_ERXUDP = b"ERXUDP "
_HEADER = re.compile(
    rb"ERXUDP ([0-9A-F:]{39}) ([0-9A-F:]{39}) ([0-9A-F]{4}) ([0-9A-F]{4}) [0-9A-F]{16} "
    rb"(?:([0-9A-F]{2}) )?(?:[01] (?:[01] )?)?([0-9A-F]{4}) ",
    re.IGNORECASE,
)
_MAX_HEADER_BYTES = 126  # dual stack with LQI
_HEX_DIGITS = frozenset(b"0123456789ABCDEFabcdef")
_PAN_FIELD = re.compile(rb" +([A-Za-z ]+):([0-9A-Za-z]+) *")


class Parser:
    """Cuts the dongle's byte stream into messages, whatever the size of the pieces.

    Any bytes are safe: what cannot be understood becomes `Noise` and costs that line only.

    Args:
        on_raw: is shown the bytes of each message, too, without their line end.
    """

    def __init__(self, on_raw: Callable[[bytes, Message], None] | None = None) -> None:
        self._on_raw = on_raw
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete, in order."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        start = 0
        while start < len(buffer):
            if buffer[start] in b"\r\n":
                start += 1
                self._skipping = False
                continue
            taken, message = self._take(start)
            if taken == 0:
                break
            if message is not None:
                found.append(message)
                if self._on_raw is not None:
                    self._on_raw(bytes(buffer[start : start + taken]), message)
            start += taken
        del buffer[:start]
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer)

    def give_up(self) -> list[Message]:
        """Take what has begun for a damaged line, and return what may have come after it.

        A datagram whose length is damaged would else swallow as many bytes as it claims to have.
        """
        end = _LINE_END.search(self._buffer)
        self._skipping = end is None
        length = len(self._buffer) if end is None else end.start()
        del self._buffer[:length]
        return [Noise(length), *self.feed(b"")]

    def _take(self, start: int) -> tuple[int, Message | None]:
        """Return how many bytes the message at `start` has, and it; 0 while it is incomplete."""
        buffer = self._buffer
        if not self._skipping and buffer.startswith(_ERXUDP, start):
            header = _HEADER.match(buffer, start)
            if header:
                return self._take_datagram(start, header)
            if len(buffer) - start < _MAX_HEADER_BYTES and not _LINE_END.search(buffer, start):
                return 0, None
        end = _LINE_END.search(buffer, start)
        if end is None:
            if len(buffer) - start <= MAX_LINE_BYTES:
                return 0, None
            self._skipping = True
            return len(buffer) - start, Noise(len(buffer) - start)
        line = bytes(buffer[start : end.start()])
        return len(line), Noise(len(line)) if self._skipping else parse_line(line)

    def _take_datagram(self, start: int, header: re.Match[bytes]) -> tuple[int, Message | None]:
        """Take a datagram by its length: hex digits or raw bytes, told apart by the first one.

        ECHONET Lite begins with 0x10 and PANA with 0x00, neither of them a hex digit's code.
        """
        buffer = self._buffer
        length = int(header[6], 16)
        data = header.end()
        if data >= len(buffer):
            return 0, None
        ascii_hex = buffer[data] in _HEX_DIGITS
        end = data + (2 * length if ascii_hex else length)
        if not 1 <= length <= MAX_PAYLOAD_BYTES:
            return self._broken_line(start, data)
        line_end = _LINE_END.search(buffer, data, end + 1) if ascii_hex else None
        if ascii_hex and line_end and line_end.start() < end:
            return self._broken_line(start, data)
        if end >= len(buffer):
            return 0, None
        if buffer[end] not in b"\r\n":
            return self._broken_line(start, data)
        try:
            raw = bytes(buffer[data:end])
            payload = bytes.fromhex(raw.decode("ascii")) if ascii_hex else raw
        except ValueError:
            return self._broken_line(start, data)
        if len(payload) != length:  # blanks between the digits
            return self._broken_line(start, data)
        return end - start, Datagram(
            sender=header[1].decode("ascii").upper(),
            destination=header[2].decode("ascii").upper(),
            sender_port=int(header[3], 16),
            own_port=int(header[4], 16),
            lqi=int(header[5], 16) if header[5] else None,
            payload=payload,
        )

    def _broken_line(self, start: int, data: int) -> tuple[int, Message | None]:
        end = _LINE_END.search(self._buffer, data)
        if end is None:
            self._skipping = True
            return len(self._buffer) - start, Noise(len(self._buffer) - start)
        return end.start() - start, Noise(end.start() - start)


def parse_line(line: bytes) -> Message:
    """Read one line without its end; anything unknown or damaged is `Noise`."""
    if line[:1] == b" ":
        field = _PAN_FIELD.fullmatch(line)
        if field:
            return PanField(field[1].decode("ascii"), field[2].decode("ascii"))
        return Noise(len(line))
    words = line.split()
    try:
        message = _parse_words(words)
    except (ValueError, IndexError):
        message = None
    return message or Noise(len(line))


def _parse_words(words: list[bytes]) -> Message | None:
    match words:
        case [b"OK", *rest]:
            return Ok(b" ".join(rest).decode("ascii"))
        case [b"FAIL", *code]:
            digits = b"".join(code).removeprefix(b"ER")
            return Fail(int(digits) if digits.isdigit() else 0)
        case [b"EVENT", number, address, *rest]:
            params = [int(word, 16) for word in rest if len(word) == 2]
            return Event(
                int(number, 16), address.decode("ascii").upper(), params[0] if params else None
            )
        case [b"EPANDESC"]:
            return PanStart()
        case [b"EINFO", address, mac, channel, pan_id, side]:
            return Info(
                address.decode("ascii").upper(),
                mac.decode("ascii").upper(),
                int(channel, 16),
                int(pan_id, 16),
                dual=len(side) == 1,
            )
        case [b"EVER" | b"EAPPVER", text, *_]:
            return Version(text.decode("ascii"), product=words[0] == b"EAPPVER")
        case [b"ESREG", value]:
            return Register(value.decode("ascii"))
    return None


def command(*words: str) -> bytes:
    """Return a command line; words are separated by one space and ended with CR LF."""
    return " ".join(words).encode("ascii") + b"\r\n"


def product_command(*words: str) -> bytes:
    """Return a line of the WOPT, ROPT, WUART, RUART family, which ends with CR alone."""
    return " ".join(words).encode("ascii") + b"\r"


def send_to(address: str, payload: bytes, *, side: bool) -> bytes:
    """Return SKSENDTO with its raw payload: UDP handle 1, the ECHONET Lite port, encrypted.

    Args:
        address: IPv6 of the meter in full.
        payload: 1..1232 bytes.
        side: whether the dialect has the side argument (0 = B route).
    """
    middle = "1 0" if side else "1"
    head = f"SKSENDTO 1 {address} {ECHONET_PORT:04X} {middle} {len(payload):04X} "
    return head.encode("ascii") + payload


def link_local(mac: str) -> str:
    """Return the IPv6 link-local address of a 64-bit MAC of 16 hex digits, as SKLL64 does.

    The universal/local bit of the first byte is inverted (RFC 4291, appendix A).
    """
    digits = f"{int(mac, 16) ^ (0x02 << 56):016X}"
    return "FE80:0000:0000:0000:" + ":".join(digits[i : i + 4] for i in range(0, 16, 4))


def rssi_dbm(lqi: int) -> float:
    """Return the received power in dBm that an LQI of 0..255 stands for, to a tenth."""
    return round(LQI_DBM_PER_STEP * lqi + LQI_DBM_AT_ZERO, 1)
