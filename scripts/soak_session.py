#!/usr/bin/env python3
"""A soak: sessions side by side, thousands of requests, and every fault of the simulator at once.

Each session has a simulated dongle and meter of its own in this process, with the delays of real
ones; all clocks run faster than life, and every time below is of these clocks. After that, each
kind of fault alone, for what it costs. The exit code is 1 if a thread was lost, a session was
stuck, or the numbers do not add up:

    scripts/soak_session.py [--requests 10000] [--percent 5] [--sessions 8] ...
"""

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from _project import use_project

use_project()

import structlog
from fakes import TICKER
from soak import Account, Requester, Result, Rig, soak

from kei.simulator.faults import J11_ONLY, FaultKind, parse_fault
from kei.simulator.options import DONGLES, J11

STUCK_S = 1800.0
HOMES = 4  # the simulator keeps the yearly sums of so many; they take long to add up
STRIKES, SPACING = 10, 110  # so that the sessions between them last
AT_THE_START = {FaultKind.SCAN_MISS, FaultKind.JOIN_FAIL}  # cannot be had in mid-session


def mix(number: int, options: argparse.Namespace) -> str:
    """Return the simulator's options of a session of the soak."""
    home, street = number % HOMES, number // HOMES
    dongle = DONGLES[(home + street) % len(DONGLES)]
    left_out = set(options.without) | (set() if dongle == J11 else J11_ONLY)
    kinds = [kind for kind in FaultKind if kind not in left_out]
    random.Random(options.seed + number).shuffle(kinds)  # the same dice, for other faults
    words = [
        f"seed={options.seed + home}",
        f"dongle={dongle}",
        *(["solar"] if home % 2 else []),
        *(f"fault={kind}%{options.percent:g}" for kind in kinds),
    ]
    return ",".join(words)


@dataclass(frozen=True)
class Cost:
    """What a kind of fault costs when it comes alone.

    Attributes:
        kind: which.
        waits_s: from each strike to the next answer.
        missed: requests, over all strikes.
        held_back: the same.
        mistakes: everything that must not be, in words.
    """

    kind: FaultKind
    waits_s: tuple[float, ...]
    missed: int
    held_back: int
    mistakes: tuple[str, ...]


def cost(kind: FaultKind, options: argparse.Namespace) -> Cost:
    """Have one kind of fault strike again and again, and measure what it costs."""
    if kind in AT_THE_START:
        runs = [[f"{kind}@1"] for _ in range(STRIKES)]
    else:
        runs = [[f"{kind}@{SPACING * (number + 1)}" for number in range(STRIKES)]]
    waits: list[float] = []
    mistakes: list[str] = []
    missed = held_back = 0
    for faults in runs:
        account = strike(kind, faults, options, waits, mistakes)
        missed += account.missed
        held_back += account.held_back
    return Cost(kind, tuple(waits), missed, held_back, tuple(mistakes))


def strike(
    kind: FaultKind,
    faults: list[str],
    options: argparse.Namespace,
    waits: list[float],
    mistakes: list[str],
) -> Account:
    """Run one session until every fault has struck and an answer has come after it."""
    specs = [parse_fault(text) for text in faults]
    dongle = [f"dongle={J11}"] if kind in J11_ONLY else []
    text = ",".join([f"seed={options.seed}", *dongle, *(f"fault={fault}" for fault in faults)])
    with Rig(text, speed=options.speed) as rig:
        requester = Requester(rig)
        account = requester.account
        struck: list[float] = []
        while len(struck) < len(specs) or account.answers[-1:] <= struck[-1:]:
            last = max([rig.begun, *struck, *account.answers[-1:]])
            if rig.clock.monotonic() - last > STUCK_S:
                mistakes.append(f"{kind}: no answer for {STUCK_S:g} s; {rig.session.status()}")
                break
            if requester.is_joined():
                requester.ask()
            struck = [moment for spec in specs for moment in rig.strikes(spec)]
        mistakes += [f"{kind}: {text}" for text in requester.mistakes()]
        mistakes += [f"{kind}: {name} was lost" for name in rig.lost_threads]
    if account.wrong and kind is not FaultKind.GARBLE:
        mistakes.append(f"{kind}: {account.wrong} wrong values")
    for moment in struck:
        waits += [answer - moment for answer in account.answers if answer > moment][:1]
    return account


