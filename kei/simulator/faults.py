"""Faults on demand: `drop@3`, `garble@2-5`, `unplug@t30`, `scan-miss:2`, `late%5`.

What a trigger counts is what the kind can hit: scans for `scan-miss`, joins (renewals included)
for `join-fail`, and SKSENDTO commands for all others, from 1 since the start.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from kei.errors import ConfigError


class FaultKind(StrEnum):
    """What can be made to go wrong."""

    DROP = "drop"  # the meter's answer never comes
    LATE = "late"  # it comes when nobody waits any more
    DUPLICATE = "duplicate"  # it comes twice
    GARBLE = "garble"  # characters of its line are damaged
    WRONG_TID = "wrong-tid"  # it carries another transaction number
    SNA = "sna"  # the meter refuses every property
    TXFAIL = "txfail"  # EVENT 21 01: nobody acknowledged the datagram
    FAIL = "fail"  # SKSENDTO is answered by FAIL ER10
    EXPIRE = "expire"  # EVENT 29; the dongle renews the session by itself if S17 says so
    LOST = "lost"  # the meter forgets the session: it acknowledges, but answers nothing
    LIMIT = "limit"  # EVENT 32, nothing is sent until EVENT 33
    UNPLUG = "unplug"  # the port goes away and comes back with a dongle at its defaults
    SCAN_MISS = "scan-miss"  # the scan does not hear the meter
    JOIN_FAIL = "join-fail"  # nobody answers the join: EVENT 24
    INF = "inf"  # the half-hour values come, unasked, in the middle of the command
    INFC = "infc"  # the same, and the meter wants them confirmed
    REBOOT = "reboot"  # the dongle restarts, at its defaults, without a word


ON_ANSWER = frozenset(
    {
        FaultKind.DROP,
        FaultKind.LATE,
        FaultKind.DUPLICATE,
        FaultKind.GARBLE,
        FaultKind.WRONG_TID,
        FaultKind.SNA,
    }
)
ON_SENDING = frozenset({FaultKind.TXFAIL, FaultKind.FAIL})
OF_ITSELF = (
    frozenset(FaultKind)
    - ON_ANSWER
    - ON_SENDING
    - {
        FaultKind.SCAN_MISS,
        FaultKind.JOIN_FAIL,
    }
)  # those that happen at their very time, without waiting for something to hit


@dataclass(frozen=True, slots=True)
class Span:
    """The `first`th to the `last`th time, counted from 1."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AtTime:
    """So many seconds after the start, once."""

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
        kinds = [str(kind) for kind in FaultKind]
        close = get_close_matches(name, kinds, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"it is one of {', '.join(kinds)}"
        raise ConfigError([f"fault '{text}': unknown kind '{name}', {hint}"]) from None


class FaultPlan:
    """Decides, from the seed, what goes wrong when.

    Args:
        specs: the faults asked for.
        chance: source of the percentages.
    """

    def __init__(self, specs: Iterable[FaultSpec], chance: random.Random) -> None:
        self._specs = tuple(specs)
        self._chance = chance
        self._counts: dict[FaultKind | None, int] = {}
        self._started: float | None = None
        self._spent: set[FaultSpec] = set()

    def start(self, now: float) -> tuple[tuple[float, FaultKind], ...]:
        """Begin to count time; return which faults happen of themselves and when, monotonic."""
        self._started = now
        due = []
        for spec in self._specs:
            if spec.kind in OF_ITSELF and isinstance(spec.trigger, AtTime):
                due.append((now + spec.trigger.seconds, spec.kind))
                self._spent.add(spec)
        return tuple(due)

    def on_send(self, now: float) -> frozenset[FaultKind]:
        """Count a SKSENDTO and return everything that hits it."""
        if not self._specs:
            return frozenset()
        special = {FaultKind.SCAN_MISS, FaultKind.JOIN_FAIL}
        return self._strike([spec for spec in self._specs if spec.kind not in special], None, now)

    def on_scan(self, now: float) -> bool:
        """Count a scan and return whether it misses the meter."""
        return self._special(FaultKind.SCAN_MISS, now)

    def on_join(self, now: float) -> bool:
        """Count a join or a renewal and return whether it fails."""
        return self._special(FaultKind.JOIN_FAIL, now)

    def _special(self, kind: FaultKind, now: float) -> bool:
        return bool(self._strike([spec for spec in self._specs if spec.kind is kind], kind, now))

    def _strike(
        self, specs: list[FaultSpec], counter: FaultKind | None, now: float
    ) -> frozenset[FaultKind]:
        count = self._counts.get(counter, 0) + 1
        self._counts[counter] = count
        return frozenset([spec.kind for spec in specs if self._hits(spec, count, now)])

    def _hits(self, spec: FaultSpec, count: int, now: float) -> bool:
        match spec.trigger:
            case Span(first, last):
                return first <= count <= last
            case Chance(percent):
                return self._chance.random() * 100 < percent
            case AtTime(seconds):
                assert self._started is not None, "not started"
                if spec in self._spent or now < self._started + seconds:
                    return False
                self._spent.add(spec)
                return True
