"""The grammar of ROHM's J11 modules: bytes to typed messages, and requests to bytes. No I/O.

A frame is a code of four bytes, the command, a length, a sum of the header, a sum of the data, and
the data; all numbers big-endian. The length counts sums and data. There is no echo, no line end and
no sequence number. Source: J11 UART IF specification 1.2 (ROHM and ISB), whose chapters are named.
"""

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum

from kei.core.secret import MASK
from kei.echonet.frame import UDP_PORT
from kei.wisun.interfaces import (
    Beacon,
    Datagram,
    Event,
    EventNumber,
    Fail,
    Message,
    Noise,
    Ok,
    Reason,
    Response,
    SendResult,
)
from kei.wisun.network import LOWEST_CHANNEL, Network, link_local
from kei.wisun.quality import lqi_of

REQUEST = bytes.fromhex("D0EA83FC")
RESPONSE = bytes.fromhex("D0F9EE5D")  # notifications, too
HEADER = struct.Struct(">4sHHHH")
_SUMMED = 8  # bytes of the header that its own sum covers
_SUMS = 4  # bytes of the two sums, which the length counts
MAX_LENGTH = 1353  # chapter 11
_RESPONSE_OFFSET = 0x2000  # a response has the code of its request and this
MAX_NOISE_BYTES = 64  # told as one `Noise`; any number would do

LOWEST, HIGHEST = 4, 17  # the channels of the B route, chapter 3
_CHANNEL_STEP = 2  # SKSTACK counts the centre frequencies in steps of 200 kHz, J11 of 400
DUAL = 0x05  # the mode that has a B route


class Command(IntEnum):
    """The requests that kei makes."""

    STATUS = 0x0001
    OPEN_PORT = 0x0005
    SEND = 0x0008
    CONNECTIONS = 0x0011
    SCAN = 0x0051
    START_BROUTE = 0x0053
    CREDENTIALS = 0x0054
    START_PANA = 0x0056
    END_PANA = 0x0057
    STOP_BROUTE = 0x0058
    SETTINGS = 0x005F
    VERSION = 0x006B
    RENEW_PANA = 0x00D2
    RESET = 0x00D9
    SHOW_SETTINGS = 0x0107


_COMMANDS = frozenset(Command)
_SECRET = (Command.CREDENTIALS, Command.SCAN)
_HARMLESS_BYTES = 10  # of them: what follows is the sum of the secrets, and they themselves


class Notification(IntEnum):
    """What comes without being the response to a request."""

    SCANNED = 0x4051  # one channel of a scan
    RECEIVED = 0x6018
    RESTARTED = 0x6019
    CONNECTION = 0x601A
    PANA = 0x6028
    NOT_RECEIVED = 0x6038


_NOT_READ = (0x2FFF, 0xFFFF)  # of a request with a wrong header sum, or of no known command
_CONNECTION_EVENTS = {0x03: EventNumber.LINK_LOST, 0x04: EventNumber.PEER_CLOSED}
PANA_DONE, PANA_REFUSED, PANA_SILENT = 0x01, 0x02, 0x03  # of `Notification.PANA`
_SECURITY = (0x01, 0x02)  # of `Notification.NOT_RECEIVED`: keys, or counters of frames, differ
_HEARD = 0x00  # of `Notification.SCANNED`
_BEACON_BYTES = 11
_RECEIVED = struct.Struct(">16sHHHBBbH")
_LINKED = struct.Struct(">BHQb")
_CONNECTED = struct.Struct(">xxQH")
_MULTICAST, _CLEAR = 0x01, 0x01
ALL_NODES = "FF02:0000:0000:0000:0000:0000:0000:0001"
_ON_ITS_WAY = (0x0, 0xF)  # acknowledged, or queued
_LIMITED, _CHANNEL_BUSY = 0x2, 0x3


DONE = 0x01  # the first byte of a response; what else it may be (table 34):
_MEANINGS = {
    0x04: "a value is out of range",
    0x06: "the destination is not connected",
    0x0A: "the UDP port is open already",
    0x0B: "the UDP port is not open",
    0x0C: "the radio has no calibration",
    0x0E: "no beacon of the meter was heard",
    0x10: "the B route is not started",
    0x13: "the end of the request did not come",
    0x34: "not while the B route runs",
    0x35: "not while the B route is authenticated",
    0x37: "nothing is started",
    0x3D: "busy",
    0x51: "ID and password are missing",
    0x52: "an authentication is going on",
    0x58: "ID and password are set already",
    0xF0: "the header was damaged",
    0xF1: "the data were damaged",
    0xF2: "the length was too small",
    0xF3: "the length was too large",
}
_REASONS = {
    0x0A: Reason.DONE_BEFORE,
    0x0E: Reason.NOT_HEARD,
    0x13: Reason.DAMAGED,
    0x3D: Reason.BUSY,
    0x58: Reason.DONE_BEFORE,  # by us: a reset clears them, and so does the end of a session
    0xF0: Reason.DAMAGED,
    0xF1: Reason.DAMAGED,
    0xF2: Reason.DAMAGED,
    0xF3: Reason.DAMAGED,
}


