"""The steps on the way to the meter, each over a `Link`: identify, set up, scan, join, leave.

They know the commands and what may go wrong with each, but not when to take which step: that
is the session's table.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain

import structlog

from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.core.secret import Secret
from kei.wisun.dialects import Dialect, recognise
from kei.wisun.link import CommandRefused, Heard, Link, NoReply
from kei.wisun.skstack import (
    MAX_PAYLOAD_BYTES,
    Event,
    EventNumber,
    Info,
    Ok,
    PanField,
    PanStart,
    Register,
    Version,
    command,
    link_local,
    product_command,
)

log = structlog.stdlib.get_logger("kei.session")

# A dongle that a crashed program left in the middle of a scan is deaf until the scan ends.
IDENTIFY_TIMEOUTS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
QUIET_S = 0.15  # ten times the time of a plain command: nothing more is under way
SETTLE_LIMIT_S = 5.0
RESET_TIMEOUT_S = 10.0  # takes 1-2 s
TERMINATE_TIMEOUT_S = 3.0  # EVENT 27 comes at once
UNANSWERED_S = 15.0  # EVENT 28 comes when the meter does not answer; one that is late does harm
LOWEST_CHANNEL, CHANNELS = 33, 28  # 33 to 60; register S2 holds the number itself
CHANNEL_TIME_S = 0.01  # x (2^duration + 1), Skyley API text; ROHM says 0.0096
SCAN_GRACE_S = 5.0  # some firmware never sends EVENT 22
LATE_BEACON_S = 0.6  # EPANDESC was seen up to half a second after EVENT 22
JOIN_TIMEOUT_S = 60.0  # failure is told after 38-41 s, success takes 4-8 s, at most a minute
LAST_LEAVE_S = 6.0  # of the 10 s that a stop may take
JOIN_UNDER_WAY_S = 3.0  # so much of them for a join that may still succeed
FILLER = b"\r\n" * (MAX_PAYLOAD_BYTES // 2 + 1)  # completes an interrupted SKSENDTO


BINARY_PAYLOAD, ASCII_PAYLOAD = "00", "01"  # WOPT, bit 0

_BEACON_FIELDS = ("Channel", "Pan ID", "Addr", "LQI")  # of EPANDESC; all that kei needs


@dataclass(frozen=True, slots=True)
class Dongle:
    """What is on the port: how to speak to it, and what it says of itself."""

    dialect: Dialect
    firmware: str
    product: str


@dataclass(frozen=True, slots=True)
class Network:
    """A meter's network as a scan found it.

    Attributes:
        channel: 33..60 (register S2).
        pan_id: 0..0xFFFF (register S3).
        mac: the meter's 64-bit address, 16 hex digits.
        lqi: link quality of its beacon, 0..255.
    """

    channel: int
    pan_id: int
    mac: str
    lqi: int

    @property
    def address(self) -> str:
        """The meter's IPv6 link-local address."""
        return link_local(self.mac)

    def to_text(self) -> str:
        """Return the network as one line that `from_text` reads."""
        return f"{self.channel:02X} {self.pan_id:04X} {self.mac} {self.lqi:02X}"

    @staticmethod
    def from_text(text: str) -> "Network | None":
        """Read what `to_text` made; None if it is damaged."""
        return _network(dict(zip(_BEACON_FIELDS, text.split(), strict=False)))


class Farewell(Enum):
    """How the end of a PANA session went."""

    NO_SESSION = auto()
    CONFIRMED = auto()  # the meter knows
    UNCONFIRMED = auto()  # the dongle has ended it, and the meter has not said a word


@dataclass(frozen=True, slots=True)
class Identified:
    """What `identify` found.

    Attributes:
        dongle: what is on the port.
        farewell: how the PANA session ended that it may still have held.
    """

    dongle: Dongle
    farewell: Farewell


def identify(link: Link, preset: Dialect | None, may_write_flash: Callable[[], bool]) -> Identified:
    """Find out what is on the port and reset it.

    Args:
        link: over the freshly opened port, whatever state the dongle is in.
        preset: the dialect if the owner chose one, else it is recognised.
        may_write_flash: is asked before the payload mode is changed, where it differs.

    Raises:
        NoReply: nothing on the port speaks SKSTACK-IP.
    """
    firmware = _synchronise(link)
    farewell = leave(link)
    link.command(command("SKRESET"), "SKRESET", timeout_s=RESET_TIMEOUT_S)
    product = _version(_optional(link, command("SKAPPVER"), "SKAPPVER"))
    dialect, mode = preset, ""
    if dialect is None:
        infos = _infos(link)
        if not infos:
            raise NoReply("the dongle's answer to SKINFO has no EINFO line")
        mode = _payload_mode(link)
        dialect = recognise(dual=infos[0].dual, payload_mode=bool(mode))
    elif dialect.payload_mode:
        mode = _payload_mode(link)
    if mode == BINARY_PAYLOAD and may_write_flash():
        _choose_ascii(link)
    return Identified(Dongle(dialect, firmware, product), farewell)


