"""Datagrams of the dongle to the meter."""

from kei.echonet.frame import UDP_PORT
from kei.simulator.air.air_time import AirTime
from kei.simulator.air.meter_link import MeterLink
from kei.simulator.air.meter_radio import MULTICAST
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import COMMAND_S, RESOLVE_S, TRANSMIT_S
from kei.simulator.faults import FaultKind
from kei.simulator.skstack.core import Core, Neighbour, Reply
from kei.simulator.skstack.registers import Reg
from kei.simulator.skstack.session import Session
from kei.simulator.skstack.wire import Event, Sent, ok

_ENCRYPT, _ENCRYPT_IF_POSSIBLE = 1, 2  # security argument of SKSENDTO


class Radio:
    """Transmits datagrams to the meter."""

    def __init__(self, core: Core, session: Session, air_time: AirTime, link: MeterLink) -> None:
        self._core = core
        self._session = session
        self._air_time = air_time
        self._link = link

    def send(
        self,
        now: float,
        address: str,
        port: int,
        security: int,
        payload: bytes,
        kinds: frozenset[FaultKind],
    ) -> Reply:
        """Transmit a datagram and return the command's reply; EVENT lines before it are scheduled.

        Args:
            now: monotonic seconds.
            address: destination, valid.
            port: remote UDP port.
            security: 0 plain, 1 encrypted or not at all, 2 encrypted if possible.
            payload: the data.
            kinds: faults that hit it.
        """
        core, due = self._core, now
        if self._air_time.used_up or (security == _ENCRYPT and not self._session.is_open):
            self._report_sent(now + COMMAND_S * core.timing.latency, address, succeeded=False)
            return Reply(ok())
        reachable = address in {core.meter.address, MULTICAST} and core.in_range()
        if address != MULTICAST and address not in core.neighbours:
            due = self._resolve(due, address, reachable=reachable)
        due += TRANSMIT_S * core.timing.latency
        acknowledged = (reachable or address == MULTICAST) and FaultKind.TXFAIL not in kinds
        self._report_sent(due, address, succeeded=acknowledged)
        self._air_time.spend(now, len(payload))
        encrypted = security in {_ENCRYPT, _ENCRYPT_IF_POSSIBLE} and self._session.is_open
        if encrypted:
            core.registers[Reg.FRAME_COUNTER] = core.registers[Reg.FRAME_COUNTER] + 1 & 0xFFFFFFFF
        if reachable and acknowledged and encrypted and port == UDP_PORT:
            return Reply(ok(), due - now, lambda sent: self._link.request(sent, payload, kinds))
        return Reply(ok(), due - now)

    def _report_sent(self, due: float, address: str, *, succeeded: bool) -> None:
        outcome = Sent.OK if succeeded else Sent.FAILED
        line = self._core.wire.event(Event.SENT, address, outcome)
        self._core.emit_at(due, line, Group.COMMAND)

    def _resolve(self, now: float, address: str, *, reachable: bool) -> float:
        """Solicit an unknown neighbour; return when that is over."""
        core = self._core
        soon = now + COMMAND_S * core.timing.latency
        solicited = core.wire.event(Event.SENT, address, Sent.SOLICITATION_FIRST)
        core.emit_at(soon, solicited, Group.COMMAND)
        due = now + RESOLVE_S * core.timing.latency
        if reachable:
            core.neighbours[address] = Neighbour(core.meter.mac, fixed=False)
            core.emit_at(due, core.wire.event(Event.NEIGHBOUR_FOUND, address), Group.COMMAND)
        return due
