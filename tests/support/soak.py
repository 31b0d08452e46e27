"""A session that is asked and asked while things go wrong, and the account of what became of it.

Session and simulator share a clock that runs faster than life; all times are of that clock.
"""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Self

from fakes import FastClock
from programs import BROUTE_ID, BROUTE_PWD
from session_bench import Listener, Memory

from kei.core.clock import SystemClock
from kei.core.errors import NotReady, RetryLater
from kei.core.secret import Secret
from kei.echonet.meter_class import METER_ZONE
from kei.simulator.faults import AtTime, FaultKind, FaultSpec, Span
from kei.simulator.household.household import Household
from kei.simulator.meter.registers import CounterSetup, EnergyCounter
from kei.simulator.options import parse_sim_port
from kei.simulator.port.server import Simulator
from kei.wisun.dialects import DIALECTS
from kei.wisun.interfaces import Answer, OnData, OnLost, Settings, Transport
from kei.wisun.j11 import REQUEST, Command
from kei.wisun.session import Session
from kei.wisun.transport import SerialTransport

POWER, ENERGY = 0xE7, 0xE0
GROUPS = ((POWER,), (ENERGY,), (POWER, ENERGY))
BUDGET_S = 10.0  # the least that a request of jobs.toml has
BREATH_S = 0.1  # between two requests
SOON_S = 1.0  # how long a request that was refused with NotReady is put off
CYCLE_S = 10.0  # the same, for a request that would not be asked more often anyway
END_S = 30.0  # of the machine's time: everything has ended by then, or never will
IN_JAPAN_S = int(METER_ZONE.utcoffset(None).total_seconds())  # the meter's clock is ahead
_SAME_AS: dict[int, str] = {
    Command.SEND: "SKSENDTO",
    Command.SCAN: "SKSCAN",
    Command.START_PANA: "SKJOIN",
    Command.RENEW_PANA: "SKJOIN",
}
_COUNTED = {FaultKind.SCAN_MISS: "SKSCAN", FaultKind.JOIN_FAIL: "SKJOIN"}


def command_name(data: bytes) -> str:
    """Return what a command is called: its word, or the code of a J11 frame as SKSTACK's word."""
    if data.startswith(REQUEST):
        code = int.from_bytes(data[4:6], "big")
        return _SAME_AS.get(code, f"{code:04X}")
    return data.split(b" ", 1)[0].strip().decode("ascii")


class _Noting:
    """A transport that notes when which command went out."""

    def __init__(self, inner: Transport, clock: FastClock, sent: list[tuple[float, str]]) -> None:
        self._inner = inner
        self._clock = clock
        self._sent = sent

    def write(self, data: bytes) -> None:
        now = self._clock.monotonic()
        self._inner.write(data)
        self._sent.append((now, command_name(data)))

    def holders(self) -> tuple[str, ...]:
        return self._inner.holders()

    def close(self) -> None:
        self._inner.close()


