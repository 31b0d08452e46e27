"""What differs between a recorded frame of J11 and the client's: credentials and TIDs."""

from collections.abc import Callable, Iterator
from enum import IntEnum

from kei.echonet.frame import Esv
from kei.simulator.j11.frames import HEADER_BYTES, RESPONSE, RESPONSE_OFFSET, from_module
from kei.simulator.replay.host_reader import MASK, Frame

ECHONET = b"\x10\x81"
ESV_AT = 10  # in an ECHONET Lite frame
_LENGTH_COUNTS_FROM = 8
_PAYLOAD_SENT, _PAIRING_ID_AT = 22, 6  # in the data


class _Code(IntEnum):
    SEND = 0x0008
    SCAN = 0x0051
    CREDENTIALS = 0x0054
    RECEIVED = 0x6018


_CONFIRMED = _Code.SEND + RESPONSE_OFFSET
_PAYLOAD_AT = {_Code.RECEIVED: 27, _CONFIRMED: 2}  # of what a module says, in the data


def payload_of(frame: Frame) -> bytes:
    """Return the datagram that a request sends; empty if it sends none."""
    return (frame.data or b"")[_PAYLOAD_SENT:] if frame.code == _Code.SEND else b""


def shown(frame: Frame) -> str:
    """Return a request as a printable line, without credentials."""
    is_secret = frame.data is None or frame.code in (_Code.CREDENTIALS, _Code.SCAN)
    data = MASK.decode() if is_secret else (frame.data or b"").hex().upper()
    return f"{frame.code:04X} {data}".rstrip()


def is_same(recorded: Frame, came: Frame) -> bool:
    """Return whether a request is the recorded one; credentials and TIDs may differ."""
    if recorded.code != came.code:
        return False
    if recorded.data is None or came.data is None or recorded.code == _Code.CREDENTIALS:
        return True
    old, new = recorded.data, came.data
    if recorded.code == _Code.SCAN:
        return old[:_PAIRING_ID_AT] == new[:_PAIRING_ID_AT]
    if payload_of(recorded).startswith(ECHONET):
        tid = slice(_PAYLOAD_SENT + 2, _PAYLOAD_SENT + 4)
        return old[: tid.start] == new[: tid.start] and old[tid.stop :] == new[tid.stop :]
    return old == new


def with_tids(said: bytes, client_tid: Callable[[bytes, int], bytes | None]) -> bytes:
    """Return what a module has said with the client's TIDs in it, all sums computed anew.

    Args:
        said: whole frames, or anything else, which is left as it is.
        client_tid: returns the client's TID for a recorded one and the service; None to keep it.
    """
    if RESPONSE not in said:
        return said
    return b"".join(_with_tid(piece, client_tid) for piece in _pieces(said))


def _with_tid(piece: bytes, client_tid: Callable[[bytes, int], bytes | None]) -> bytes:
    code, data = int.from_bytes(piece[4:6], "big"), piece[HEADER_BYTES:]
    at = _PAYLOAD_AT.get(code, len(data))
    payload = data[at:]
    if not (piece.startswith(RESPONSE) and payload.startswith(ECHONET)):
        return piece
    # The response to a request to send has the beginning of that: it is no notification.
    service = Esv.GET if code == _CONFIRMED else int.from_bytes(payload[ESV_AT:][:1], "big")
    own = client_tid(payload[2:4], service)
    return piece if own is None else from_module(code, data[:at] + ECHONET + own + payload[4:])


def _pieces(said: bytes) -> Iterator[bytes]:
    """Take what a module has said to pieces: frames, and what is between them."""
    while said:
        if said.startswith(RESPONSE):
            end = _LENGTH_COUNTS_FROM + int.from_bytes(said[6:8], "big")
        elif (end := said.find(RESPONSE)) < 0:
            end = len(said)
        yield said[:end]
        said = said[end:]