FRESH = b"\x02"  # begins the data of 0x2001 until the first settings have been given


class BrouteState(IntEnum):
    """How far the module has come (0x2001)."""

    NOT_STARTED = 0x01
    RUNNING = 0x02  # what is sent goes out in clear
    AUTHENTICATED = 0x03


def frame(command: Command, data: bytes = b"") -> bytes:
    """Return the bytes of a request, both sums computed."""
    head = HEADER.pack(REQUEST, command, _SUMS + len(data), 0, 0)[:_SUMMED]
    return head + struct.pack(">HH", sum(head) & 0xFFFF, sum(data) & 0xFFFF) + data


def settings(channel: int) -> bytes:
    """Return the data of the initial settings for a channel of `Network`: Dual, 20 mW."""
    return bytes((DUAL, 0, own_channel(channel), 0))


def own_channel(channel: int) -> int:
    """Return the module's number of a channel of `Network`."""
    return LOWEST + (channel - LOWEST_CHANNEL) // _CHANNEL_STEP


def common_channel(channel: int) -> int:
    """Return the number that `Network` has for a channel of the module."""
    return LOWEST_CHANNEL + (channel - LOWEST) * _CHANNEL_STEP


def credentials(broute_id: str, broute_pwd: str) -> bytes:
    """Return the data of the credentials: 32 and 12 characters, capitals only."""
    return (broute_id + broute_pwd).upper().encode("ascii")


def scan(duration: int, broute_id: str) -> bytes:
    """Return the data of a scan of all channels for the meter of this ID.

    Args:
        duration: 1 to 14; 9.64 ms times 2 to the power of it on each channel.
        broute_id: its last eight characters are looked for.
    """
    mask = sum(1 << channel for channel in range(LOWEST, HIGHEST + 1))
    return struct.pack(">BIB", duration, mask, 1) + broute_id[-8:].upper().encode("ascii")


def send_to(address: str, payload: bytes) -> bytes:
    """Return a request to send a datagram from and to the port of ECHONET Lite.

    Args:
        address: IPv6 in full.
        payload: 1..1232 bytes.
    """
    ports = struct.pack(">HHH", UDP_PORT, UDP_PORT, len(payload))
    return frame(Command.SEND, bytes.fromhex(address.replace(":", "")) + ports + payload)


