"""Faults on demand: `drop@3`, `garble@2-5`, `unplug@t30`, `scan-miss:2`, `late%5`.

What a trigger counts is what the kind can hit: scans for `scan-miss`, joins (renewals included)
for `join-fail`, and datagrams (SKSENDTO, request 0x0008) for all others, from 1 since the start, or
since the fault was added to a dongle that runs.
"""

import random
import re
from dataclasses import dataclass
from enum import StrEnum

from kei.core.errors import ConfigError
from kei.simulator.option_parser import did_you_mean


class FaultKind(StrEnum):
    """The kinds of faults."""

    DROP = "drop"  # the meter's answer never comes
    LATE = "late"  # it comes after the client's time-out
    DUPLICATE = "duplicate"  # it comes twice
    GARBLE = "garble"  # characters of its line are damaged
    WRONG_TID = "wrong-tid"  # it carries another transaction number
    SNA = "sna"  # the meter refuses every property
    TXFAIL = "txfail"  # nobody acknowledged it: EVENT 21 01, or result 5 of the radio
    FAIL = "fail"  # the datagram is refused: FAIL ER10, or busy
    EXPIRE = "expire"  # EVENT 29, and a renewal if S17 says so; silent with a J11
    LOST = "lost"  # the meter forgets the session: it acknowledges, but answers nothing
    LIMIT = "limit"  # nothing is sent for a while, from EVENT 32 to 33; silent with a J11
    UNPLUG = "unplug"  # the port goes away and comes back with a dongle at its defaults
    SCAN_MISS = "scan-miss"  # the scan does not hear the meter
    JOIN_FAIL = "join-fail"  # nobody answers the join: EVENT 24, or 0x6028
    INF = "inf"  # the half-hour values come, unasked, in the middle of the command
    INFC = "infc"  # the same, and the meter wants them confirmed
    REBOOT = "reboot"  # the dongle restarts at its defaults, silently but for a J11
    CLOSED = "closed"  # the meter ends the session: EVENT 26, or 0x601A
    # Of a J11 only:
    CCA = "cca"  # the channel is never free
    REAUTH_FAIL = "reauth-fail"  # the renewal that nobody sees has failed
    MAC_LOST = "mac-lost"  # the meter's network is lost
    KEYS = "keys"  # the meter's frames cannot be deciphered until the next authentication
    HEADER_SUM = "header-sum"  # the module finds the header of the request damaged
    DATA_SUM = "data-sum"  # the same of its data


# These happen when their time has come; the others wait for a command that they can hit.
OF_ITSELF = frozenset(
    {
        FaultKind.EXPIRE,
        FaultKind.LOST,
        FaultKind.LIMIT,
        FaultKind.UNPLUG,
        FaultKind.INF,
        FaultKind.INFC,
        FaultKind.REBOOT,
        FaultKind.CLOSED,
        FaultKind.REAUTH_FAIL,
        FaultKind.MAC_LOST,
        FaultKind.KEYS,
    }
)
J11_ONLY = frozenset(
    {
        FaultKind.CCA,
        FaultKind.REAUTH_FAIL,
        FaultKind.MAC_LOST,
        FaultKind.KEYS,
        FaultKind.HEADER_SUM,
        FaultKind.DATA_SUM,
    }
)
_ON_SEND = frozenset(FaultKind) - {FaultKind.SCAN_MISS, FaultKind.JOIN_FAIL}


def check_happens_to_skstack(kind: FaultKind) -> None:
    """Check that a kind of fault means anything with a dongle that speaks SKSTACK-IP.

    Raises:
        ConfigError: it is one of `J11_ONLY`.
    """
    if kind in J11_ONLY:
        raise ConfigError([f"fault {kind}: happens to a J11 only; leave it out, or simulate a J11"])


@dataclass(frozen=True, slots=True)
class Span:
    """From the `first` to the `last` time, counted from 1."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AtTime:
    """Once, this many seconds after the start."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Chance:
    """Each time with this probability, 0 to 100."""

    percent: float


