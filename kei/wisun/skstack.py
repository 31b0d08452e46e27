"""The grammar of SKSTACK-IP: bytes to typed messages, and commands to bytes. No I/O.

Source of the grammar: ROHM BP35A1 command reference 1.3.2 and captures of dual-stack firmware.
The parser needs no dialect: field widths tell the layouts apart (a side is one digit, an event's
parameter two, an LQI two), and binary payloads are taken by their length.
"""

import re
from collections.abc import Callable

from kei.core.secret import MASK
from kei.echonet.frame import UDP_PORT
from kei.wisun.interfaces import (
    Datagram,
    Event,
    Fail,
    Hide,
    Info,
    Message,
    Noise,
    Ok,
    PanField,
    PanStart,
    Reason,
    Register,
    Version,
)

MAX_PAYLOAD_BYTES = 1232  # SKSENDTO and ERXUDP, command reference
MAX_LINE_BYTES = 4096  # longest legal line: ERXUDP header 126 + 2 x 1232 hex digits

_LINE_END = re.compile(rb"[\r\n]")
_ERXUDP = b"ERXUDP "
_HEADER = re.compile(
    rb"ERXUDP ([0-9A-F:]{39}) ([0-9A-F:]{39}) ([0-9A-F]{4}) ([0-9A-F]{4}) [0-9A-F]{16} "
    rb"(?:([0-9A-F]{2}) )?(?:[01] (?:[01] )?)?([0-9A-F]{4}) ",
    re.IGNORECASE,
)
_MAX_HEADER_BYTES = 126  # dual stack with LQI
_ADDRESS_CHARS = 39  # of an IPv6 address in full
_HEX_DIGITS = frozenset(b"0123456789ABCDEFabcdef")
_PAN_FIELD = re.compile(rb" +([A-Za-z ]+):([0-9A-Za-z]+) *")
_EVENT = re.compile(rb"EVENT ([0-9A-F]{2}) ([0-9A-F:]+)((?: [0-9A-F]{1,2}){0,2})", re.IGNORECASE)
_CREDENTIALS = re.compile(rb"(SKSETPWD|SKSETRBID|SKSETPSK)\b", re.IGNORECASE)
_ORDINARY = re.compile(
    rb"OK(?: [0-9A-F]{2})?|FAIL ER\d\d|EVENT [0-9A-F]{2} [0-9A-F:]{39}(?: [0-9A-F]{1,2}){0,2}",
    re.IGNORECASE,
)
_SEND_HEADER = re.compile(rb"SKSENDTO \S+ \S+ \S+ \S (?:[01] )?[0-9A-F]{4} ")
# What begins a message inside a line. Each has a blank, so that none can be part of a password.
_INNER = re.compile(
    rb"EVENT [0-9A-Fa-f]{2} [0-9A-Fa-f:]{39}|EINFO [0-9A-Fa-f:]{39} |EVER [0-9]|EAPPVER |"
    rb"ESREG [0-9A-Fa-f]|FAIL ER[0-9]{2}"
)
_ERROR = re.compile(rb"ER[0-9]{2}")
_REASONS = {
    "ER04": Reason.NOT_UNDERSTOOD,
    "ER05": Reason.NOT_UNDERSTOOD,
    "ER06": Reason.OUT_OF_RANGE,
    "ER09": Reason.DAMAGED,
}
# The words without a blank, at the end of an echo; a password of 12 characters may end with them.
_INNER_WORD = re.compile(
    rb"(?:SK(?!SETPWD)|SKSETPWD [0-9A-F] \w{12}|[RW]OPT)[ -~]*?(OK(?: [0-9A-F]{2})?|EPANDESC)"
)


