"""The requests of a J11 module, and what may go wrong with each."""

import struct
from collections import deque

import structlog

from kei.echonet.frame import UDP_PORT, get_request
from kei.wisun import j11
from kei.wisun.commands import (
    JOIN_TIMEOUT_S,
    PROBE_EPCS,
    TERMINATE_TIMEOUT_S,
    Commands,
    LeaveResult,
)
from kei.wisun.dialects import DIALECTS
from kei.wisun.inbox import INBOX_MAX
from kei.wisun.interfaces import (
    LOWEST_CHANNEL,
    Beacon,
    Dongle,
    Event,
    EventNumber,
    Fail,
    Inbound,
    Network,
    Ok,
    Response,
)
from kei.wisun.j11 import BrouteState, Command, Result, frame
from kei.wisun.link import CommandRefused, NoReply, OnRaw, Parser

log = structlog.stdlib.get_logger("kei.session")

# The times of 5.21, table 35, and a second; everything that is not there takes two at most.
REPLY_S = 2.0
NO_BEACON_S = 2.6 + 1.0
CHANNEL_S, CHANNEL_SWITCH_S = 0.00964, 0.09  # of a scan: the first x 2^duration, and the second
SCAN_GRACE_S = 2.0
RESET_S = 10.0  # nobody says how long it takes; drivers wait for 5 to 90 s
RESET_ATTEMPT = 2  # the third: a session may be in it, and a request half sent takes a second
BUSY_S = 7.0 + 1.0  # the longest request that others may have made: 1232 bytes to send
BUSY_PAUSE_S = 0.5
STOP_S = 1.0  # to leave the network, which the next start does in any case
BUSY = j11.refusal(Result.BUSY)
DAMAGED = frozenset(map(j11.refusal, j11.DAMAGED))
QUESTIONS = (Command.VERSION, Command.STATUS, Command.CONNECTIONS, Command.SHOW_SETTINGS)
LINK_TRIES = 3  # the first one often fails (field experience)
LINE_END = b"\r\n"  # ends our frame for a dongle that speaks SKSTACK-IP; nothing for this one


