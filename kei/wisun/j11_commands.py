"""The requests of a J11 module, and what may go wrong with each."""

import struct
from dataclasses import replace
from itertools import chain
from math import inf

import structlog

from kei.echonet.frame import UDP_PORT, get_request
from kei.wisun import j11
from kei.wisun.commands import (
    JOIN_TIMEOUT_S,
    LEAVE_S,
    PROBE_EPCS,
    TERMINATE_TIMEOUT_S,
    Commands,
    JoinFailure,
    LeaveResult,
    Standing,
)
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import (
    NOT_NOW,
    Beacon,
    Dongle,
    Event,
    EventNumber,
    Fail,
    Hide,
    Inbound,
    Message,
    Ok,
    Reason,
    Response,
)
from kei.wisun.j11 import BrouteState, Command, frame
from kei.wisun.link import CommandRefused, NoReply, OnRaw, Parser
from kei.wisun.network import LOWEST_CHANNEL, Network

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
    shown_sent = staticmethod(j11.shown_sent)

    _address: str | None = None  # of the meter that was sent to last

    @staticmethod
    def shown_received(
        raw: bytes,
        message: Message,  # noqa: ARG004 - the bytes are enough
        hide: Hide,  # noqa: ARG004 - no message has a secret in it
    ) -> str | None:
        """See `Commands.shown_received`."""
        return j11.shown_received(raw)

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
            case Response(Command.VERSION, j11.DONE, version):
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
        self._ensure(Command.CREDENTIALS, j11.credentials(broute_id.reveal(), password.reveal()))

    def scan_s(self, duration: int) -> float:
        """See `Commands.scan_s`."""
        channels = j11.HIGHEST - j11.LOWEST + 1
        return channels * (CHANNEL_S * (1 << duration) + CHANNEL_SWITCH_S)

    def scan(self, duration: int) -> list[Network]:
        """See `Commands.scan`; nothing else can be asked until it is over.

        What was heard of one whose end is not told counts all the same.
        """
        request = j11.scan(duration, self._settings.broute_id.reveal())
        limit_s = self.scan_s(duration) * 1.5 + SCAN_GRACE_S
        try:
            heard = self._exchange(Command.SCAN, request, limit_s)
        except NoReply as late:
            heard = list(late.heard)
            self._end_scan()
        networks = [inbound.network for inbound in heard if isinstance(inbound, Beacon)]
        return sorted(networks, key=lambda network: -network.lqi)

    def _end_scan(self) -> None:
        """Make sure that no scan goes on, which would be in the way."""
        try:
            self._make(Command.STATUS, b"", REPLY_S)
        except CommandRefused as refusal:
            log.debug("scan_goes_on", reason=str(refusal))
            self._reset()
            self._prepare(LOWEST_CHANNEL)

    def join(self, network: Network) -> Network | JoinFailure:
        """See `Commands.join`; whatever the module was doing, this begins from the start."""
        state = self._state()
        if state is BrouteState.AUTHENTICATED:  # a renewal has failed
            if self._authenticate(Command.RENEW_PANA) is None:
                return network
            state = self._state()
        if state is BrouteState.AUTHENTICATED:
            self._command(Command.END_PANA)
        if state is not BrouteState.NOT_STARTED:
            self._command(Command.STOP_BROUTE)
        self._prepare(network.channel)
        found = self._link_up(network)
        if found is None:
            return JoinFailure.SILENT
        self._open_port()
        return self._authenticate(Command.START_PANA) or found

    def _link_up(self, network: Network) -> Network | None:
        """Connect with the network of the channel; return it if it is that meter's."""
        for _ in range(LINK_TRIES):
            try:
                data = self._command(Command.START_BROUTE, timeout_s=NO_BEACON_S)
            except CommandRefused as refusal:
                if refusal.reason is not Reason.NOT_HEARD:
                    raise
                continue
            found = j11.linked(data)
            if found is None or found.mac == network.mac:
                return found
            log.info("another_meter", mac=found.mac)
            return None
        return None

    def _authenticate(self, command: Command) -> JoinFailure | None:
        """Return why PANA fails, if it does; whose meter is silent would go on for minutes."""
        before = self._exchange(command)
        for inbound in chain(before, self._link.receive_for(JOIN_TIMEOUT_S)):
            match inbound:
                case Event(EventNumber.JOINED):
                    return None
                case Event(EventNumber.JOIN_FAILED, _, j11.PANA_REFUSED):
                    return JoinFailure.REFUSED
                case Event(
                    EventNumber.JOIN_FAILED | EventNumber.LINK_LOST | EventNumber.PEER_CLOSED
                ):
                    break
                case Event(EventNumber.RESTARTED):
                    raise NoReply("the dongle has restarted")
        self._reset()
        return JoinFailure.SILENT

    def _open_port(self) -> None:
        self._ensure(Command.OPEN_PORT, UDP_PORT.to_bytes(2, "big"))

    def _ensure(self, command: Command, data: bytes) -> None:
        """Make a request that may have been done before."""
        try:
            self._command(command, data)
        except CommandRefused as refusal:
            if refusal.reason is not Reason.DONE_BEFORE:
                raise

    def leave(self, limit_s: float = LEAVE_S) -> LeaveResult:
        """See `Commands.leave`; the module does not wait for the meter."""
        end = self._clock.monotonic() + limit_s
        try:
            self._command(Command.END_PANA, limit_s=min(limit_s, TERMINATE_TIMEOUT_S))
        except CommandRefused as refusal:
            return LeaveResult.of_refusal(refusal)
        except NoReply:
            return LeaveResult.UNKNOWN
        left_s = min(end - self._clock.monotonic(), STOP_S)
        try:
            self._command(Command.STOP_BROUTE, limit_s=left_s)
        except (CommandRefused, NoReply) as error:
            log.debug("network_not_left", reason=str(error))
        return LeaveResult.CONFIRMED

    def _abandon_join(self) -> None:
        """An authentication that goes on would be in the way of the next start."""
        self._link.send(frame(Command.RESET))

    def find_session(self, network: Network) -> Network | None:
        """See `Commands.find_session`; it does not say by which ID."""
        if self._state() is not BrouteState.AUTHENTICATED:
            return None
        connected = j11.connected(self._command(Command.CONNECTIONS))
        channel = self._command(Command.SHOW_SETTINGS)[2:3]
        if connected is None or channel != bytes((j11.own_channel(network.channel),)):
            return None
        mac, pan_id = connected
        if mac != network.mac:
            return None
        self._open_port()
        return replace(network, pan_id=pan_id)

    def standing(self, network: Network) -> Standing:  # noqa: ARG002 - the state says it
        """See `Commands.standing`."""
        status = self._command(Command.STATUS)
        if status.startswith(j11.FRESH):
            return Standing.RESTARTED
        is_joined = _state_of(status) is BrouteState.AUTHENTICATED
        return Standing.AS_LEFT if is_joined else Standing.ENDED

    def _state(self) -> BrouteState | None:
        return _state_of(self._command(Command.STATUS))

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
                case Fail(_, reason):
                    return reason in NOT_NOW  # it may be, as it was before
                case Ok():
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
        limit_s: float | None = None,
    ) -> bytes:
        """Make a request; return the data of the response. As `_exchange`."""
        *_, response = self._exchange(command, data, timeout_s, limit_s)
        assert isinstance(response, Response), "it ends the reply"
        return response.data

    def _exchange(
        self,
        command: Command,
        data: bytes = b"",
        timeout_s: float = REPLY_S,
        limit_s: float | None = None,
    ) -> list[Inbound]:
        """Make a request; return what came before its response, and that.

        It is made again while the module is busy, for as long as anything may keep it so, and once
        if it was damaged on its way; a question also if nothing has answered it.

        Args:
            command: of the request.
            data: of the request.
            timeout_s: how long the response may take.
            limit_s: how long it may take in all; None for no limit.

        Raises:
            CommandRefused: it is not done.
            NoReply: nothing in time, or the module has restarted.
        """
        again = True
        begun = self._clock.monotonic()
        end = inf if limit_s is None else begun + limit_s
        busy_until = min(begun + BUSY_S, end - BUSY_PAUSE_S)
        while True:
            try:
                return self._make(command, data, min(timeout_s, end - self._clock.monotonic()))
            except CommandRefused as refused:
                if refused.reason is Reason.BUSY and self._clock.monotonic() < busy_until:
                    self._link.drain(BUSY_PAUSE_S, BUSY_PAUSE_S)
                    continue
                if refused.reason is not Reason.DAMAGED or not again:
                    raise
            except NoReply:
                if command not in QUESTIONS or not again:
                    raise
            again = False

    def _make(self, command: Command, data: bytes, timeout_s: float) -> list[Inbound]:
        """Make a request once; as `_exchange`."""

        def verdict(inbound: Inbound) -> bool | Fail:
            match inbound:
                case Response(answered, result) if answered == command:
                    return result == j11.DONE or j11.refusal(result)
                case Fail(command=None):
                    return inbound
            return False

        return self._link.converse(frame(command, data), f"{command:04X}", timeout_s, verdict)


def _state_of(status: bytes) -> BrouteState | None:
    """Return how far the module has come, of the data of the response to `Command.STATUS`."""
    state = status[1] if len(status) > 1 else 0
    return BrouteState(state) if state in BrouteState.__members__.values() else None
