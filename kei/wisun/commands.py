"""What the dongle can do, whatever its grammar: identify, set up, scan, join, send, leave.

When each is due is decided by the session's machine.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum, auto
from typing import ClassVar

from kei.core.clock import Clock
from kei.core.errors import KeiError
from kei.wisun.interfaces import (
    Dongle,
    Event,
    EventNumber,
    Hide,
    Inbound,
    Message,
    Reason,
    Settings,
)
from kei.wisun.link import CommandRefused, Link, OnRaw, Parser
from kei.wisun.network import Network

QUIET_S = 0.15  # ten times the time of a plain command: nothing more is under way
DRAIN_LIMIT_S = 5.0
REPLY_TIMEOUT_S = 5.0  # a plain command takes 5-15 ms, "may take seconds" (command reference)
TERMINATE_TIMEOUT_S = 3.0  # of the dongle's reply
LEAVE_S = 6.0  # with the meter's, EVENT 27, which comes at once
UNANSWERED_S = 18.0  # EVENT 28 comes when the meter does not answer; one that is late does harm
JOIN_TIMEOUT_S = 60.0  # SKSTACK: failure after 38-41 s, success in 4-8 s, at most a minute
LEAVE_ON_SHUTDOWN_S = 6.0  # of the 10 s that a stop may take
JOIN_UNDER_WAY_S = 3.0  # so much of them for a join that may still succeed
PROBE_EPCS = (0x80,)  # operation status: every device has it (super class, required)


class LeaveResult(Enum):
    """How a PANA session was ended."""

    NO_SESSION = auto()
    CONFIRMED = auto()  # the meter knows
    UNCONFIRMED = auto()  # the dongle has ended it, and the meter has not answered
    UNKNOWN = auto()  # the dongle has not answered, or has not been able to

    @property
    def has_ended_one(self) -> bool:
        """Whether there was a session, and is none any more."""
        return self in (LeaveResult.CONFIRMED, LeaveResult.UNCONFIRMED)

    @staticmethod
    def of_refusal(refusal: CommandRefused) -> "LeaveResult":
        """Return what a refusal to end a session means: if the dongle could not do it, unknown."""
        is_none = refusal.reason is Reason.OTHER
        return LeaveResult.NO_SESSION if is_none else LeaveResult.UNKNOWN


class JoinFailure(Enum):
    """Why a join has not succeeded, as far as the dongle tells."""

    SILENT = auto()
    REFUSED = auto()  # the meter has said no


class Standing(Enum):
    """What has become of the session, in the dongle's eyes."""

    AS_LEFT = auto()
    ENDED = auto()  # a join is all that it needs
    RESTARTED = auto()  # it has lost its settings