class J11Commands(Commands):
    """The commands of a J11 module.

    It loses all settings in a restart, which it tells, and answers one request at a time. What is
    sent before it is authenticated goes out in clear.
    """

    send_name = f"{Command.SEND:04X}"
    scan_durations = (6, 7, 8)  # 9.9, 18.6 and 36 s over all channels
    longest_scan = 9  # 70 s

    _address: str | None = None  # of the meter that was sent to last

    def new_parser(self, on_raw: OnRaw | None) -> Parser:
        """See `Commands.new_parser`."""
        return j11.Parser(on_raw)

    def recognise(self, timeout_s: float, *, attempt: int) -> bool:
        """Ask for the version; whatever comes in this grammar is a J11's.

        One that was here before and has fallen silent is reset, once, which ends what it hangs in.
        """
        was_here = self.dongle is not None
        if was_here and attempt == RESET_ATTEMPT:
            self._link.send(frame(Command.RESET) + LINE_END)
            next(self._link.receive_for(timeout_s), None)
        self._link.send(frame(Command.VERSION) + LINE_END)
        answer_s = REPLY_S if was_here else min(timeout_s, REPLY_S)
        match next(self._link.receive_for(answer_s), None):
            case None:
                return False
            case Response(Command.VERSION, Result.DONE, version):
                self._note(version)
            case _:
                self._note(self._version())
        return True

    def _note(self, version: bytes) -> None:
        _, major, minor, revision = struct.unpack(">HBBI", version[:8].ljust(8, b"\0"))
        self.dongle = Dongle(DIALECTS["J11"], f"{major}.{minor} revision {revision:X}", "")

    def _version(self) -> bytes:
        """Return the version of a module that is busy with what somebody has left it doing.

        A scan or an authentication would be in the way for minutes: only a reset ends it.
        """
        try:
            return self._command(Command.VERSION)
        except (CommandRefused, NoReply) as error:
            log.debug("dongle_busy", reason=str(error))
        self._reset()
        return self._command(Command.VERSION)

    def recognise_anew(self) -> bool:
        """There are no dialects of this grammar."""
        return False

    def set_up(self) -> None:
        """See `Commands.set_up`; any channel will do until the meter's is known.

        One that has just started is taken as it is: a start may take longer than is waited for.
        """
        if not self._is_fresh():
            self._reset()
        self._prepare(LOWEST_CHANNEL)

    def _is_fresh(self) -> bool:
        try:
            return self._command(Command.STATUS).startswith(j11.FRESH)
        except (CommandRefused, NoReply):
            return False

    def _reset(self) -> None:
        self._link.send(frame(Command.RESET))
        for inbound in self._link.receive_for(RESET_S):
            if isinstance(inbound, Event) and inbound.number == EventNumber.RESTARTED:
                return
        raise NoReply(f"the dongle did not start again within {RESET_S:g} s: unplug it")

    def _prepare(self, channel: int) -> None:
        """Give what a restart clears."""
        broute_id, password = self._settings.broute_id, self._settings.broute_pwd
        self._command(Command.SETTINGS, j11.settings(channel))
        given = j11.credentials(broute_id.reveal(), password.reveal())
        self._ensure(Command.CREDENTIALS, given, Result.CREDENTIALS_SET)

    def scan_s(self, duration: int) -> float:
        """See `Commands.scan_s`."""
        channels = j11.HIGHEST - j11.LOWEST + 1
        return channels * (CHANNEL_S * (1 << duration) + CHANNEL_SWITCH_S)

    def scan(self, duration: int) -> list[Network]:
        """See `Commands.scan`; nothing else can be asked until it is over."""
        request = j11.scan(duration, self._settings.broute_id.reveal())
        limit_s = self.scan_s(duration) * 1.5 + SCAN_GRACE_S
        before, _ = self._exchange(Command.SCAN, request, limit_s)
        networks = [inbound.network for inbound in before if isinstance(inbound, Beacon)]
        return sorted(networks, key=lambda network: -network.lqi)

    def join(self, network: Network) -> bool:
        """See `Commands.join`; whatever the module was doing, this begins from the start."""
        state = self._state()
        if state is BrouteState.AUTHENTICATED:  # a renewal has failed
            if self._authenticate(Command.RENEW_PANA):
                return True
            state = self._state()
        if state is BrouteState.AUTHENTICATED:
            self._command(Command.END_PANA)
        if state is not BrouteState.NOT_STARTED:
            self._command(Command.STOP_BROUTE)
        self.was_refused = False
        self._prepare(network.channel)
        if not self._link_up(network):
            return False
        self._open_port()
        return self._authenticate(Command.START_PANA)

    def _link_up(self, network: Network) -> bool:
        """Connect with the network of the channel; return whether it is that meter's."""
        for _ in range(LINK_TRIES):
            try:
                found = self._command(Command.START_BROUTE, timeout_s=NO_BEACON_S)
            except CommandRefused as refusal:
                if refusal.code != j11.refusal(Result.NO_BEACON):
                    raise
                continue
            is_known = found[3:11].hex().upper() == network.mac
            if not is_known:
                log.info("another_meter", mac=found[3:11].hex().upper())
            return is_known
        return False

    def _authenticate(self, command: Command) -> bool:
        """Return whether PANA succeeds; a module whose meter is silent would go on for minutes."""
        self._command(command)
        for inbound in self._link.receive_for(JOIN_TIMEOUT_S):
            match inbound:
                case Event(EventNumber.JOINED):
                    return True
                case Event(EventNumber.JOIN_FAILED, _, j11.PANA_REFUSED):
                    self.was_refused = True
                    return False
                case Event(
                    EventNumber.JOIN_FAILED | EventNumber.LINK_LOST | EventNumber.PEER_CLOSED
                ):
                    break
                case Event(EventNumber.RESTARTED):
                    raise NoReply("the dongle has restarted")
        self._reset()
        return False

    def _open_port(self) -> None:
        self._ensure(Command.OPEN_PORT, UDP_PORT.to_bytes(2, "big"), Result.PORT_OPEN)

    def _ensure(self, command: Command, data: bytes, already: Result) -> None:
        """Make a request that one of the results calls done before."""
        try:
            self._command(command, data)
        except CommandRefused as refusal:
            if refusal.code != j11.refusal(already):
                raise

    def leave(
        self,
        reply_s: float = TERMINATE_TIMEOUT_S,
        meter_s: float = TERMINATE_TIMEOUT_S,  # noqa: ARG002 - the module does not wait for it
    ) -> LeaveResult:
        """See `Commands.leave`."""
        try:
            self._command(Command.END_PANA, timeout_s=reply_s, busy_s=reply_s)
        except (CommandRefused, NoReply):
            return LeaveResult.NO_SESSION
        try:
            self._command(Command.STOP_BROUTE, timeout_s=STOP_S, busy_s=STOP_S)
        except (CommandRefused, NoReply) as error:
            log.debug("network_not_left", reason=str(error))
        return LeaveResult.CONFIRMED

    def _abandon_join(self) -> None:
        """An authentication that goes on would be in the way of the next start."""
        self._link.send(frame(Command.RESET))

    def has_session(self, network: Network) -> bool:
        """See `Commands.has_session`; it does not say by which ID."""
        if not self.is_as_left(network):
            return False
        connected = self._command(Command.CONNECTIONS)
        settings = self._command(Command.SHOW_SETTINGS)
        mac, channel = connected[2:10].hex().upper(), settings[2:3]
        if (mac, channel) != (network.mac, bytes((j11.own_channel(network.channel),))):
            return False
        self._open_port()
        return True

    def is_as_left(self, network: Network) -> bool:  # noqa: ARG002 - the state says it
        """See `Commands.is_as_left`."""
        return self._state() is BrouteState.AUTHENTICATED

    def _state(self) -> BrouteState | None:
        _, state, *_ = self._command(Command.STATUS).ljust(2, b"\0")
        return BrouteState(state) if state in BrouteState.__members__.values() else None

    def is_limited(self) -> bool:
        """Send something, as only a result tells; that is due once a minute at most."""
        if self._address is None or self._state() is not BrouteState.AUTHENTICATED:
            return False
        self._link.begin()
        self.send_datagram(self._address, get_request(0, PROBE_EPCS).encode())
        for inbound in self._link.receive_for(REPLY_S):
            match inbound:
                case Event(EventNumber.LIMIT_ON):
                    return True
                case Ok() | Fail():
                    return False
        raise NoReply(f"the dongle did not answer {self.send_name} within {REPLY_S:g} s")

    def may_send(self) -> bool:
        """The notice of the end of a session may have been damaged."""
        try:
            return self._state() is BrouteState.AUTHENTICATED
        except (CommandRefused, NoReply) as error:
            log.debug("dongle_not_looked_at", reason=str(error))
            return False

    def send_datagram(self, address: str, payload: bytes) -> None:
        """See `Commands.send_datagram`."""
        self._address = address
        self._link.write(j11.send_to(address, payload))

    def _command(
        self,
        command: Command,
        data: bytes = b"",
        *,
        timeout_s: float = REPLY_S,
        busy_s: float = BUSY_S,
    ) -> bytes:
        """Make a request; return the data of the response. As `_exchange`."""
        return self._exchange(command, data, timeout_s, busy_s)[1]

    def _exchange(
        self, command: Command, data: bytes, timeout_s: float, busy_s: float = BUSY_S
    ) -> tuple[list[Inbound], bytes]:
        """Make a request; return what came before its response, and the data of that.

        It is made again while the module is busy, for so long, and once if it was damaged on its
        way; a question also if nothing has answered it.

        Raises:
            CommandRefused: it is not done.
            NoReply: nothing in time, or the module has restarted.
        """
        again = True
        busy_until = self._clock.monotonic() + busy_s
        while True:
            try:
                return self._make(command, data, timeout_s)
            except CommandRefused as refused:
                if refused.code == BUSY and self._clock.monotonic() < busy_until:
                    self._link.drain(BUSY_PAUSE_S, BUSY_PAUSE_S)
                    continue
                if refused.code not in DAMAGED or not again:
                    raise
            except NoReply:
                if command not in QUESTIONS or not again:
                    raise
            again = False

    def _make(self, command: Command, data: bytes, timeout_s: float) -> tuple[list[Inbound], bytes]:
        """Make a request once; as `_exchange`."""
        name = f"{command:04X}"
        self._link.send(frame(command, data))
        before: deque[Inbound] = deque(maxlen=INBOX_MAX)
        for inbound in self._link.receive_for(timeout_s):
            match inbound:
                case Response(answered, Result.DONE, found) if answered == command:
                    return list(before), found
                case Response(answered, result, _) if answered == command:
                    raise CommandRefused(name, j11.refusal(result))
                case Fail(code, None):
                    raise CommandRefused(name, code)
                case Event(EventNumber.RESTARTED):
                    raise NoReply("the dongle has restarted")
            before.append(inbound)
        raise NoReply(f"the dongle did not answer {name} within {timeout_s:g} s")
