"""Datagrams of the host to the meter, through the module's radio."""

import struct
from enum import IntEnum

from kei.echonet.frame import UDP_PORT
from kei.simulator.air.meter_link import MeterLink
from kei.simulator.air.meter_radio import MULTICAST
from kei.simulator.air.timing import TRANSMIT_S
from kei.simulator.faults import FaultKind
from kei.simulator.j11.commands import LINKED, RESERVED_PORTS, Refused, Reply, check_state
from kei.simulator.j11.frames import Result
from kei.simulator.j11.module import Module

_HEAD = struct.Struct(">16sHHH")  # destination, own port, port, size
_MAX_PAYLOAD_BYTES = 1232
_CONFIRMED_BYTES = 5  # of the payload, in the response
_ALL_NODES = bytes.fromhex(MULTICAST.replace(":", ""))


class Transmission(IntEnum):
    """What the radio says: the low half of the byte behind the result of a send."""

    SENT = 0
    LIMITED = 2
    CHANNEL_BUSY = 3
    NO_ACKNOWLEDGEMENT = 5


class Radio:
    """Transmits datagrams.

    Args:
        module: whose.
        link: the meter at the other end.
    """

    def __init__(self, module: Module, link: MeterLink) -> None:
        self._module = module
        self._link = link

    def send(self, data: bytes, kinds: frozenset[FaultKind], now: float) -> Reply:
        """Carry out a request to send; what is sent in clear the meter does not answer.

        Raises:
            Refused: not now, or not with these data.
        """
        module = self._module
        check_state(module.state, LINKED)
        port, payload = self._read(data)
        result = self._transmit(payload, kinds, now)

        def sent(due: float) -> None:
            if result is Transmission.SENT and module.is_open and port == UDP_PORT:
                self._link.request(due, payload, kinds)

        after_s = TRANSMIT_S * module.timing.latency
        return Reply(bytes((result,)) + payload[:_CONFIRMED_BYTES], after_s, sent)

    def _read(self, data: bytes) -> tuple[int, bytes]:
        """Return port and payload.

        Raises:
            Refused: something is wrong with them, or with the rest.
        """
        if len(data) < _HEAD.size:
            raise Refused(Result.SIZE)
        address, own_port, port, size = _HEAD.unpack_from(data)
        payload = data[_HEAD.size :]
        if not 1 <= size <= _MAX_PAYLOAD_BYTES or {own_port, port} & (RESERVED_PORTS | {0}):
            raise Refused(Result.RANGE)
        if len(payload) != size:
            raise Refused(Result.SIZE)
        if address not in (self._module.address, _ALL_NODES):
            raise Refused(Result.NO_SUCH_DEVICE)
        return port, payload

    def _transmit(self, payload: bytes, kinds: frozenset[FaultKind], now: float) -> Transmission:
        air_time = self._module.air_time
        if air_time.used_up:
            return Transmission.LIMITED
        if FaultKind.CCA in kinds:
            return Transmission.CHANNEL_BUSY
        air_time.spend(now, len(payload))
        is_lost = FaultKind.TXFAIL in kinds
        return Transmission.NO_ACKNOWLEDGEMENT if is_lost else Transmission.SENT
