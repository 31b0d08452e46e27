"""Every fault at every state in which it can happen: a reading comes again, and soon enough.

Times are those of the session's clock. Back-offs, time-outs and rests are the real ones; dongle
and meter themselves take no time, but for what a case is about.
"""

from dataclasses import dataclass, replace

import pytest
from soak import POWER, Requester, Rig

from kei.simulator.faults import FaultKind, FaultSpec, Span, parse_fault

AT_ONCE = "latency=0,scan-time=0,join-time=0"
REAL_SCAN = "latency=0,join-time=0"  # 4.6 s, and twice that for each step
SLOW_JOIN = "latency=0,scan-time=0,join-time=10"
JUST_STARTED_S = 20.0  # a fault at a time strikes before that
READY_S = 60.0  # from the start to a first reading when nothing goes wrong, and ample
ATTEMPTS = 3
HICCUP_S = 0.3  # of the machine's time: it does other things, too
DONGLES = ("RL7023-DSS", "RL7023-IPS", "BP35A1", "BP35C2")


@dataclass(frozen=True)
class Case:
    """A fault and what it may cost.

    Attributes:
        fault: one or more, joined by `+`; the first one is timed.
        within_s: from its last strike to the next reading.
        misses: how many requests it may cost.
        options: of the simulator.
        speed: how much faster than life; long waits go faster.
        while_: the last command before the strike, where the time decides.
        dialect: told to the session.
    """

    fault: str
    within_s: float
    misses: int
    options: str = AT_ONCE
    speed: float = 30.0
    while_: str | None = None
    dialect: str | None = None

    def __str__(self) -> str:
        words = [self.fault]
        words += [f"during-{self.while_}"] if self.while_ else []
        words += [item[7:] for item in self.options.split(",") if item.startswith("dongle=")]
        words += ["binary"] if self.dialect else []
        return "-".join(words)


J11, J11_SPEED = "dongle=J11", 80.0
NOT_TOLD_S = 75.0  # a J11 does not tell the end of the limit: something is sent each minute


def in_both_grammars(cases: list[Case]) -> list[Case]:
    """Add the same cases with a J11; those that name a dongle say what differs between them."""
    spoken = [case for case in cases if "dongle=" not in case.options]
    bounds = {case: NOT_TOLD_S if "limit" in case.fault else case.within_s for case in spoken}
    more = [
        replace(case, options=f"{case.options},{J11}", within_s=bounds[case], speed=J11_SPEED)
        for case in spoken
    ]
    return [*cases, *more]


SCANNING = [
    Case("scan-miss@1", 3, 0, while_="SKSCAN"),
    *(
        Case(f"scan-miss@1-{last}", bound_s, 0, f"{AT_ONCE},{J11}")
        for last, bound_s in ((3, 6), (7, 12))
    ),
    Case("unplug@t3", 20, 0, f"{REAL_SCAN},{J11}", 60, "SKSCAN"),
    Case("reboot@t3", 20, 0, f"{REAL_SCAN},{J11}", 60, "SKSCAN"),
    Case("scan-miss@1-2", 3, 0),
    Case("scan-miss@1-4", 6, 0),  # back to the port after all four durations
    Case("scan-miss@1-9", 12, 0),  # the second time after five
    *(
        # No EVENT 22, no credentials: all durations in vain (5 + 9 + 18 + 35 s), then all anew.
        Case(f"{kind}@t3", bound_s, 0, f"{REAL_SCAN},dongle={dongle}", 60, "SKSCAN")
        for kind, bound_s in (("unplug", 15), ("reboot", 110))
        for dongle in DONGLES
    ),
]

JOINING = in_both_grammars(
    [
        Case("join-fail@1", 5, 0),
        Case("join-fail@1-2", 10, 0),  # given up: set up and scanned anew
        Case("join-fail@1-6", 60, 0, speed=40),
        Case("unplug@t5", 25, 0, SLOW_JOIN, while_="SKJOIN"),
        Case("reboot@t5", 85, 0, SLOW_JOIN, 40, "SKJOIN"),  # nobody tells how the join went: 60 s
        Case("expire@t5", 15, 0, SLOW_JOIN, while_="SKJOIN"),  # there is nothing yet to expire
        Case("unplug@t5+unplug@t12", 35, 0, SLOW_JOIN, 40, "SKJOIN"),
    ]
)

