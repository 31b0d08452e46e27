"""Datagrams between dongle and meter, the transmission limit, and the faults that hit them."""

from collections import deque

from kei.echonet.frame import UDP_PORT, Esv
from kei.simulator.air.meter_radio import MULTICAST
from kei.simulator.air.timeline import Group
from kei.simulator.air.timing import COMMAND_S, NOTICE_DELAY_S, RESOLVE_S, TRANSMIT_S
from kei.simulator.dongle.core import Core, Neighbour, Reply
from kei.simulator.dongle.registers import Reg
from kei.simulator.dongle.session import Session
from kei.simulator.dongle.wire import Event, Sent, ok
from kei.simulator.faults import FaultKind
from kei.simulator.meter.meter import Meter
from kei.simulator.meter.registers import HALF_HOUR_S

REPEATS = 3  # of an INFC that is not confirmed; what real meters do is not known
_TID, _ESV = slice(2, 4), slice(10, 11)  # of an ECHONET Lite frame
_INFC_RES = bytes((Esv.INFC_RES,))
_HISTORY_BYTES = 200  # an answer as long as this holds a day of half-hours
_ENCRYPT, _ENCRYPT_IF_POSSIBLE = 1, 2  # security argument of SKSENDTO
_DUPLICATE_AFTER_S = 0.05
BUDGET_MS = 360_000  # of transmission in any hour (ARIB STD-T108)
WINDOW_MINUTES = 60  # counted in buckets of a minute
_OVERHEAD_BYTES = 60  # MAC, IPv6, UDP and security around a datagram
_BITS_PER_MS = 100  # 100 kbps
_PREAMBLE_MS = 2
_S_PER_MINUTE = 60


class AirTime:
    """The transmission limit of ARIB STD-T108: EVENT 32 when it is reached, 33 when it is over."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW_MINUTES + 1)

    @property
    def used_up(self) -> bool:
        """Whether nothing may be sent."""
        return bool(self._core.registers[Reg.LIMITED])

    def total_ms(self, now: float) -> int:
        """Return the transmit time of the hour before `now`."""
        oldest = int(now // _S_PER_MINUTE) - WINDOW_MINUTES
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
        return sum(spent for _, spent in self._buckets)

    def clear(self) -> None:
        """Drop what was counted."""
        self._buckets.clear()

    def spend(self, now: float, payload_bytes: int) -> None:
        """Count a datagram; a limit that it reaches holds for the next one."""
        bits = (payload_bytes + _OVERHEAD_BYTES) * 8
        spent = _PREAMBLE_MS + -(-bits // _BITS_PER_MS)
        minute = int(now // _S_PER_MINUTE)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1] = (minute, self._buckets[-1][1] + spent)
        else:
            self._buckets.append((minute, spent))
        if not self.used_up and self.total_ms(now) >= BUDGET_MS:
            self._close()
            self._core.timeline.at((minute + 1) * _S_PER_MINUTE, self._check_again, Group.LIMIT)

    def forbid(self, until: float) -> None:
        """Set the limit until a monotonic time, as if it had been reached."""
        if not self.used_up:
            self._close()
            self._core.timeline.at(until, self._check_again, Group.LIMIT)

    def _close(self) -> None:
        core = self._core
        core.registers[Reg.LIMITED] = 1
        core.emit(core.wire.event(Event.LIMIT_REACHED, core.address))

    def _check_again(self, now: float) -> None:
        core = self._core
        if self.total_ms(now) >= BUDGET_MS:
            core.timeline.at(now + _S_PER_MINUTE, self._check_again, Group.LIMIT)
            return
        core.registers[Reg.LIMITED] = 0
        core.emit(core.wire.event(Event.LIMIT_LIFTED, core.address))


class Radio:
    """Transmits datagrams to the meter, and delivers its answers and notifications."""

    def __init__(self, core: Core, session: Session, air_time: AirTime, meter: Meter) -> None:
        self._core = core
        self._session = session
        self._air_time = air_time
        self._meter = meter
        self._unconfirmed: bytes | None = None  # TID of the latest INFC

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
            return Reply(ok(), due - now, lambda sent: self._request(sent, payload, kinds))
        return Reply(ok(), due - now)

    def notify(self, now: float, *, confirmed: bool) -> None:
        """Have the meter send its half-hour values at `now`, if there is a session.

        If they are to be confirmed (INFC), it repeats them until they are.
        """
        if not (self._session.is_open and self._session.known_to_meter):
            return
        values = self._meter.half_hour_values(confirmed=confirmed)
        if values is None:
            return
        self._core.deliver(values, self._core.address)
        if confirmed:
            self._unconfirmed = values[_TID]
            self._repeat(now, values, REPEATS)

    def _repeat(self, now: float, values: bytes, left: int) -> None:
        """Schedule the next repetition of an INFC, `left` of them at most.

        They end with its confirmation or a newer one, and wait while the session is renewed.
        """

        def repeat(due: float) -> None:
            if values[_TID] != self._unconfirmed:
                return
            if self._session.is_renewing:
                self._repeat(due, values, left)
            elif left and self._session.is_open and self._session.known_to_meter:
                self._core.deliver(values, self._core.address)
                self._repeat(due, values, left - 1)
            else:
                self._unconfirmed = None

        self._core.timeline.at(now + self._core.timing.repeat_s, repeat, Group.AIR)

    def schedule_notification(self, now: float) -> None:
        """Schedule the next half-hour values, a little after :00 or :30 of the meter's clock.

        Those missed while the process was stopped are left out.
        """
        wall = self._meter.now()
        boundary = (int(wall) // HALF_HOUR_S + 1) * HALF_HOUR_S
        send_at = boundary + self._core.rng.uniform(*NOTICE_DELAY_S)

        def send(due: float) -> None:
            self.notify(due, confirmed=self._meter.kind.confirmed)
            self.schedule_notification(self._core.timeline.now)

        self._core.timeline.at(now + (send_at - wall) / self._core.timing.speed, send, Group.METER)

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

    def _request(self, sent: float, payload: bytes, kinds: frozenset[FaultKind]) -> None:
        """Pass a request to the meter and schedule its answer."""
        core = self._core
        if not self._session.known_to_meter:
            return
        if payload[_ESV] == _INFC_RES and payload[_TID] == self._unconfirmed:
            self._unconfirmed = None
        answer = self._meter.respond(payload, refuse=FaultKind.SNA in kinds)
        if answer is None or FaultKind.DROP in kinds:
            return
        wrong_tid = answer[:2] + bytes((answer[2] ^ 0x80, answer[3])) + answer[4:]
        reply = wrong_tid if FaultKind.WRONG_TID in kinds else answer
        delay = core.timing.answer(core.rng, history=len(reply) >= _HISTORY_BYTES)
        delay = max(0.0, delay - TRANSMIT_S * core.timing.latency)
        if FaultKind.LATE in kinds:
            delay = core.rng.uniform(*core.timing.late_s)
        damage = self._garbled if FaultKind.GARBLE in kinds else bytes
        for copy in range(2 if FaultKind.DUPLICATE in kinds else 1):
            core.timeline.at(
                sent + delay + copy * _DUPLICATE_AFTER_S * core.timing.latency,
                lambda _now: core.deliver(reply, core.address, damage),
                Group.AIR,
            )

    def _garbled(self, line: bytes) -> bytes:
        """Return a line with a few characters damaged, as by a bad cable or a second program."""
        damaged = bytearray(line)
        for _ in range(self._core.rng.randint(1, 4)):
            damaged[self._core.rng.randrange(len(damaged))] ^= self._core.rng.randrange(1, 256)
        return bytes(damaged)