def is_tuned(link: Link, network: Network) -> bool:
    """Tell whether the dongle has the network that it was given; a restart loses it.

    Where it does not say, not even when it is asked again, it is believed to have it.

    Raises:
        CommandRefused, NoReply: the dongle does not answer at all.
    """
    for _ in range(2):  # the first OK may be a late one, of something else
        if infos := _infos(link):
            tuned = [(info.channel, info.pan_id) for info in infos]
            return (network.channel, network.pan_id) in tuned
    return True


def is_limited(link: Link) -> bool:
    """Tell whether the dongle keeps silent because of its transmission limit (register SFB).

    Where it does not say, because not every firmware has the register, it is believed to.

    Raises:
        NoReply: the dongle does not answer at all.
    """
    try:
        lines = link.command(command("SKSREG", "SFB"), "SKSREG SFB")
    except CommandRefused:
        return True
    values = [line.value for line in lines if isinstance(line, Register)]
    return not values or any(value.strip("0") for value in values)


def _infos(link: Link) -> list[Info]:
    return [line for line in link.command(command("SKINFO"), "SKINFO") if isinstance(line, Info)]


def _payload_mode(link: Link) -> str:
    """Return how the dongle sends payloads; nothing if it has no choice (Tessera)."""
    reply = _optional(link, product_command("ROPT"), "ROPT")
    return next((line.value or ASCII_PAYLOAD for line in reply if isinstance(line, Ok)), "")


def _choose_ascii(link: Link) -> None:
    """Have the dongle send payloads as hex digits.

    That is kept in flash memory which may be written 10,000 times. The parser takes binary
    payloads as well; this is for readable transcripts and for other programs.
    """
    reply = _optional(link, product_command("WOPT", ASCII_PAYLOAD), "WOPT")
    log.info("payload_mode_written", mode=ASCII_PAYLOAD, taken=bool(reply))


def _version(lines: Iterable[Heard]) -> str:
    return next((line.text for line in lines if isinstance(line, Version)), "")


def _synchronise(link: Link) -> str:
    """Get one clean answer to SKVER, whatever was left in the dongle's line buffer."""
    noise_before = link.noise_lines
    for number, timeout_s in enumerate(IDENTIFY_TIMEOUTS_S):
        link.say(FILLER if number else b"\r\n")
        link.settle(QUIET_S, SETTLE_LIMIT_S)
        try:
            lines = link.command(command("SKVER"), "SKVER", timeout_s=timeout_s)
        except (CommandRefused, NoReply):
            continue
        if firmware := _version(lines):
            link.settle(QUIET_S, SETTLE_LIMIT_S)
            return firmware
    if link.noise_lines > noise_before:
        raise NoReply("something else than a Wi-SUN dongle is heard: is it the right port?")
    raise NoReply("no Wi-SUN dongle answers: is it the right port, and not a -J11 model?")


def _optional(link: Link, data: bytes, what: str) -> list[Heard]:
    """Send a command that not every firmware has; no lines when it is refused or ignored."""
    try:
        return link.command(data, what, timeout_s=2.0)
    except CommandRefused:
        return []
    except NoReply:
        link.say(b"\r\n")  # a firmware that does not end the line at CR alone
        link.settle(QUIET_S, SETTLE_LIMIT_S)
        return []


def set_up(link: Link, dialect: Dialect, broute_id: Secret, broute_pwd: Secret) -> None:
    """Hand the dongle its registers and credentials; needed after every reset.

    Raises:
        CommandRefused, NoReply: the dongle does not take them.
    """
    if dialect.lqi_register:
        _optional(link, command("SKSREG", "SA2", "1"), "SKSREG SA2")
    password = broute_pwd.reveal()
    link.command(command("SKSETPWD", f"{len(password):X}", password), "SKSETPWD")
    link.command(command("SKSETRBID", broute_id.reveal()), "SKSETRBID")


def scan_time_s(duration: int) -> float:
    """Return how long a scan of all channels takes for a duration of 0..14."""
    return CHANNELS * CHANNEL_TIME_S * ((1 << duration) + 1)