FIRST_REQUEST = in_both_grammars(
    [
        Case("drop@1", 10, 0),
        Case("late@1", 10, 0),
        Case("duplicate@1", 3, 0),
        Case("garble@1", 10, 0),
        Case("wrong-tid@1", 10, 0),
        Case("sna@1", 3, 0),
        Case("txfail@1", 5, 0),
        Case("fail@1", 18, 0),
        Case("expire@1", 5, 0),
        Case("lost@1", 45, 0, speed=40),  # three tries, and the rest after SKTERM
        Case("limit@1", 10, 0),
        Case("unplug@1", 12, 0),
        Case("inf@1", 3, 0),
        Case("infc@1", 3, 0),
        Case("reboot@1", 60, 0, speed=40),
        Case("closed@1", 10, 0),
    ]
)

REQUEST = in_both_grammars(
    [
        Case("drop@2", 7, 0),
        Case("late@2", 7, 0),
        Case("duplicate@2", 2, 0),
        Case("wrong-tid@2", 7, 0),
        Case("sna@2", 2, 0),
        Case("txfail@2", 3, 0),
        Case("fail@2", 3, 1),
        Case("expire@2", 4, 0),
        Case("expire@2", 10, 1, "latency=0,scan-time=0,join-time=3"),
        Case("expire@2+join-fail@2", 8, 1),  # the renewal fails: EVENT 24
        Case("lost@2", 60, 4, speed=40),
        Case("limit@2", 6, 1),
        Case("inf@2", 2, 0),
        Case("infc@2", 2, 0),
        Case("closed@2", 10, 2),
        *(Case("garble@2", 7, 0, f"{AT_ONCE},dongle={dongle}") for dongle in DONGLES),
        *(
            Case("garble@2", 7, 0, f"{AT_ONCE},seed={seed},dongle=BP35A1", dialect="RL7023-IPS")
            for seed in range(2, 6)
        ),
        *(
            Case(fault, bound_s, misses, f"{AT_ONCE},dongle={dongle}", 40)
            for fault, bound_s, misses in (
                ("unplug@3", 12, 1),
                ("reboot@3", 60, 4),
                ("lost@3", 60, 4),
            )
            for dongle in (*DONGLES, "J11")
        ),
    ]
)

OF_J11 = [
    Case(fault, bound_s, misses, f"{AT_ONCE},{J11}", J11_SPEED)
    for fault, bound_s, misses in (
        ("cca@1", 5, 0),
        ("cca@2-3", 5, 1),
        ("header-sum@1", 18, 0),
        ("header-sum@2", 3, 1),
        ("data-sum@2", 3, 1),
        ("mac-lost@1", 10, 0),
        ("keys@1", 12, 0),
        ("keys@2", 12, 1),
        ("mac-lost@2-3", 20, 2),
        ("reauth-fail@1", 10, 0),
        ("reauth-fail@2-3", 20, 2),
        ("reauth-fail@2+join-fail@2", 20, 2),
        ("unplug@2-3", 20, 2),
        ("reboot@2-3", 30, 4),
    )
]

TWICE = [
    Case("drop@2-3", 12, 1),
    Case("late@2-3", 12, 1),
    Case("duplicate@2-3", 2, 0),
    Case("garble@2-3", 12, 1),
    Case("wrong-tid@2-3", 12, 1),
    Case("sna@2-3", 2, 0),
    Case("txfail@2-3", 5, 1),
    Case("fail@2-3", 5, 2),
    Case("expire@2-3", 6, 1),
    Case("lost@2-3", 60, 4, speed=40),
    Case("lost@2+lost@12", 75, 8, speed=40),  # again as soon as it has been joined again
    Case("limit@2-3", 8, 2),
    Case("unplug@2-3", 20, 2),
    Case("inf@2-3", 2, 0),
    Case("infc@2-3", 2, 0),
    Case("reboot@2-3", 75, 4, speed=40),
    Case("limit@2+reboot@2", 75, 2, speed=40),  # EVENT 33 never comes: it is looked after
    Case("drop@1-6", 60, 0, speed=40),  # two joins without a first answer
    Case("fail@1-2", 20, 0),
]