def table(costs: list[Cost]) -> list[str]:
    """Return what each kind costs as a Markdown table."""
    rows = [
        "| fault | times struck | median to next answer (s) | longest (s) | missed | held back |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for each in costs:
        median, longest = statistics.median(each.waits_s), max(each.waits_s)
        rows.append(
            f"| {each.kind} | {len(each.waits_s)} | {median:.1f} | {longest:.1f} "
            f"| {each.missed} | {each.held_back} |"
        )
    return rows


def total(results: list[Result], what: Callable[[Account], int]) -> int:
    """Add up a number of all sessions."""
    return sum(what(result.account) for result in results)


def report(results: list[Result], options: argparse.Namespace, wall_s: float) -> list[str]:
    """Return the account of the soak in words."""
    asked = total(results, lambda account: account.asked)
    answered = total(results, lambda account: account.answered)
    missed = total(results, lambda account: account.missed)
    held_back = total(results, lambda account: account.held_back)
    wrong = total(results, lambda account: account.wrong)
    lasted_h = sum(result.lasted_s for result in results) / 3600
    faults = " but ".join(["every fault", *options.without])
    return [
        f"{options.sessions} sessions, seed {options.seed}, {options.speed:g} x life",
        f"faults: {faults}, each at {options.percent:g} %",
        f"requests: {asked} asked = {answered} answered + {missed} missed + {held_back} held back",
        f"longest time without an answer: {max(r.longest_gap_s for r in results):.0f} s",
        f"joins: {sum(result.joins for result in results)}",
        f"wrong values (damaged digits that are digits still): {wrong}",
        f"took: {lasted_h:.1f} hours of all sessions, {wall_s:.0f} s of this machine",
    ]


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="of all sessions together")
    parser.add_argument("--percent", type=float, default=5.0, help="of each kind of fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=8, help="side by side")
    parser.add_argument("--speed", type=float, default=20.0, help="times as fast as life")
    parser.add_argument(
        "--without",
        type=FaultKind,
        action="append",
        default=[],
        metavar="KIND",
        help="leave a kind of fault out of the soak; may be given many times",
    )
    return parser.parse_args()


def threads() -> int:
    """Return how many there are, but for that of the clocks, which ends some time after them."""
    return sum(thread.name != TICKER for thread in threading.enumerate())


def main() -> int:
    """Soak, measure each fault alone, and report."""
    options = parsed()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    threads_before = threads()
    begun = time.monotonic()
    results = soak(
        [mix(number, options) for number in range(options.sessions)],
        requests=options.requests,
        speed=options.speed,
        bound_s=STUCK_S,
    )
    print("\n".join(report(results, options, time.monotonic() - begun)), flush=True)
    with ThreadPoolExecutor(options.sessions) as pool:
        costs = list(pool.map(lambda kind: cost(kind, options), FaultKind))
    threads_after = threads()
    print(f"threads: {threads_before} at the start, {threads_after} at the end\n")
    print("\n".join(table(costs)))
    found = [each.mistakes for each in results] + [each.mistakes for each in costs]
    mistakes = [mistake for each in found for mistake in each]
    if threads_after != threads_before:
        mistakes.append("threads are left over")
    asked = total(results, lambda account: account.asked)
    if asked != options.requests:
        mistakes.append(f"{options.requests} requests wanted, {asked} asked")
    print(*(f"WRONG: {mistake}" for mistake in mistakes), sep="\n")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