class Parser:
    """Splits the module's byte stream into messages, whatever the size of the chunks.

    Any bytes are safe: what is no frame with both sums right is skipped byte by byte, so that each
    whole frame in it is found. What was skipped becomes `Noise`, at most `MAX_NOISE_BYTES` a piece.

    Args:
        on_raw: called with the bytes of each frame, and its first message, and with noise.
    """

    def __init__(self, on_raw: Callable[[bytes, Message], None] | None = None) -> None:
        self._on_raw = on_raw
        self._buffer = bytearray()
        self._skipped = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete, in order."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        start = 0
        while start < len(buffer):
            size = _frame_size(buffer, start)
            if size is None:
                break
            if size:
                raw = bytes(buffer[start : start + size])
                self._tell_skipped(found)
                messages = parse(raw)
                self._tell(found, raw, messages[0])
                found += messages[1:]
                start += size
            else:
                following = buffer.find(RESPONSE[:1], start + 1)
                end = len(buffer) if following < 0 else following
                self._skip(buffer[start:end], found)
                start = end
        del buffer[:start]
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether a frame may have begun and is not complete."""
        return bool(self._buffer)

    def give_up(self) -> list[Message]:
        """Take an incomplete frame as noise, and return the messages behind its first byte."""
        found: list[Message] = []
        if self._buffer:
            self._skip(self._buffer[:1], found)
            del self._buffer[:1]
        return [*found, *self.feed(b"")]

    def _skip(self, noise: bytes | bytearray, found: list[Message]) -> None:
        self._skipped += noise
        while len(self._skipped) >= MAX_NOISE_BYTES:
            self._tell_skipped(found)

    def _tell_skipped(self, found: list[Message]) -> None:
        if raw := bytes(self._skipped[:MAX_NOISE_BYTES]):
            del self._skipped[:MAX_NOISE_BYTES]
            self._tell(found, raw, Noise(len(raw)))

    def _tell(self, found: list[Message], raw: bytes, message: Message) -> None:
        found.append(message)
        if self._on_raw is not None:
            self._on_raw(raw, message)


def _frame_size(buffer: bytes | bytearray, start: int) -> int | None:
    """Return the size of the frame at `start`: 0 if there is none, None if that is not known yet.

    A length is believed when the sum of the header is right: the data may have anything in them.
    """
    left = len(buffer) - start
    code = min(left, len(RESPONSE))
    if buffer[start : start + code] != RESPONSE[:code]:
        return 0
    if left < HEADER.size:
        return None
    _, _, length, header_sum, data_sum = HEADER.unpack_from(buffer, start)
    if sum(buffer[start : start + _SUMMED]) & 0xFFFF != header_sum:
        return 0
    if not _SUMS <= length <= MAX_LENGTH:
        return 0
    size = HEADER.size + int(length) - _SUMS
    if left < size:
        return None
    data = buffer[start + HEADER.size : start + size]
    return size if sum(data) & 0xFFFF == data_sum else 0


def shown_sent(data: bytes) -> str | None:
    """Return a request as hexadecimal digits, without its secrets; None if it is none."""
    if not data.startswith(REQUEST):
        return None
    if int.from_bytes(data[4:6], "big") in _SECRET:
        return f"{data[:_HARMLESS_BYTES].hex().upper()}{MASK}"
    return data.hex().upper()


def shown_received(raw: bytes) -> str | None:
    """Return a frame as hexadecimal digits, which hold no secret; None if it is none."""
    return raw.hex().upper() if raw and _frame_size(raw, 0) == len(raw) else None


def parse(raw: bytes) -> list[Message]:
    """Return what a frame with right sums means; `Noise` if nothing that kei can use."""
    code, data = int.from_bytes(raw[4:6], "big"), raw[HEADER.size :]
    try:
        return _parse(code, data) or [Noise(len(raw))]
    except (struct.error, IndexError, ValueError):  # too few data for their code
        return [Noise(len(raw))]


def _parse(code: int, data: bytes) -> list[Message]:
    command = code - _RESPONSE_OFFSET
    match code:
        case Notification.SCANNED:
            return list(_beacons(data))
        case Notification.RECEIVED:
            return _received(data)
        case Notification.RESTARTED:
            return [Event(EventNumber.RESTARTED, "", None)]
        case Notification.CONNECTION if data[0] in _CONNECTION_EVENTS:
            return [Event(_CONNECTION_EVENTS[data[0]], _address_of(data[1:9]), data[0])]
        case Notification.PANA:
            number = EventNumber.JOINED if data[0] == PANA_DONE else EventNumber.JOIN_FAILED
            return [Event(number, _address_of(data[1:9]), data[0])]
        case Notification.NOT_RECEIVED if data[0] in _SECURITY:
            return [Event(EventNumber.UNDECIPHERABLE, _address(data[1:17]), data[0])]
        case _ if code in _NOT_READ:
            return [refusal(data[0])]
        case _ if command == Command.SEND:
            return _sent(data)
        case _ if command in _COMMANDS:
            return [Response(command, data[0], data[1:])]
    return []


def _beacons(data: bytes) -> Iterator[Beacon]:
    result, channel = data[:2]
    if result != _HEARD or not LOWEST <= channel <= HIGHEST:
        return
    for number in range(data[2]):
        mac, pan_id, dbm = struct.unpack_from(">QHb", data, 3 + number * _BEACON_BYTES)
        yield Beacon(Network(common_channel(channel), pan_id, f"{mac:016X}", lqi_of(dbm)))


def _received(data: bytes) -> list[Message]:
    sender, sender_port, own_port, _pan, cast, security, dbm, size = _RECEIVED.unpack_from(data)
    payload = data[_RECEIVED.size :]
    if len(payload) != size:
        return []
    destination = ALL_NODES if cast == _MULTICAST else ""
    secured = security != _CLEAR
    return [
        Datagram(
            _address(sender), destination, sender_port, own_port, lqi_of(dbm), payload, secured
        )
    ]


def _sent(data: bytes) -> list[Message]:
    """Return what became of a datagram: a limit, if there is one, the radio's result, the end."""
    if data[0] != DONE:
        return [refusal(data[0], Command.SEND)]
    radio, begin = data[1] & 0x0F, data[2:]
    result = SendResult.SENT if radio in _ON_ITS_WAY else SendResult.FAILED
    if radio == _CHANNEL_BUSY:
        result = SendResult.BUSY
    limited: list[Message] = []
    if radio == _LIMITED:
        limited.append(Event(EventNumber.LIMIT_ON, "", None))
    return [*limited, Event(EventNumber.SENT, "", result, begin), Ok(about=begin)]


def _address(data: bytes) -> str:
    """Return an IPv6 address in full, as `Network.address` has it."""
    return data.hex(":", 2).upper()


def _address_of(mac: bytes) -> str:
    """Return the IPv6 address that belongs to a MAC; empty if it is none."""
    return link_local(int.from_bytes(mac, "big")) if any(mac) else ""


def refusal(result: int, command: int | None = None) -> Fail:
    """Return what a result means that is not `DONE`; `command` as of `Fail`."""
    meaning = _MEANINGS.get(result)
    word = f"result {result:02X}" + (f", {meaning}" if meaning else "")
    return Fail(word, _REASONS.get(result, Reason.OTHER), command)


def linked(data: bytes) -> Network | None:
    """Return the network that the response to `Command.START_BROUTE` tells; None if none."""
    try:
        channel, pan_id, mac, dbm = _LINKED.unpack_from(data)
    except struct.error:
        return None
    return Network(common_channel(channel), pan_id, f"{mac:016X}", lqi_of(dbm))


def connected(data: bytes) -> tuple[str, int] | None:
    """Return MAC and PAN ID of the first network that `Command.CONNECTIONS` tells; None if none."""
    try:
        mac, pan_id = _CONNECTED.unpack_from(data)
    except struct.error:
        return None
    return f"{mac:016X}", pan_id
