"""Codec of the ECHONET Lite frame, format 1 (ECHONET Lite specification, part 2, chapter 3).

Bytes to frozen objects and back, without I/O.
"""

from dataclasses import dataclass
from enum import IntEnum

from kei.core.errors import Malformed

EHD1 = 0x10  # ECHONET Lite
EHD2_FORMAT_1 = 0x81
MIN_FRAME_BYTES = 12  # header to OPC; a frame without properties is legal, if useless
UDP_PORT = 3610  # "0E1A" on the dongle

METER = 0x028801  # low-voltage smart electric energy meter, instance 1
CONTROLLER = 0x05FF01  # kei's own object
NODE_PROFILE = 0x0EF001


class Esv(IntEnum):
    """ECHONET Lite services (part 2, table 3-9)."""

    SETI_SNA = 0x50
    SETC_SNA = 0x51
    GET_SNA = 0x52
    INF_SNA = 0x53
    SETGET_SNA = 0x5E
    SETI = 0x60
    SETC = 0x61
    GET = 0x62
    INF_REQ = 0x63
    SETGET = 0x6E
    SET_RES = 0x71
    GET_RES = 0x72
    INF = 0x73
    INFC = 0x74
    INFC_RES = 0x7A
    SETGET_RES = 0x7E


_TWO_LISTS = frozenset({Esv.SETGET, Esv.SETGET_RES, Esv.SETGET_SNA})


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a frame: its code (EPC, 0x80..0xFF) and its data (EDT, 0..255 bytes)."""

    epc: int
    edt: bytes = b""


@dataclass(frozen=True, slots=True)
class Frame:
    """An ECHONET Lite message.

    Attributes:
        tid: transaction number, 0..0xFFFF; an answer carries the one of its request.
        seoj: the sending object, three bytes as a number (`METER`).
        deoj: the receiving object.
        esv: the service.
        properties: in the order of the wire; the Set list of the SetGet services.
        get_properties: the second list, of the SetGet services only.
    """

    tid: int
    seoj: int
    deoj: int
    esv: Esv
    properties: tuple[Property, ...]
    get_properties: tuple[Property, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes of the UDP datagram.

        Raises:
            ValueError: a number does not fit its field.
        """
        out = bytearray((EHD1, EHD2_FORMAT_1))
        two_lists = (self.properties, self.get_properties)
        try:
            out += self.tid.to_bytes(2, "big")
            out += self.seoj.to_bytes(3, "big")
            out += self.deoj.to_bytes(3, "big")
            out.append(self.esv)
            for properties in two_lists if self.esv in _TWO_LISTS else two_lists[:1]:
                out.append(len(properties))
                for item in properties:
                    out += bytes((item.epc, len(item.edt))) + item.edt
        except (OverflowError, ValueError) as error:
            raise ValueError(f"not encodable: {error}") from error
        return bytes(out)


def decode(data: bytes) -> Frame:
    """Read a UDP datagram of any bytes.

    Returns:
        the message; bytes behind its last property are ignored, as other nodes may pad.

    Raises:
        Malformed: not ECHONET Lite format 1, an unknown service, or shorter than it says.
    """
    if len(data) < MIN_FRAME_BYTES:
        raise Malformed(f"frame of {len(data)} bytes is too short")
    if data[0] != EHD1 or data[1] != EHD2_FORMAT_1:
        raise Malformed(f"not an ECHONET Lite format 1 frame (header {data[:2].hex()})")
    try:
        esv = Esv(data[10])
    except ValueError:
        raise Malformed(f"unknown service (ESV {data[10]:02X})") from None
    properties, end = _decode_list(data, 11)
    get_properties: tuple[Property, ...] = ()
    if esv in _TWO_LISTS:
        get_properties, end = _decode_list(data, end)
    return Frame(
        tid=int.from_bytes(data[2:4], "big"),
        seoj=int.from_bytes(data[4:7], "big"),
        deoj=int.from_bytes(data[7:10], "big"),
        esv=esv,
        properties=properties,
        get_properties=get_properties,
    )


def _decode_list(data: bytes, start: int) -> tuple[tuple[Property, ...], int]:
    """Return (properties, position behind them); a list cut short is an error."""
    if start >= len(data):
        raise Malformed("frame ends before its property count")
    position = start + 1
    found = []
    for _ in range(data[start]):
        if position + 2 > len(data):
            raise Malformed("frame ends within a property header")
        epc, pdc = data[position], data[position + 1]
        position += 2
        if position + pdc > len(data):
            raise Malformed(f"frame ends within the data of EPC {epc:02X}")
        found.append(Property(epc, data[position : position + pdc]))
        position += pdc
    return tuple(found), position


def get_request(tid: int, epcs: tuple[int, ...]) -> Frame:
    """Return the Get request of the controller for these properties of the meter."""
    return Frame(tid, CONTROLLER, METER, Esv.GET, tuple(map(Property, epcs)))


def set_request(tid: int, item: Property) -> Frame:
    """Return the request of the controller to set a property of the meter, and to confirm it."""
    return Frame(tid, CONTROLLER, METER, Esv.SETC, (item,))


def property_map(edt: bytes) -> frozenset[int]:
    """Read a property map (EPC 9D, 9E, 9F; part 2, appendix 1).

    Up to 15 properties are listed; 16 or more are a bitmap whose byte is the low half of
    the EPC and whose bit is the high half less 8.

    Raises:
        Malformed: the length does not fit the count.
    """
    if not edt:
        raise Malformed("empty property map")
    count = edt[0]
    if count < 16:
        if len(edt) < 1 + count:
            raise Malformed(f"property map of {len(edt)} bytes for {count} properties")
        return frozenset(edt[1 : 1 + count])
    if len(edt) < 17:
        raise Malformed(f"property map of {len(edt)} bytes for {count} properties")
    return frozenset(
        ((bit + 8) << 4) | low for low in range(16) for bit in range(8) if edt[1 + low] >> bit & 1
    )


def encode_property_map(epcs: frozenset[int]) -> bytes:
    """Return the property map (EPC 9D, 9E, 9F) that `property_map` reads."""
    if len(epcs) < 16:
        return bytes((len(epcs), *sorted(epcs)))
    bitmap = bytearray(16)
    for epc in epcs:
        bitmap[epc & 0x0F] |= 1 << ((epc >> 4) - 8)
    return bytes((len(epcs), *bitmap))