class Commands(ABC):
    """The commands of dongles of one grammar; for the holder of the priority lock.

    Every method may raise PortLost, and what the link was halted with.

    Args:
        link: to the dongle.
        clock: for deadlines.
        settings: credentials, and the dialect if the owner chose one.

    Attributes:
        send_name: the name of the command that sends a datagram, for error texts.
        scan_durations: exponents of a scan's time, one after another until a meter is heard.
        longest_scan: the same, after a round of the others in vain.
        dongle: what `recognise` found; None before that.
    """

    send_name: ClassVar[str]
    scan_durations: ClassVar[tuple[int, ...]]
    longest_scan: ClassVar[int]

    def __init__(self, link: Link, clock: Clock, settings: Settings) -> None:
        self._link = link
        self._clock = clock
        self._settings = settings
        self.dongle: Dongle | None = None

    @staticmethod
    @abstractmethod
    def shown_sent(data: bytes) -> str | None:
        """Return bytes that are sent as text without secrets; None if of another grammar."""

    @staticmethod
    @abstractmethod
    def shown_received(raw: bytes, message: Message, hide: Hide) -> str | None:
        """Return bytes that were received as text without secrets.

        Args:
            raw: the bytes.
            message: what a parser made of them, whatever its grammar.
            hide: hides what looks like a part of a secret.

        Returns:
            None if nothing is known of them; they may have anything in them then.
        """

    @abstractmethod
    def new_parser(self, on_raw: OnRaw | None) -> Parser:
        """Return what turns the dongle's bytes into messages."""

    @abstractmethod
    def recognise(self, timeout_s: float, *, attempt: int) -> bool:
        """Ask once what is on the freshly opened port, whatever state it is in.

        A PANA session that the dongle may have is left alone, and a dongle of another grammar
        hears nothing that it could take for a command.

        Args:
            timeout_s: how long to wait for the answer.
            attempt: from 0; nothing was answered to those before, so that a half-sent command may
                be in the way.

        Returns:
            whether it has this grammar; `dongle` is set then.

        Raises:
            CommandRefused, NoReply: it has, but does not say what it is.
        """

    def mends(self, refusal: CommandRefused) -> bool:  # noqa: ARG002 - there may be a remedy
        """Return whether what was refused is worth another try, because of what is done now.

        Raises:
            CommandRefused, NoReply: the dongle does not say what it is.
        """
        return False

    @abstractmethod
    def set_up(self) -> None:
        """Reset the dongle, and give it all that a reset clears, the credentials among them.

        Raises:
            CommandRefused, NoReply: the dongle does not take them.
        """

    @abstractmethod
    def scan_s(self, duration: int) -> float:
        """Return how long a scan of this duration takes, seconds."""

    @abstractmethod
    def scan(self, duration: int) -> list[Network]:
        """Look for meters of our ID on all channels once.

        Args:
            duration: time on each channel; each step doubles it.

        Returns:
            the networks found, the best LQI first.

        Raises:
            CommandRefused, NoReply: the dongle does not scan.
        """

    @abstractmethod
    def join(self, network: Network) -> Network | JoinFailure:
        """Authenticate with the meter (PANA).

        Returns:
            the network as it is now, if the dongle reports a session; silent is also what reports
            nothing for 60 s.

        Raises:
            CommandRefused, NoReply: the dongle does not take the commands.
        """

    @abstractmethod
    def leave(self, limit_s: float = LEAVE_S) -> LeaveResult:
        """End the PANA session, if the dongle has one, and wait until the meter knows.

        Args:
            limit_s: how long all of that may take.
        """

    @abstractmethod
    def find_session(self, network: Network) -> Network | None:
        """Return the network of a session of ours with this meter that the dongle may still have.

        Raises:
            CommandRefused, NoReply: only a reset may help.
        """

    @abstractmethod
    def standing(self, network: Network) -> Standing:
        """Return what has become of the session with this meter, for all that the dongle says.

        Raises:
            CommandRefused, NoReply: the dongle does not answer at all.
        """

    @abstractmethod
    def is_limited(self) -> bool:
        """Return whether the dongle is at its transmission limit.

        Raises:
            NoReply: the dongle does not answer at all.
        """

    def may_send(self) -> bool:
        """Return whether what is sent now would be encrypted; asked when something was in vain."""
        return True

    @abstractmethod
    def send_datagram(self, address: str, payload: bytes) -> None:
        """Have the dongle send a UDP datagram, within the conversation that the caller has begun.

        Its reply is left to the caller to receive: `Ok` or `Fail`, and `EventNumber.SENT`.
        """

    def leave_on_shutdown(self, *, joining: bool) -> LeaveResult:
        """End the session after `Link.stop`, within 6 s.

        Never raises PortLost: a port that is gone by now does not matter.

        Args:
            joining: a join may be under way; a session that it still brings is ended, too.
        """
        end = self._clock.monotonic() + LEAVE_ON_SHUTDOWN_S
        self._link.allow_leaving()
        try:
            result = self.leave(LEAVE_ON_SHUTDOWN_S)
            if result.has_ended_one or not joining:
                return result
            wait_s = min(JOIN_UNDER_WAY_S, end - self._clock.monotonic())
            if join_result(self._link.receive_for(wait_s)):
                return self.leave(end - self._clock.monotonic())
            self._abandon_join()
        except KeiError:
            return LeaveResult.UNKNOWN
        return result

    @abstractmethod
    def _abandon_join(self) -> None:
        """End a join that has no result yet, if the dongle can do that."""


def join_result(inbounds: Iterable[Inbound]) -> bool:
    """Return whether the join that is under way succeeds; False also if nothing says so."""
    for inbound in inbounds:
        match inbound:
            case Event(EventNumber.JOINED):
                return True
            case Event(EventNumber.JOIN_FAILED):
                return False
    return False