def scan(link: Link, clock: Clock, dialect: Dialect, duration: int) -> list[Network]:
    """Look for meters of our pairing ID on all channels once.

    Args:
        link: to a dongle that has its credentials.
        clock: for deadlines.
        dialect: of the dongle.
        duration: time on each channel, 0..14; each step doubles it.

    Returns:
        what answered, the best LQI first; empty if nothing did.

    Raises:
        CommandRefused, NoReply: the dongle does not scan.
    """
    words = ["SKSCAN", "2", "FFFFFFFF", f"{duration:X}"]
    found = _Beacons()
    for line in link.command(command(*words, *(["0"] if dialect.side else [])), "SKSCAN"):
        found.take(line)
    deadline = clock.monotonic() + scan_time_s(duration) * 1.5 + SCAN_GRACE_S
    while (heard := link.next(deadline)) is not None:
        found.take(heard)
        if isinstance(heard, Event) and heard.number == EventNumber.SCAN_DONE:
            quiet = QUIET_S if found.networks() else LATE_BEACON_S
            deadline = min(deadline, clock.monotonic() + quiet)
    return sorted(found.networks(), key=lambda network: -network.lqi)


class _Beacons:
    """Collects the indented lines of EPANDESC; ends a network where the next one starts."""

    def __init__(self) -> None:
        self._fields: list[dict[str, str]] = []

    def take(self, heard: Heard) -> None:
        match heard:
            case PanStart():
                self._fields.append({})
            case PanField(name, value) if self._fields:
                self._fields[-1][name] = value

    def networks(self) -> list[Network]:
        found = (_network(fields) for fields in self._fields)
        return [network for network in found if network is not None]


def _network(fields: dict[str, str]) -> Network | None:
    """Return the network of a beacon, or None if a line of it is damaged or missing."""
    try:
        channel, pan_id, mac, lqi = (int(fields[name], 16) for name in _BEACON_FIELDS)
    except (KeyError, ValueError):
        return None
    if not (LOWEST_CHANNEL <= channel < LOWEST_CHANNEL + CHANNELS):
        return None
    if pan_id > 0xFFFF or mac >= 1 << 64 or lqi > 0xFF:
        return None
    return Network(channel, pan_id, f"{mac:016X}", lqi)


def join(link: Link, network: Network) -> bool:
    """Authenticate with the meter (PANA).

    Returns:
        whether the dongle reports a session; False also when it reports nothing for 60 s.

    Raises:
        CommandRefused, NoReply: the dongle does not take the commands.
    """
    link.command(command("SKSREG", "S2", f"{network.channel:02X}"), "SKSREG S2")
    link.command(command("SKSREG", "S3", f"{network.pan_id:04X}"), "SKSREG S3")
    for early in link.command(command("SKJOIN", network.address), "SKJOIN"):
        if (verdict := _verdict(early)) is not None:
            return verdict
    for heard in link.heard(JOIN_TIMEOUT_S):
        if (verdict := _verdict(heard)) is not None:
            return verdict
    return False


def _verdict(heard: Heard) -> bool | None:
    match heard:
        case Event(EventNumber.JOINED):
            return True
        case Event(EventNumber.JOIN_FAILED):
            return False
    return None


def leave(
    link: Link,
    reply_s: float = TERMINATE_TIMEOUT_S,
    meter_s: float = TERMINATE_TIMEOUT_S,
) -> Farewell:
    """End the PANA session, if the dongle has one, and wait until the meter knows.

    Args:
        link: to a dongle.
        reply_s: how long to wait for its reply.
        meter_s: how long to wait for the meter's after that.

    Raises:
        PortLost: the port is gone.
    """
    try:
        lines = link.command(command("SKTERM"), "SKTERM", timeout_s=reply_s)
    except (CommandRefused, NoReply):  # FAIL ER10: no session
        return Farewell.NO_SESSION
    for heard in chain(lines, link.heard(meter_s)):
        match heard:
            case Event(EventNumber.CLOSED):
                return Farewell.CONFIRMED
            case Event(EventNumber.CLOSE_TIMED_OUT):
                break
    return Farewell.UNCONFIRMED


def last_leave(link: Link, clock: Clock, *, joining: bool) -> bool:
    """Leave in the course of stopping, within 6 s; a port that is gone by now is no matter.

    Args:
        link: over which `stop` has been called.
        clock: for the limit.
        joining: a join may be under way, which the dongle cannot call off; a session that it
            still brings is ended, too.

    Returns:
        whether a session was ended.
    """
    end = clock.monotonic() + LAST_LEAVE_S
    link.allow_last_words()
    try:
        if leave(link) is not Farewell.NO_SESSION:
            return True
        if joining:
            for heard in link.heard(min(JOIN_UNDER_WAY_S, end - clock.monotonic())):
                if (verdict := _verdict(heard)) is not None:
                    left_s = end - clock.monotonic()
                    return (
                        verdict and leave(link, left_s / 2, left_s / 2) is not Farewell.NO_SESSION
                    )
    except KeiError:
        return False
    return False
