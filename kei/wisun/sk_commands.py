"""What the dongle can do, as SKSTACK-IP commands over a `Link`: identify, set up, scan, join, ...

The commands and what may go wrong with each are here; when each is due is decided by the
session's machine. A dongle with another grammar needs another class with these methods.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto
from itertools import chain

import structlog

from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.secret import Secret
from kei.wisun.dialects import Dialect, recognise
from kei.wisun.inbox import INBOX_MAX
from kei.wisun.interfaces import (
    CHANNELS,
    Dongle,
    Event,
    EventNumber,
    Inbound,
    Info,
    Network,
    Ok,
    PanField,
    PanStart,
    Register,
    Version,
)
from kei.wisun.link import REPLY_TIMEOUT_S, CommandRefused, Link, NoReply
from kei.wisun.skstack import MAX_PAYLOAD_BYTES, command, send_to

log = structlog.stdlib.get_logger("kei.session")

# A dongle that a crashed program left in the middle of a scan is deaf until the scan ends.
IDENTIFY_TIMEOUTS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
QUIET_S = 0.15  # ten times the time of a plain command: nothing more is under way
DRAIN_LIMIT_S = 5.0
OPTIONAL_TIMEOUT_S = 2.0  # firmware that lacks a command may ignore it
RESET_TIMEOUT_S = 10.0  # takes 1-2 s
TERMINATE_TIMEOUT_S = 3.0  # EVENT 27 comes at once
UNANSWERED_S = 15.0  # EVENT 28 comes when the meter does not answer; one that is late does harm
CHANNEL_TIME_S = 0.01  # x (2^duration + 1), Skyley API text; ROHM says 0.0096
SCAN_GRACE_S = 5.0  # some firmware never sends EVENT 22
LATE_BEACON_S = 0.6  # EPANDESC was seen up to half a second after EVENT 22
JOIN_TIMEOUT_S = 60.0  # failure is told after 38-41 s, success takes 4-8 s, at most a minute
LEAVE_ON_SHUTDOWN_S = 6.0  # of the 10 s that a stop may take
JOIN_UNDER_WAY_S = 3.0  # so much of them for a join that may still succeed
FILLER = b"\r\n" * (MAX_PAYLOAD_BYTES // 2 + 1)  # completes an interrupted SKSENDTO
BINARY_PAYLOAD, ASCII_PAYLOAD = "00", "01"  # WOPT, bit 0
_BEACON_FIELDS = ("Channel", "Pan ID", "Addr", "LQI")  # of EPANDESC; all that kei needs


class LeaveResult(Enum):
    """How a PANA session was ended."""

    NO_SESSION = auto()
    CONFIRMED = auto()  # the meter knows
    UNCONFIRMED = auto()  # the dongle has ended it, and the meter has not answered


class SkCommands:
    """The commands of a dongle that speaks SKSTACK-IP; for the holder of the priority lock.

    Every method may raise PortLost, and what the link was halted with.

    Args:
        link: to the dongle.
        clock: for deadlines.
        preset: the dialect if the owner chose one; None to recognise it.

    Attributes:
        dongle: what `identify` found; None before that.
        send_name: the name of the command that sends a datagram, for error texts.
    """

    send_name = "SKSENDTO"

    def __init__(self, link: Link, clock: Clock, preset: Dialect | None) -> None:
        self._link = link
        self._clock = clock
        self._preset = preset
        self._payload_mode_written = False
        self.dongle: Dongle | None = None

    def identify(self) -> None:
        """Find out what is on the freshly opened port, whatever state it is in.

        A PANA session that the dongle may have is left alone.

        Raises:
            NoReply: nothing on the port speaks SKSTACK-IP.
        """
        firmware = self._synchronise()
        product = _version(self._optional("SKAPPVER"))
        self.dongle = Dongle(self._preset or self._recognised(), firmware, product)

    def recognise_anew(self) -> bool:
        """Find out the dialect after all, because the dongle does not understand the preset one.

        Returns:
            whether it has another one, which is used from now on.

        Raises:
            CommandRefused, NoReply: the dongle does not say what it is.
        """
        if self._preset is None:
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

    def _synchronise(self) -> str:
        """Return the firmware version: one clean answer, whatever was in the line buffer."""
        noise_before = self._link.noise_lines
        for number, timeout_s in enumerate(IDENTIFY_TIMEOUTS_S):
            self._link.send(FILLER if number else b"\r\n")
            self._link.drain(QUIET_S, DRAIN_LIMIT_S)
            try:
                lines = self._command("SKVER", timeout_s=timeout_s)
            except (CommandRefused, NoReply):
                continue
            if firmware := _version(lines):
                self._link.drain(QUIET_S, DRAIN_LIMIT_S)
                return firmware
        if self._link.noise_lines > noise_before:
            raise NoReply("something else than a Wi-SUN dongle is heard: is it the right port?")
        raise NoReply("no Wi-SUN dongle answers: is it the right port, and not a -J11 model?")

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

    def set_up(self, broute_id: Secret, broute_pwd: Secret) -> None:
        """Reset the dongle, and give it its registers and credentials, which a reset clears.

        Raises:
            CommandRefused, NoReply: the dongle does not take them.
        """
        self._command("SKRESET", timeout_s=RESET_TIMEOUT_S)
        may_be_binary = self._dialect.payload_mode and not self._payload_mode_written
        if may_be_binary and self._payload_mode() == BINARY_PAYLOAD:
            self._choose_ascii_payload()
        self._tell_quality()
        password = broute_pwd.reveal()
        self._command("SKSETPWD", f"{len(password):X}", password)
        self._command("SKSETRBID", broute_id.reveal())

    def _tell_quality(self) -> None:
        """Have the dongle tell the LQI of each datagram, if it can."""
        if self._dialect.lqi_register:
            self._optional("SKSREG", "SA2", "1")

    def scan(self, duration: int) -> list[Network]:
        """Look for meters of our pairing ID on all channels once.

        Args:
            duration: time on each channel, 0..14; each step doubles it.

        Returns:
            the networks found, the best LQI first.

        Raises:
            CommandRefused, NoReply: the dongle does not scan.
        """
        side = ["0"] if self._dialect.side else []
        lines = deque(self._command("SKSCAN", "2", "FFFFFFFF", f"{duration:X}", *side), INBOX_MAX)
        scan_time_s = CHANNELS * CHANNEL_TIME_S * ((1 << duration) + 1)
        deadline = self._clock.monotonic() + scan_time_s * 1.5 + SCAN_GRACE_S
        while (inbound := self._link.receive(deadline)) is not None:
            if isinstance(inbound, PanStart | PanField):
                lines.append(inbound)
            elif isinstance(inbound, Event) and inbound.number == EventNumber.SCAN_DONE:
                quiet_s = QUIET_S if _networks(lines) else LATE_BEACON_S
                deadline = min(deadline, self._clock.monotonic() + quiet_s)
        return sorted(_networks(lines), key=lambda network: -network.lqi)

    def join(self, network: Network) -> bool:
        """Authenticate with the meter (PANA).

        Returns:
            whether the dongle reports a session; False also when it reports nothing for 60 s.

        Raises:
            CommandRefused, NoReply: the dongle does not take the commands.
        """
        self._command("SKSREG", "S2", f"{network.channel:02X}")
        self._command("SKSREG", "S3", f"{network.pan_id:04X}")
        reply = self._command("SKJOIN", network.address)
        return _join_result(chain(reply, self._link.receive_for(JOIN_TIMEOUT_S)))

    def leave(
        self, reply_s: float = TERMINATE_TIMEOUT_S, meter_s: float = TERMINATE_TIMEOUT_S
    ) -> LeaveResult:
        """End the PANA session, if the dongle has one, and wait until the meter knows.

        Args:
            reply_s: how long to wait for the dongle's reply.
            meter_s: how long to wait for the meter's after that.
        """
        try:
            lines = self._command("SKTERM", timeout_s=reply_s)
        except (CommandRefused, NoReply):  # FAIL ER10: no session
            return LeaveResult.NO_SESSION
        for inbound in chain(lines, self._link.receive_for(meter_s)):
            match inbound:
                case Event(EventNumber.CLOSED):
                    return LeaveResult.CONFIRMED
                case Event(EventNumber.CLOSE_TIMED_OUT):
                    break
        return LeaveResult.UNCONFIRMED

    def leave_on_shutdown(self, *, joining: bool) -> bool:
        """End the session after `Link.stop`, within 6 s; return whether one was ended.

        Never raises PortLost: a port that is gone by now does not matter.

        Args:
            joining: a join may be under way, which the dongle cannot cancel; a session that it
                still brings is ended, too.
        """
        end = self._clock.monotonic() + LEAVE_ON_SHUTDOWN_S
        self._link.allow_leaving()
        try:
            if self.leave() is not LeaveResult.NO_SESSION:
                return True
            if not joining:
                return False
            wait_s = min(JOIN_UNDER_WAY_S, end - self._clock.monotonic())
            if not _join_result(self._link.receive_for(wait_s)):
                return False
            left_s = end - self._clock.monotonic()
            return self.leave(left_s / 2, left_s / 2) is not LeaveResult.NO_SESSION
        except KeiError:
            return False

    def is_tuned(self, network: Network) -> bool:
        """Return whether the dongle has the network's channel and PAN ID; a restart loses them.

        If it does not say, not even when asked again, it is assumed to have them.

        Raises:
            CommandRefused, NoReply: the dongle does not answer at all.
        """
        for _ in range(2):  # the first OK may be a late one, of something else
            if infos := self._infos():
                tuned = [(info.channel, info.pan_id) for info in infos]
                return (network.channel, network.pan_id) in tuned
        return True

    def has_id(self, broute_id: Secret) -> bool:
        """Return whether the dongle was set up with this ID: register S0A has the end of it.

        If it does not say, it is assumed to have it.
        """
        lines = self._optional("SKSREG", "SA")
        ends = [line.value.upper() for line in lines if isinstance(line, Register)]
        return not ends or broute_id.reveal().upper().endswith(tuple(ends))

    def is_limited(self) -> bool:
        """Return whether the dongle is at its transmission limit (register SFB).

        If it does not say, because not every firmware has the register, it is assumed to be.

        Raises:
            NoReply: the dongle does not answer at all.
        """
        try:
            lines = self._command("SKSREG", "SFB")
        except CommandRefused:
            return True
        values = [line.value for line in lines if isinstance(line, Register)]
        return not values or any(value.strip("0") for value in values)

    def send_datagram(self, address: str, payload: bytes) -> None:
        """Have the dongle send a UDP datagram, within the conversation that the caller has begun.

        Its reply is left to the caller to receive.
        """
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
        return self._link.command(command(*words), name, timeout_s=timeout_s)

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


def _join_result(lines: Iterable[Inbound]) -> bool:
    """Return whether the join that is under way succeeds; False also if the lines do not say."""
    for line in lines:
        match line:
            case Event(EventNumber.JOINED):
                return True
            case Event(EventNumber.JOIN_FAILED):
                return False
    return False