@pytest.mark.parametrize("case", SCANNING, ids=str)
def test_a_reading_comes_after_a_fault_while_scanning(case: Case) -> None:
    _recovers(case)


@pytest.mark.parametrize("case", JOINING, ids=str)
def test_a_reading_comes_after_a_fault_while_joining(case: Case) -> None:
    _recovers(case)


@pytest.mark.parametrize("case", FIRST_REQUEST, ids=str)
def test_a_reading_comes_after_a_fault_in_the_first_request(case: Case) -> None:
    _recovers(case)


@pytest.mark.parametrize("case", REQUEST, ids=str)
def test_a_reading_comes_after_a_fault_in_a_later_request(case: Case) -> None:
    _recovers(case)


@pytest.mark.parametrize("case", OF_J11, ids=str)
def test_a_reading_comes_after_a_fault_of_a_j11(case: Case) -> None:
    _recovers(case)


@pytest.mark.parametrize("case", TWICE, ids=str)
def test_a_reading_comes_after_a_fault_twice_in_a_row(case: Case) -> None:
    _recovers(case)


def test_every_kind_of_fault_is_in_the_tables() -> None:
    cases = [*SCANNING, *JOINING, *FIRST_REQUEST, *REQUEST, *OF_J11, *TWICE]
    specs = [parse_fault(text) for case in cases for text in case.fault.split("+")]
    assert {spec.kind for spec in specs} == set(FaultKind)


def _recovers(case: Case) -> None:
    """Run a case; again if the machine was so busy that the fault struck at another moment."""
    for _ in range(ATTEMPTS):
        if _recovers_now(case):
            return
    raise AssertionError(f"the fault never struck during {case.while_}")


def _recovers_now(case: Case) -> bool:
    faults = case.fault.split("+")
    options = ",".join([case.options, *(f"fault={fault}" for fault in faults)])
    with Rig(options, speed=case.speed, dialect=case.dialect) as rig:
        requester = Requester(rig, ((POWER,),))
        struck = _ask_until_answered(rig, requester, faults, case.within_s)
        if case.while_ is not None:
            first = rig.strikes(parse_fault(faults[0]))[0]
            if case.while_ not in (rig.sent_before(first), rig.sent_before(first + 0.001)):
                return False
        recovered = requester.account.answers[-1]
        assert recovered - struck <= case.within_s + HICCUP_S * case.speed
        assert requester.ask(), "one reading, but not the next"
        assert requester.account.missed <= case.misses
        assert requester.mistakes() == []
        assert rig.lost_threads == []
    assert rig.threads_left == []
    return True


def _ask_until_answered(
    rig: Rig, requester: Requester, faults: list[str], within_s: float
) -> float:
    """Ask until a reading has come after the last strike; return when that strike was."""
    specs = [parse_fault(fault) for fault in faults]
    limit = rig.clock.monotonic() + JUST_STARTED_S + READY_S + 3 * within_s
    while True:
        came = requester.ask()
        strikes = [rig.strikes(spec) for spec in specs]
        if came and all(map(_is_over, specs, strikes)):
            last = max(max(times) for times in strikes)
            if requester.account.answers[-1] > last:
                return last
        assert rig.clock.monotonic() < limit, f"stuck; sent: {rig.sent[-20:]}"


def _is_over(spec: FaultSpec, times: list[float]) -> bool:
    count = spec.trigger.last - spec.trigger.first + 1 if isinstance(spec.trigger, Span) else 1
    return len(times) == count
