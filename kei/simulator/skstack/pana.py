"""The meter's PANA datagrams as they appear on the serial port: right in length and layout.

They are not encrypted, as no client looks into them. The second one has the Route-B ID in clear
text, as real ones do.
"""

import random
import struct
from enum import IntEnum

_SESSION_ID = 0x11223344
_FIRST_SEQUENCE = 0x1000
_AUTH_REQUEST = 2  # message type (RFC 5191)


class _Flags(IntEnum):
    """Flags of the PANA header, the request bit among them."""

    START = 0xC000
    MIDDLE = 0x8000
    COMPLETE = 0xA000


class _Avp(IntEnum):
    """Attributes (RFC 5191, section 8)."""

    AUTH = 1
    EAP_PAYLOAD = 2
    INTEGRITY_ALGORITHM = 3
    KEY_ID = 4
    NONCE = 5
    PRF_ALGORITHM = 6
    RESULT_CODE = 7
    SESSION_LIFETIME = 8


_EAP_REQUEST, _EAP_SUCCESS = 1, 3
_EAP_PSK = 0x2F
_RANDOM_BYTES = 16


def messages(broute_id: str, lifetime_s: int, rng: random.Random) -> tuple[bytes, ...]:
    """Return the four datagrams of a successful authentication, in order.

    Args:
        broute_id: the Route-B ID of the meter, 32 characters.
        lifetime_s: session lifetime that the last one grants.
        rng: source of nonces and checksums.
    """
    psk_1 = _eap_psk(0x10, b"\0" + rng.randbytes(_RANDOM_BYTES) + b"SM" + broute_id.encode())
    psk_3 = _eap_psk(0x11, b"\x80" + rng.randbytes(53))
    number = struct.Struct(">I").pack
    return (
        _message(
            0,
            _Flags.START,
            _avp(_Avp.PRF_ALGORITHM, number(5)),
            _avp(_Avp.INTEGRITY_ALGORITHM, number(0x0C)),
        ),
        _message(
            1,
            _Flags.MIDDLE,
            _avp(_Avp.NONCE, rng.randbytes(_RANDOM_BYTES)),
            _avp(_Avp.EAP_PAYLOAD, psk_1),
        ),
        _message(2, _Flags.MIDDLE, _avp(_Avp.EAP_PAYLOAD, psk_3)),
        _message(
            3,
            _Flags.COMPLETE,
            _avp(_Avp.RESULT_CODE, number(0)),
            _avp(_Avp.EAP_PAYLOAD, struct.pack(">BBH", _EAP_SUCCESS, 0x11, 4)),
            _avp(_Avp.KEY_ID, number(1)),
            _avp(_Avp.SESSION_LIFETIME, number(lifetime_s)),
            _avp(_Avp.AUTH, rng.randbytes(_RANDOM_BYTES)),
        ),
    )


def _eap_psk(identifier: int, data: bytes) -> bytes:
    return struct.pack(">BBHB", _EAP_REQUEST, identifier, 5 + len(data), _EAP_PSK) + data


def _avp(code: _Avp, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack(">HHHH", code, 0, len(value), 0) + value + padding


def _message(step: int, flags: _Flags, *avps: bytes) -> bytes:
    body = b"".join(avps)
    header = struct.pack(
        ">HHHHII", 0, 16 + len(body), flags, _AUTH_REQUEST, _SESSION_ID, _FIRST_SEQUENCE + step
    )
    return header + body
