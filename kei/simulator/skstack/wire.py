"""The lines that the dongle writes, in the dialect of its model."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from kei.simulator.air.meter_radio import MeterRadio
from kei.simulator.skstack.models import DongleModel

CRLF = b"\r\n"
CHANNELS = range(33, 61)  # S02 = 0x21..0x3C; bit 0 of a scan mask is channel 33


class Fail(StrEnum):
    """Why a command is refused (SKSTACK-IP command reference, error codes)."""

    UNKNOWN = "ER04"
    COUNT = "ER05"  # number of arguments
    RANGE = "ER06"  # format or range of an argument
    INPUT = "ER09"
    FAILED = "ER10"  # understood, but not possible now


class Refused(Exception):
    """A command ends with FAIL instead of OK."""

    def __init__(self, code: Fail) -> None:
        super().__init__(code)
        self.code = code


class Event(IntEnum):
    """Numbers of EVENT lines."""

    NEIGHBOUR_FOUND = 0x02
    ENERGY_SCAN_DONE = 0x1F
    BEACON = 0x20
    SENT = 0x21
    SCAN_DONE = 0x22
    JOIN_FAILED = 0x24
    JOINED = 0x25
    ENDED_BY_METER = 0x26
    LEFT = 0x27
    LEFT_UNANSWERED = 0x28
    EXPIRED = 0x29
    LIMIT_REACHED = 0x32
    LIMIT_LIFTED = 0x33


class Sent(IntEnum):
    """The parameter of EVENT 21."""

    OK = 0x00
    FAILED = 0x01
    SOLICITATION_FIRST = 0x02


@dataclass(frozen=True, slots=True)
class Received:
    """A UDP datagram that the dongle receives."""

    source: str
    destination: str
    port: int
    mac: int
    secured: bool
    payload: bytes


def ok(*lines: str) -> bytes:
    """Return data lines and the OK behind them."""
    return "".join(f"{line}\r\n" for line in (*lines, "OK")).encode("latin-1")


def fail(code: Fail) -> bytes:
    """Return a refusal."""
    return f"FAIL {code}\r\n".encode("latin-1")


class Wire:
    """Formats the asynchronous lines of one model."""

    def __init__(self, model: DongleModel) -> None:
        self.model = model

    def event(self, number: Event, address: str, parameter: int | None = None) -> bytes:
        """Return an EVENT line; the side comes before the parameter."""
        side = " 0" if self.model.dual else ""
        tail = "" if parameter is None else f" {parameter:02X}"
        return f"EVENT {number:02X} {address}{side}{tail}\r\n".encode("latin-1")

    def received(self, datagram: Received, *, lqi: int | None, binary: bool) -> bytes:
        """Return an ERXUDP line.

        Args:
            datagram: what came.
            lqi: written between MAC address and security where it is given.
            binary: raw data instead of hexadecimal; may hold any byte.
        """
        port = f"{datagram.port:04X}"
        quality = "" if lqi is None else f" {lqi:02X}"
        side = " 0" if self.model.dual else ""
        size = len(datagram.payload)
        head = (
            f"ERXUDP {datagram.source} {datagram.destination} {port} {port} {datagram.mac:016X}"
            f"{quality} {datagram.secured:d}{side} {size:04X} "
        )
        if binary:
            return head.encode("latin-1") + datagram.payload + CRLF
        return f"{head}{datagram.payload.hex().upper()}\r\n".encode("latin-1")

    def beacon(self, own: str, meter: MeterRadio, *, with_pairing_id: bool) -> bytes:
        """Return the EVENT 20 and EPANDESC block of the meter's beacon."""
        rows = [
            "EPANDESC",
            f"  Channel:{meter.channel:02X}",
            "  Channel Page:09",
            f"  Pan ID:{meter.pan_id:04X}",
            f"  Addr:{meter.mac:016X}",
            f"  LQI:{meter.lqi:02X}",
        ]
        if self.model.dual:
            rows.append("  Side:0")
        if with_pairing_id:
            rows.append(f"  PairID:{meter.pairing_id}")
        block = "".join(f"{row}\r\n" for row in rows).encode("latin-1")
        return self.event(Event.BEACON, own) + block

    def energy(self, own: str, levels: dict[int, int]) -> bytes:
        """Return the EVENT 1F and EEDSCAN of an energy scan, levels by channel."""
        pairs = " ".join(f"{channel:02X} {level:02X}" for channel, level in levels.items())
        side = "0 " if self.model.dual else ""
        blank = "\r\n" if self.model.tcp_remnants else ""
        text = f"EEDSCAN\r\n{side}{pairs}\r\n{blank}"
        return self.event(Event.ENERGY_SCAN_DONE, own) + text.encode("latin-1")
