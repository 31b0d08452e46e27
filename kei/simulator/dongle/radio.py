"""SKSENDTO and what comes back: datagrams between the dongle and the meter, faults included."""

from collections import deque
from collections.abc import Callable

from kei.echonet.frame import UDP_PORT, Esv
from kei.simulator.dongle.core import Core, Group, Neighbour, Reply
from kei.simulator.dongle.registers import Reg
from kei.simulator.dongle.session import Session
from kei.simulator.dongle.timing import COMMAND_S, NOTICE_DELAY_S, RESOLVE_S, TRANSMIT_S
from kei.simulator.dongle.wire import MULTICAST, Event, Received, Sent, ok
from kei.simulator.faults import FaultKind
from kei.simulator.meter.counters import HALF_HOUR_S
from kei.simulator.meter.meter import Meter

REPEATS = 3  # of an INFC that is not confirmed; what real meters do is not known
_TID, _ESV = slice(2, 4), slice(10, 11)  # of an ECHONET Lite frame
_INFC_RES = bytes((Esv.INFC_RES,))
_HISTORY_BYTES = 200  # an answer as long as this holds a day of half-hours
_ENCRYPT, _ENCRYPT_IF_POSSIBLE = 1, 2  # security argument of SKSENDTO
_DUPLICATE_AFTER_S = 0.05
BUDGET_MS = 360_000  # in any hour
WINDOW_MINUTES = 60  # counted in buckets of a minute
_OVERHEAD_BYTES = 60  # MAC, IPv6, UDP and security around a datagram
_BITS_PER_MS = 100  # 100 kbps
_PREAMBLE_MS = 2
_S_PER_MINUTE = 60