Trigger = Span | AtTime | Chance


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One `--fault`."""

    kind: FaultKind
    trigger: Trigger


_SPEC = re.compile(
    r"(?P<kind>[a-z-]+)"
    r"(?:@(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?"
    r"|@t(?P<seconds>[0-9]{1,9}(?:\.[0-9]{1,6})?)"
    r"|:(?P<count>[0-9]{1,9})"
    r"|%(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,6})?))"
)
_FORMS = "KIND@N, KIND@N-M, KIND@tSECONDS, KIND:COUNT or KIND%PERCENT"


def parse_fault(text: str) -> FaultSpec:
    """Read one fault.

    Raises:
        ConfigError: not of the five forms, an unknown kind, or a number out of range.
    """
    match = _SPEC.fullmatch(text)
    kind = _kind(re.split("[@:%]", text, maxsplit=1)[0], text)
    if match is None:
        raise ConfigError([f"fault '{text}': write {_FORMS}"])
    if match["seconds"]:
        return FaultSpec(kind, AtTime(float(match["seconds"])))
    if match["percent"]:
        percent = float(match["percent"])
        if not 0 < percent <= 100:
            raise ConfigError([f"fault '{text}': the percentage is above 0 and at most 100"])
        return FaultSpec(kind, Chance(percent))
    first = int(match["first"] or 1)
    last = int(match["count"] or match["last"] or first)
    if not 1 <= first <= last:
        raise ConfigError([f"fault '{text}': counting starts at 1 and goes up"])
    return FaultSpec(kind, Span(first, last))


def _kind(name: str, text: str) -> FaultKind:
    try:
        return FaultKind(name)
    except ValueError:
        hint = did_you_mean(name, FaultKind, f"it is one of {', '.join(FaultKind)}")
        raise ConfigError([f"fault '{text}': unknown kind '{name}', {hint}"]) from None


@dataclass(slots=True)
class _Armed:
    """A fault that is waited for, and how often it was counted since `since`."""

    spec: FaultSpec
    since: float
    count: int = 0
    over: bool = False


class FaultPlan:
    """Decides which fault happens when; percentages are drawn from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._armed: list[_Armed] = []

    def add(self, spec: FaultSpec, now: float) -> float | None:
        """Add a fault that counts from now on.

        Returns:
            when it is due, monotonic seconds, if it is one of `OF_ITSELF` at a time: it is then up
            to the caller to carry it out.
        """
        if spec.kind in OF_ITSELF and isinstance(spec.trigger, AtTime):
            return now + spec.trigger.seconds
        self._armed.append(_Armed(spec, now))
        return None

    def clear(self) -> None:
        """Drop all faults."""
        self._armed.clear()

    def on_send(self, now: float) -> frozenset[FaultKind]:
        """Count a datagram and return the faults that hit it."""
        return self._count(_ON_SEND, now)

    def on_scan(self, now: float) -> bool:
        """Count a scan and return whether it misses the meter."""
        return bool(self._count(frozenset({FaultKind.SCAN_MISS}), now))

    def on_join(self, now: float) -> bool:
        """Count a join or a renewal and return whether it fails."""
        return bool(self._count(frozenset({FaultKind.JOIN_FAIL}), now))

    def _count(self, kinds: frozenset[FaultKind], now: float) -> frozenset[FaultKind]:
        concerned = [armed for armed in self._armed if armed.spec.kind in kinds]
        hits = frozenset([armed.spec.kind for armed in concerned if self._hits(armed, now)])
        self._armed = [armed for armed in self._armed if not armed.over]
        return hits

    def _hits(self, armed: _Armed, now: float) -> bool:
        armed.count += 1
        match armed.spec.trigger:
            case Span(first, last):
                armed.over = armed.count >= last
                return first <= armed.count <= last
            case Chance(percent):
                return self._rng.random() * 100 < percent
            case AtTime(seconds):
                armed.over = now >= armed.since + seconds
                return armed.over