class Rig:
    """A session, its simulator and their threads; all of them end with the block.

    Args:
        options: of the simulator, as in a `sim:` port; its seed is the session's, too.
        speed: how much faster than life everything runs.
        dialect: told to the session instead of being recognised.
    """

    def __init__(self, options: str, *, speed: float, dialect: str | None = None) -> None:
        self.options = parse_sim_port(f"sim:{options}")
        self.household = Household(self.options.seed, solar=self.options.solar)
        trace = sys.gettrace()
        sys.settrace(None)  # a year of a home that no other test has takes a second of coverage
        self.household.energy(SystemClock().now_ms() // 1000)  # slow at first, as no meter is
        sys.settrace(trace)
        self.clock = FastClock(speed)
        self.sent: list[tuple[float, str]] = []
        self.listener = Listener()
        self.begun = self.clock.monotonic()
        self._simulator = Simulator(self.options, clock=self.clock)
        settings = Settings(
            Secret(BROUTE_ID),
            Secret(BROUTE_PWD),
            None if dialect is None else DIALECTS[dialect],
            (0xD3, 0xE1),
        )
        self.session = Session(
            settings,
            self._open_port,
            Memory(),
            self.listener,
            clock=self.clock,
            rng=random.Random(self.options.seed),
        )
        self._threads = [
            threading.Thread(target=body.run, name=f"soak-{name}")
            for name, body in (("simulator", self._simulator), ("session", self.session))
        ]

    def _open_port(self, on_data: OnData, on_lost: OnLost) -> Transport:
        inner = SerialTransport(self._simulator.port, 115200, on_data, on_lost)
        return _Noting(inner, self.clock, self.sent)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.stop()
        self._threads[1].join(END_S)
        self._simulator.stop()
        self._threads[0].join(END_S)

    @property
    def lost_threads(self) -> list[str]:
        """Those that have ended though nobody told them to."""
        return [thread.name for thread in self._threads if not thread.is_alive()]

    @property
    def threads_left(self) -> list[str]:
        """Those that still run; there must be none after the block."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def strikes(self, spec: FaultSpec) -> list[float]:
        """When this fault has struck so far, by what was sent; not for chances."""
        match spec.trigger:
            case AtTime(seconds):
                due = self.begun + seconds
                return [due] if self.clock.monotonic() > due else []
            case Span(first, last):
                word = _COUNTED.get(spec.kind, "SKSENDTO")
                times = [at for at, name in list(self.sent) if name == word]
                return times[first - 1 : last]
            case _:
                raise ValueError("nobody knows when chance strikes")

    def sent_before(self, moment: float) -> str:
        """The last command before a time; nothing if there was none."""
        return next((name for at, name in reversed(list(self.sent)) if at < moment), "")


@dataclass
class Account:
    """What became of the requests.

    Attributes:
        asked: how many there were.
        answered: how many brought an answer, a refusal of the meter included.
        missed: how many brought none in time.
        held_back: how many were refused with NotReady.
        wrong: values that are not what the meter showed then; a damaged digit cannot be seen.
        answers: when answers with all that was asked for came.
        misses: when requests were given up.
    """

    asked: int = 0
    answered: int = 0
    missed: int = 0
    held_back: int = 0
    wrong: int = 0
    answers: list[float] = field(default_factory=list)
    misses: list[float] = field(default_factory=list)

    def longest_gap_s(self, begun: float, ended: float) -> float:
        """The longest time without such an answer."""
        return max(after - before for before, after in pairwise([begun, *self.answers, ended]))


class Quota:
    """How many requests all requesters together may still ask."""

    def __init__(self, total: int) -> None:
        self.left = total
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one, if one is left."""
        with self._lock:
            taken = self.left > 0
            self.left -= taken
            return taken


class Requester:
    """Asks a session for power and energy in turn and keeps account.

    Args:
        rig: whose session.
        groups: what to ask for, in turn.
        held_pause_s: how long to wait after NotReady.
    """

    def __init__(
        self,
        rig: Rig,
        groups: tuple[tuple[int, ...], ...] = GROUPS,
        *,
        held_pause_s: float = SOON_S,
    ) -> None:
        self.account = Account()
        self._rig = rig
        self._groups = groups
        self._held_pause_s = held_pause_s
        self._pace = threading.Event()  # never set
        self._counter = EnergyCounter(rig.household, CounterSetup())

    def ask(self) -> bool:
        """Ask once, and wait a moment, longer if the session is not ready; return if all came."""
        came = self._ask()
        self._pace.wait(self._rig.clock.wait_s(BREATH_S))  # the clock stands while we ask on and on
        return came

    def _ask(self) -> bool:
        account, clock = self.account, self._rig.clock
        epcs = self._groups[account.asked % len(self._groups)]
        account.asked += 1
        asked_ms = clock.now_ms()
        try:
            answer = self._rig.session.get(epcs, BUDGET_S)
        except NotReady:
            account.held_back += 1
            self._pace.wait(clock.wait_s(self._held_pause_s))
            return False
        except RetryLater:
            account.missed += 1
            account.misses.append(clock.monotonic())
            return False
        account.answered += 1
        account.wrong += self._wrong_values(answer, asked_ms)
        if set(answer.properties) != set(epcs):
            return False
        account.answers.append(clock.monotonic())
        return True

    def ask_on(self, quota: "Quota", bound_s: float) -> bool:
        """Ask until the quota is used up, waiting for each join.

        Returns:
            whether that went well; False as soon as no answer has come for longer than the bound.
        """
        clock = self._rig.clock
        while quota.left:
            since = self.account.answers[-1] if self.account.answers else self._rig.begun
            if clock.monotonic() - since > bound_s:
                return False
            if not self.is_joined():
                continue
            if quota.take():
                self.ask()
        return True

    def is_joined(self) -> bool:
        """Return whether the meter can be asked, after a moment if not."""
        if self._rig.session.is_joined:
            return True
        self._pace.wait(self._rig.clock.wait_s(SOON_S))
        return False

    def mistakes(self) -> list[str]:
        """What is wrong with the numbers: ours, and the session's own."""
        account, status = self.account, self._rig.session.status()
        accounted = account.answered + account.missed + account.held_back
        found = []
        if accounted != account.asked:
            found.append(f"{account.asked} asked, but {accounted} accounted for")
        if status.answered != account.answered:
            found.append(f"{account.answered} answered, but the session says {status.answered}")
        if status.missed != account.missed:
            found.append(f"{account.missed} missed, but the session says {status.missed}")
        if status.held_back != account.held_back:
            found.append(f"{account.held_back} held back, the session says {status.held_back}")
        return found

    def _wrong_values(self, answer: Answer, asked_ms: int) -> int:
        asked, answered = asked_ms // 1000 + IN_JAPAN_S, answer.at.time_ms // 1000 + IN_JAPAN_S
        seconds = range(asked - 1, answered + 2)  # the meter's begin in the middle of the clock's
        shown = {
            POWER: lambda second: self._rig.household.watt(second).to_bytes(4, "big", signed=True),
            ENERGY: self._counter.normal,
        }
        return sum(
            all(edt != shown[epc](second) for second in seconds) if epc in shown else 1
            for epc, edt in answer.properties.items()
        )


@dataclass(frozen=True)
class Result:
    """How a soak of one session ended.

    Attributes:
        account: of its requests.
        joins: how often the meter was joined.
        lasted_s: from its start.
        longest_gap_s: without an answer.
        mistakes: everything that must not be, in words.
    """

    account: Account
    joins: int
    lasted_s: float
    longest_gap_s: float
    mistakes: tuple[str, ...]


def soak(options: list[str], *, requests: int, speed: float, bound_s: float) -> list[Result]:
    """Ask so many sessions side by side until so many requests have been asked in all.

    Args:
        options: of the simulator of each session.
        requests: how many in all.
        speed: how much faster than life.
        bound_s: a session that answers nothing for longer is stuck.
    """
    quota = Quota(requests)
    with ThreadPoolExecutor(len(options)) as pool:
        soaks = [pool.submit(_soak_one, text, speed, quota, bound_s) for text in options]
        return [each.result() for each in soaks]


def _soak_one(options: str, speed: float, quota: Quota, bound_s: float) -> Result:
    with Rig(options, speed=speed) as rig:
        requester = Requester(rig, held_pause_s=CYCLE_S)
        went_well = requester.ask_on(quota, bound_s)
        ended = rig.clock.monotonic()
        mistakes = [*requester.mistakes(), *(f"{name} was lost" for name in rig.lost_threads)]
        if not went_well:
            mistakes.append(f"no answer for {bound_s:g} s; {rig.session.status()}")
        joins = len(rig.listener.joins)
    mistakes += [f"{name} did not end" for name in rig.threads_left]
    account = requester.account
    gap_s = account.longest_gap_s(rig.begun, ended)
    return Result(account, joins, ended - rig.begun, gap_s, tuple(mistakes))