class AirTime:
    """Counts transmit time; says with EVENT 32 that it is used up and with 33 that it is back."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW_MINUTES + 1)

    @property
    def used_up(self) -> bool:
        """Whether sending is forbidden."""
        return bool(self._core.registers[Reg.LIMITED])

    def total_ms(self, now: float) -> int:
        """Return the transmit time of the hour before `now`."""
        oldest = int(now // _S_PER_MINUTE) - WINDOW_MINUTES
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
        return sum(spent for _, spent in self._buckets)

    def clear(self) -> None:
        """Forget what was spent."""
        self._buckets.clear()

    def spend(self, now: float, payload_bytes: int) -> None:
        """Count a datagram; reaching the limit takes effect for the next one."""
        bits = (payload_bytes + _OVERHEAD_BYTES) * 8
        spent = _PREAMBLE_MS + -(-bits // _BITS_PER_MS)
        minute = int(now // _S_PER_MINUTE)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1] = (minute, self._buckets[-1][1] + spent)
        else:
            self._buckets.append((minute, spent))
        if not self.used_up and self.total_ms(now) >= BUDGET_MS:
            self._close()
            self._core.at((minute + 1) * _S_PER_MINUTE, self._look_again, Group.LIMIT)

    def forbid(self, until: float) -> None:
        """Reach the limit by decree, until a monotonic time."""
        if not self.used_up:
            self._close()
            self._core.at(until, self._look_again, Group.LIMIT)

    def _close(self) -> None:
        core = self._core
        core.registers[Reg.LIMITED] = 1
        core.emit(core.event(Event.LIMIT_REACHED, core.address))

    def _look_again(self, now: float) -> None:
        core = self._core
        if self.total_ms(now) >= BUDGET_MS:
            core.at(now + _S_PER_MINUTE, self._look_again, Group.LIMIT)
            return
        core.registers[Reg.LIMITED] = 0
        core.emit(core.event(Event.LIMIT_LIFTED, core.address))


class Radio:
    """Everything between the dongle's antenna and the meter's.

    Args:
        core: the dongle.
        session: its PANA session.
        air_time: its transmission budget.
        meter: who answers.
    """

    def __init__(self, core: Core, session: Session, air_time: AirTime, meter: Meter) -> None:
        self._core = core
        self._session = session
        self._air_time = air_time
        self._meter = meter
        self._unconfirmed: bytes | None = None  # transaction number of the latest INFC

    def send(
        self,
        now: float,
        address: str,
        port: int,
        security: int,
        payload: bytes,
        kinds: frozenset[FaultKind],
    ) -> Reply:
        """Transmit a datagram.

        Args:
            now: monotonic seconds.
            address: destination, valid.
            port: remote UDP port.
            security: 0 plain, 1 encrypted or not at all, 2 encrypted if possible.
            payload: the data.
            kinds: faults that hit it.

        Returns:
            how the command ends; the EVENT lines before that are scheduled.
        """
        core = self._core
        due = now
        if self._forbidden(security):
            self._sent(now + COMMAND_S * core.timing.latency, address, succeeded=False)
            return Reply(ok())
        reachable = address in {core.meter.address, MULTICAST} and core.in_range()
        if address != MULTICAST and address not in core.neighbours:
            due = self._resolve(due, address, reachable=reachable)
        due += TRANSMIT_S * core.timing.latency
        acknowledged = (reachable or address == MULTICAST) and FaultKind.TXFAIL not in kinds
        self._sent(due, address, succeeded=acknowledged)
        self._air_time.spend(now, len(payload))
        encrypted = security in {_ENCRYPT, _ENCRYPT_IF_POSSIBLE} and self._session.open
        if encrypted:
            core.registers[Reg.FRAME_COUNTER] = core.registers[Reg.FRAME_COUNTER] + 1 & 0xFFFFFFFF
        if reachable and acknowledged and encrypted and port == UDP_PORT:
            return Reply(ok(), due - now, lambda sent: self._ask(sent, payload, kinds))
        return Reply(ok(), due - now)

    def announce(self, due: float) -> None:
        """Have the meter send its instance list to all, at a monotonic time."""
        self._core.at(
            due, lambda _now: self._hear(self._meter.instance_list(), MULTICAST), Group.AIR
        )

    def notify(self, now: float, *, confirmed: bool) -> None:
        """Have the meter send its half-hour values now, if it knows of the session.

        Args:
            now: monotonic seconds.
            confirmed: whether it wants them confirmed, and says them again until they are.
        """
        if not (self._session.open and self._session.remembered):
            return
        news = self._meter.half_hour_values(confirmed=confirmed)
        if news is None:
            return
        self._hear(news, self._core.address)
        if confirmed:
            self._unconfirmed = news[_TID]
            self._repeat(now, news, REPEATS)

    def _repeat(self, now: float, news: bytes, left: int) -> None:
        """Say it again until it is confirmed or there is newer news, so many times at most.

        While the session is being renewed it waits.
        """

        def look(due: float) -> None:
            if news[_TID] != self._unconfirmed:
                return
            if self._session.renewing:
                self._repeat(due, news, left)
            elif left and self._session.open and self._session.remembered:
                self._hear(news, self._core.address)
                self._repeat(due, news, left - 1)
            else:
                self._unconfirmed = None

        self._core.at(now + self._core.timing.repeat_s, look, Group.AIR)

    def plan_notice(self, now: float) -> None:
        """Have the half-hour values sent from now on, a little after :00 and :30.

        What was missed while the process was stopped is not made up for.

        Args:
            now: monotonic seconds, the present.
        """
        wall = self._meter.now()
        boundary = (int(wall) // HALF_HOUR_S + 1) * HALF_HOUR_S
        notice_at = boundary + self._core.rng.uniform(*NOTICE_DELAY_S)

        def send(due: float) -> None:
            self.notify(due, confirmed=self._meter.kind.confirmed)
            self.plan_notice(self._core.timeline.now)

        self._core.at(now + (notice_at - wall) / self._core.timing.speed, send, Group.METER)

    def _forbidden(self, security: int) -> bool:
        return self._air_time.used_up or (security == _ENCRYPT and not self._session.open)

    def _sent(self, due: float, address: str, *, succeeded: bool) -> None:
        outcome = Sent.OK if succeeded else Sent.FAILED
        line = self._core.event(Event.SENT, address, outcome)
        self._core.emit_at(due, line, Group.COMMAND)

    def _resolve(self, now: float, address: str, *, reachable: bool) -> float:
        """Solicit the neighbour first; return when that is over."""
        core = self._core
        soon = now + COMMAND_S * core.timing.latency
        solicited = core.event(Event.SENT, address, Sent.SOLICITATION_FIRST)
        core.emit_at(soon, solicited, Group.COMMAND)
        due = now + RESOLVE_S * core.timing.latency
        if reachable:
            core.neighbours[address] = Neighbour(core.meter.mac, fixed=False)
            core.emit_at(due, core.event(Event.NEIGHBOUR_FOUND, address), Group.COMMAND)
        return due

    def _ask(self, sent: float, payload: bytes, kinds: frozenset[FaultKind]) -> None:
        """Hand a request to the meter and schedule what it answers."""
        core = self._core
        if not self._session.remembered:
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
        damage = self._garbled if FaultKind.GARBLE in kinds else None
        for copy in range(2 if FaultKind.DUPLICATE in kinds else 1):
            core.at(
                sent + delay + copy * _DUPLICATE_AFTER_S * core.timing.latency,
                lambda _now: self._hear(reply, core.address, damage),
                Group.AIR,
            )

    def _hear(
        self,
        payload: bytes,
        destination: str,
        damage: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Write a datagram of the meter, if a handle listens on its port."""
        core = self._core
        if UDP_PORT not in core.ports.values():
            return
        datagram = Received(
            core.meter.address,
            destination,
            UDP_PORT,
            core.meter.mac,
            secured=True,
            payload=payload,
        )
        line = core.received(datagram)
        core.emit(damage(line) if damage else line)

    def _garbled(self, line: bytes) -> bytes:
        """Damage a few characters, as two programs on one port or a bad cable do."""
        damaged = bytearray(line)
        for _ in range(self._core.rng.randint(1, 4)):
            damaged[self._core.rng.randrange(len(damaged))] ^= self._core.rng.randrange(1, 256)
        return bytes(damaged)
