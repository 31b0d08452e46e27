"""The commands of a dongle that speaks SKSTACK-IP, and what may go wrong with each."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

import structlog

from kei.core.clock import Clock
from kei.wisun import skstack
from kei.wisun.commands import (
    DRAIN_LIMIT_S,
    JOIN_TIMEOUT_S,
    LEAVE_S,
    QUIET_S,
    REPLY_TIMEOUT_S,
    TERMINATE_TIMEOUT_S,
    Commands,
    JoinFailure,
    LeaveResult,
    Standing,
    join_result,
)
from kei.wisun.dialects import Dialect, Grammar, recognise
from kei.wisun.inbox import INBOX_MAX
from kei.wisun.interfaces import (
    Dongle,
    Event,
    EventNumber,
    Fail,
    Inbound,
    Info,
    Ok,
    PanField,
    PanStart,
    Register,
    Settings,
    Version,
)
from kei.wisun.link import MISUNDERSTANDINGS, CommandRefused, Link, NoReply, OnRaw, Parser
from kei.wisun.network import CHANNELS, Network
from kei.wisun.skstack import MAX_PAYLOAD_BYTES, command, send_to

log = structlog.stdlib.get_logger("kei.session")

OPTIONAL_TIMEOUT_S = 2.0  # firmware that lacks a command may ignore it
RESET_TIMEOUT_S = 10.0  # takes 1-2 s
CHANNEL_TIME_S = 0.01  # x (2^duration + 1), Skyley API text; ROHM says 0.0096
SCAN_GRACE_S = 5.0  # some firmware never sends EVENT 22
LATE_BEACON_S = 0.6  # EPANDESC was seen up to half a second after EVENT 22
FILLER = b"\r\n" * (MAX_PAYLOAD_BYTES // 2 + 1)  # completes an interrupted SKSENDTO
BINARY_PAYLOAD, ASCII_PAYLOAD = "00", "01"  # WOPT, bit 0
_BEACON_FIELDS = ("Channel", "Pan ID", "Addr", "LQI")  # of EPANDESC; all that kei needs


class SkCommands(Commands):
    """The commands of a dongle that speaks SKSTACK-IP."""

    send_name = "SKSENDTO"
    scan_durations = (4, 5, 6, 7)  # 4.8, 9.2, 18 and 36 s over all channels
    longest_scan = 8  # 72 s; older firmware has no such scan
    shown_sent = staticmethod(skstack.shown_sent)
    shown_received = staticmethod(skstack.shown_received)

    def __init__(self, link: Link, clock: Clock, settings: Settings) -> None:
        super().__init__(link, clock, settings)
        is_ours = settings.dialect is not None and settings.dialect.grammar is Grammar.SKSTACK
        self._preset = settings.dialect if is_ours else None
        self._payload_mode_written = False

    def new_parser(self, on_raw: OnRaw | None) -> Parser:
        """See `Commands.new_parser`."""
        return skstack.Parser(on_raw)

    def recognise(self, timeout_s: float, *, attempt: int) -> bool:
        """See `Commands.recognise`."""
        firmware = self._synchronise(timeout_s, again=attempt > 0)
        if not firmware:
            return False
        product = _version(self._optional("SKAPPVER"))
        self.dongle = Dongle(self._preset or self._recognised(), firmware, product)
        return True

    def mends(self, refusal: CommandRefused) -> bool:
        """See `Commands.mends`: a dialect that was preset is found out after all."""
        if refusal.reason not in MISUNDERSTANDINGS or self._preset is None:
            return False
        self._link.send(b"\r\n")  # ends what it took of a datagram as a line
        self._link.drain(QUIET_S, DRAIN_LIMIT_S)
        dialect = self._recognised()
        if dialect.side == self._preset.side:
            return False
        self._preset = None
        assert self.dongle is not None, "identify comes first"
        self.dongle = replace(self.dongle, dialect=dialect)
        self._tell_quality()
        return True

    def _recognised(self) -> Dialect:
        infos = self._infos()
        if not infos:
            raise NoReply("the dongle's answer to SKINFO has no EINFO line")
        return recognise(dual=infos[0].dual, payload_mode=bool(self._payload_mode()))

    def _synchronise(self, timeout_s: float, *, again: bool) -> str:
        """Return the firmware version: one clean answer, whatever was in the line buffer.

        Empty if there is none.
        """
        self._link.send(FILLER if again else b"\r\n")
        self._link.drain(QUIET_S, DRAIN_LIMIT_S)
        try:
            firmware = _version(self._command("SKVER", timeout_s=timeout_s))
        except (CommandRefused, NoReply):
            return ""
        if firmware:
            self._link.drain(QUIET_S, DRAIN_LIMIT_S)
        return firmware

    def _payload_mode(self) -> str:
        """Return how the dongle sends payloads; empty if it has no choice (Tessera)."""
        reply = self._optional("ROPT")
        return next((line.value or ASCII_PAYLOAD for line in reply if isinstance(line, Ok)), "")

    def _choose_ascii_payload(self) -> None:
        """Have the dongle send payloads as hex digits; tried once a run, whatever comes of it.

        The mode is kept in flash memory which may be written 10,000 times. The parser takes
        binary payloads as well; this is for readable transcripts and for other programs.
        """
        self._payload_mode_written = True
        reply = self._optional("WOPT", ASCII_PAYLOAD)
        log.info("payload_mode_written", mode=ASCII_PAYLOAD, taken=bool(reply))

    def set_up(self) -> None:
        """See `Commands.set_up`."""
        self._command("SKRESET", timeout_s=RESET_TIMEOUT_S)
        may_be_binary = self._dialect.payload_mode and not self._payload_mode_written
        if may_be_binary and self._payload_mode() == BINARY_PAYLOAD:
            self._choose_ascii_payload()
        self._tell_quality()
        password = self._settings.broute_pwd.reveal()
        self._command("SKSETPWD", f"{len(password):X}", password)
        self._command("SKSETRBID", self._settings.broute_id.reveal())

    def _tell_quality(self) -> None:
        """Have the dongle tell the LQI of each datagram, if it can."""
        if self._dialect.lqi_register:
            self._optional("SKSREG", "SA2", "1")

    def scan_s(self, duration: int) -> float:
        """See `Commands.scan_s`."""
        return CHANNELS * CHANNEL_TIME_S * ((1 << duration) + 1)

    def scan(self, duration: int) -> list[Network]:
        """See `Commands.scan`; `duration` is 0..14."""
        side = ["0"] if self._dialect.side else []
        lines = deque(self._command("SKSCAN", "2", "FFFFFFFF", f"{duration:X}", *side), INBOX_MAX)
        deadline = self._clock.monotonic() + self.scan_s(duration) * 1.5 + SCAN_GRACE_S
        while (inbound := self._link.receive(deadline)) is not None:
            if isinstance(inbound, PanStart | PanField):
                lines.append(inbound)
            elif isinstance(inbound, Event) and inbound.number == EventNumber.SCAN_DONE:
                quiet_s = QUIET_S if _networks(lines) else LATE_BEACON_S
                deadline = min(deadline, self._clock.monotonic() + quiet_s)
        return sorted(_networks(lines), key=lambda network: -network.lqi)

    def join(self, network: Network) -> Network | JoinFailure:
        """See `Commands.join`."""
        self._command("SKSREG", "S2", f"{network.channel:02X}")
        self._command("SKSREG", "S3", f"{network.pan_id:04X}")
        reply = self._command("SKJOIN", network.address)
        has_joined = join_result(chain(reply, self._link.receive_for(JOIN_TIMEOUT_S)))
        return network if has_joined else JoinFailure.SILENT

    def leave(self, limit_s: float = LEAVE_S) -> LeaveResult:
        """See `Commands.leave`."""
        end = self._clock.monotonic() + limit_s
        try:
            lines = self._command("SKTERM", timeout_s=min(limit_s, TERMINATE_TIMEOUT_S))
        except CommandRefused as refusal:  # FAIL ER10: no session
            return LeaveResult.of_refusal(refusal)
        except NoReply:
            return LeaveResult.UNKNOWN
        for inbound in chain(lines, self._link.receive_for(end - self._clock.monotonic())):
            match inbound:
                case Event(EventNumber.CLOSED):
                    return LeaveResult.CONFIRMED
                case Event(EventNumber.CLOSE_TIMED_OUT):
                    break
        return LeaveResult.UNCONFIRMED

    def _abandon_join(self) -> None:
        """There is no command for it."""

    def find_session(self, network: Network) -> Network | None:
        """See `Commands.find_session`."""
        is_ours = self.standing(network) is Standing.AS_LEFT and self._has_id()
        return network if is_ours else None

    def standing(self, network: Network) -> Standing:
        """A restart loses channel and PAN ID.

        If it does not say which it has, not even when asked again, it is assumed to have them.
        """
        try:
            infos = self._infos()
        except NoReply:  # a line of it may have been damaged
            self._link.send(b"\r\n")
            self._link.drain(QUIET_S, DRAIN_LIMIT_S)
            infos = []
        infos = infos or self._infos()  # the first OK may be a late one, of something else
        tuned = [(info.channel, info.pan_id) for info in infos]
        is_tuned = not tuned or (network.channel, network.pan_id) in tuned
        return Standing.AS_LEFT if is_tuned else Standing.RESTARTED

    def _has_id(self) -> bool:
        """Return whether the dongle was set up with our ID: register S0A has the end of it.

        If it does not say, it is assumed to have it.
        """
        lines = self._optional("SKSREG", "SA")
        ends = [line.value.upper() for line in lines if isinstance(line, Register)]
        return not ends or self._settings.broute_id.reveal().upper().endswith(tuple(ends))

    def is_limited(self) -> bool:
        """It is assumed to be if it does not say: not every firmware has the register SFB."""
        try:
            lines = self._command("SKSREG", "SFB")
        except CommandRefused:
            return True
        values = [line.value for line in lines if isinstance(line, Register)]
        return not values or any(value.strip("0") for value in values)

    def send_datagram(self, address: str, payload: bytes) -> None:
        """See `Commands.send_datagram`."""
        assert self.dongle is not None, "identify comes first"
        self._link.write(send_to(address, payload, side=self.dongle.dialect.side))

    @property
    def _dialect(self) -> Dialect:
        assert self.dongle is not None, "identify comes first"
        return self.dongle.dialect

    def _infos(self) -> list[Info]:
        return [line for line in self._command("SKINFO") if isinstance(line, Info)]

    def _command(self, *words: str, timeout_s: float = REPLY_TIMEOUT_S) -> list[Inbound]:
        name = " ".join(words[: 2 if words[0] == "SKSREG" else 1])
        return self._link.converse(command(*words), name, timeout_s, _verdict)

    def _optional(self, *words: str) -> list[Inbound]:
        """Send a command that not every firmware has; no lines when it is refused or ignored."""
        try:
            return self._command(*words, timeout_s=OPTIONAL_TIMEOUT_S)
        except CommandRefused:
            return []
        except NoReply:
            self._link.send(b"\r\n")  # a firmware that does not end the line at CR alone
            self._link.drain(QUIET_S, DRAIN_LIMIT_S)
            return []


def _verdict(inbound: Inbound) -> bool | Fail:
    return inbound if isinstance(inbound, Fail) else isinstance(inbound, Ok)


def _networks(lines: Iterable[Inbound]) -> list[Network]:
    """Return the networks of EPANDESC lines; one ends where the next one starts."""
    beacons: list[dict[str, str]] = []
    for line in lines:
        match line:
            case PanStart():
                beacons.append({})
            case PanField(name, value) if beacons:
                beacons[-1][name] = value
    texts = (" ".join(beacon.get(name, "?") for name in _BEACON_FIELDS) for beacon in beacons)
    return [network for text in texts if (network := Network.from_text(text)) is not None]


def _version(lines: Iterable[Inbound]) -> str:
    return next((line.text for line in lines if isinstance(line, Version)), "")
