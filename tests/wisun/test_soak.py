"""A short soak: hundreds of requests while faults of every kind come at random."""

import threading

from fakes import TICKER
from soak import soak

from kei.simulator.faults import J11_ONLY, FaultKind
from kei.simulator.options import DONGLES, J11

REQUESTS = 300
SPEED = 120.0
PERCENT = 5
STUCK_S = 600.0  # far above the longest way back: a port, four scans, two joins and a back-off
AT_ONCE = "latency=0,scan-time=0,join-time=0"


def test_many_requests_under_every_fault_are_all_accounted_for() -> None:
    before = _threads()
    results = soak(
        [_mix(dongle, seed) for seed, dongle in enumerate(DONGLES, start=11)],
        requests=REQUESTS,
        speed=SPEED,
        bound_s=STUCK_S,
    )
    assert [result.mistakes for result in results] == [()] * len(results)
    assert sum(result.account.asked for result in results) == REQUESTS
    assert all(result.account.answered for result in results)
    assert results[-1].account.wrong == 0, "a J11's frames have sums, whatever a fault does to them"
    assert _threads() == before


def _threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name != TICKER)


def _mix(dongle: str, seed: int) -> str:
    kinds = FaultKind if dongle == J11 else set(FaultKind) - J11_ONLY
    faults = [f"fault={kind}%{PERCENT}" for kind in sorted(kinds)]
    return ",".join([AT_ONCE, f"dongle={dongle}", f"seed={seed}", *faults])