class Parser:
    """Splits the dongle's byte stream into messages, whatever the size of the chunks.

    Any bytes are safe: a line that cannot be understood becomes `Noise`, and only that line.
    What comes by itself may begin in the middle of a line, as the dongle echoes a command while
    it is being written (`SKSENDTOERXUDP FE80...`): it is taken as if it stood alone.

    Args:
        on_raw: called with the bytes of each message, without their line end, and the message.
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
        """Whether a message has begun, is not complete, and may have taken in others.

        Without a line end it has not: its rest may still come, however slow the line is.
        """
        return _LINE_END.search(self._buffer) is not None

    def give_up(self) -> list[Message]:
        """Treat an incomplete message as a damaged line, and return the messages behind it.

        A datagram whose length is damaged would otherwise take in as many bytes as it claims.
        """
        length, noise = self._broken_line(0, 0)
        del self._buffer[:length]
        return [noise, *self.feed(b"")]

    def _take(self, start: int) -> tuple[int, Message | None]:
        """Return (length in bytes, message) at `start`; length 0 while it is incomplete."""
        buffer = self._buffer
        if buffer.startswith(_ERXUDP, start):
            if header := _HEADER.match(buffer, start):
                self._skipping = False
                return self._take_datagram(start, header)
            if len(buffer) - start < _MAX_HEADER_BYTES and not _LINE_END.search(buffer, start):
                return 0, None
        end = self._text_end(start, start)
        if end is None:
            is_too_long = len(buffer) - start > MAX_LINE_BYTES
            return self._broken_line(start, start) if is_too_long else (0, None)
        line = bytes(buffer[start:end])
        is_rest, self._skipping = self._skipping and not _INNER.match(line), False
        return len(line), Noise(len(line)) if is_rest else parse_line(line)

    def _text_end(self, start: int, after: int) -> int | None:
        """Return where the text that begins at `start` ends; None if that has not arrived yet.

        It is its first line end from `after` on, or where a message begins inside it.
        """
        buffer = self._buffer
        found = _LINE_END.search(buffer, after)
        end = len(buffer) if found is None else found.start()
        if buffer.find(_ERXUDP, start + 1, end) >= 0:
            header = _HEADER.search(buffer, start + 1, end)
            if header is not None:
                found, end = header, header.start()
        if found is None:
            return None
        inner = _INNER.search(buffer, start + 1, end)
        word = None if inner else _INNER_WORD.fullmatch(buffer, start, end)
        return inner.start() if inner else word.start(1) if word else end

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
        is_cut = ascii_hex and _LINE_END.search(buffer, data, end) is not None
        if is_cut or not 1 <= length <= MAX_PAYLOAD_BYTES:
            return self._broken_line(start, data)
        if end >= len(buffer):
            return 0, None
        payload = bytes(buffer[data:end])
        if ascii_hex:
            try:
                payload = bytes.fromhex(payload.decode("ascii"))
            except ValueError:
                payload = b""
        if buffer[end] not in b"\r\n" or len(payload) != length:  # blanks between the digits
            return self._broken_line(start, data)
        return end - start, Datagram(
            sender=header[1].decode("ascii").upper(),
            destination=header[2].decode("ascii").upper(),
            sender_port=int(header[3], 16),
            own_port=int(header[4], 16),
            lqi=int(header[5], 16) if header[5] else None,
            payload=payload,
        )

    def _broken_line(self, start: int, data: int) -> tuple[int, Noise]:
        """Skip the line that begins at `start` and has no end before `data`, or a part of it."""
        end = self._text_end(start, data)
        self._skipping = end is None
        length = (len(self._buffer) if end is None else end) - start
        return length, Noise(length)


def parse_line(line: bytes) -> Message:
    """Read one line without its end; anything unknown or damaged is `Noise`."""
    if line[:1] == b" ":
        if field := _PAN_FIELD.fullmatch(line):
            return PanField(field[1].decode("ascii"), field[2].decode("ascii"))
        return Noise(len(line))
    if event := _EVENT.match(line):
        params = [int(word, 16) for word in event[3].split() if len(word) == 2]
        address = event[2].decode("ascii").upper()
        is_whole = len(address) == _ADDRESS_CHARS
        return Event(int(event[1], 16), address if is_whole else "", params[0] if params else None)
    try:
        return _parse_words(line.split()) or Noise(len(line))
    except ValueError:
        return Noise(len(line))


def _parse_words(words: list[bytes]) -> Message | None:
    match words:
        case [b"OK", *rest]:
            return Ok(b" ".join(rest).decode("ascii"))
        case [b"FAIL", *code]:
            # Anything else may be the echo of credentials whose line has run into this one.
            if len(code) != 1 or _ERROR.fullmatch(code[0]) is None:
                return Fail("")
            word = code[0].decode("ascii")
            return Fail(word, _REASONS.get(word, Reason.OTHER))
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
    """Return a command line: words separated by one space, ended with CR LF.

    ROPT and WOPT are ended with CR alone.
    """
    end = "\r" if words[0] in ("ROPT", "WOPT") else "\r\n"
    return f"{' '.join(words)}{end}".encode("ascii")


def send_to(address: str, payload: bytes, *, side: bool) -> bytes:
    """Return SKSENDTO with its raw payload: UDP handle 1, the ECHONET Lite port, encrypted.

    Args:
        address: IPv6 of the meter in full.
        payload: 1..1232 bytes.
        side: whether the dialect has the side argument (0 = B route).
    """
    middle = "1 0" if side else "1"
    head = f"SKSENDTO 1 {address} {UDP_PORT:04X} {middle} {len(payload):04X} "
    return head.encode("ascii") + payload


def shown_sent(data: bytes) -> str | None:
    """Return the text of a command, without its secrets; None if it is none."""
    if credentials := _CREDENTIALS.search(data[:20]):
        return f"{credentials[1].decode('ascii')} {MASK}"
    if header := _SEND_HEADER.match(data):
        return escaped(header[0]) + data[header.end() :].hex().upper()
    if not data.isascii():
        return None
    return escaped(data.strip()) or f"({len(data)} bytes of line ends)"


def shown_received(raw: bytes, message: Message, hide: Hide) -> str | None:
    """Return the text of a line and what is in it, without secrets; None if nobody knows.

    The meter's PANA datagrams hold the ID in clear text, so their content is left out.
    """
    match message:
        case Datagram(payload=payload) if raw.startswith(_ERXUDP):
            as_hex = payload.hex().upper().encode()
            size = len(as_hex) if raw.upper().endswith(as_hex) else len(payload)
            is_data = message.sender_port == message.own_port == UDP_PORT
            content = as_hex.decode() if is_data else f"({len(payload)} bytes)"
            return escaped(raw[:-size]) + content
        case Ok() | Fail() | Event() if _ORDINARY.fullmatch(raw):
            return escaped(raw)
        case Noise() if _ERXUDP.strip() in raw.upper():
            return f"(damaged ERXUDP, {len(raw)} bytes)"
    # Credentials may follow other words when a line end between them was lost.
    if credentials := _CREDENTIALS.search(raw):
        return f"{escaped(hide(raw[: credentials.end()]))} {MASK}"
    return None


def escaped(data: bytes) -> str:
    """Return bytes as text, in which those that are no printable ASCII are escaped."""
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")
