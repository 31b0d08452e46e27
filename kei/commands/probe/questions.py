"""Asks the meter for its property map, then for everything that can be read, one by one."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TypeAlias

from kei.core.clock import Clock
from kei.core.errors import Malformed, NotReady, RetryLater, Stopping
from kei.echonet.frame import property_map
from kei.echonet.meter_class import PROPERTIES, UNRECORDED, Kind
from kei.echonet.superclass import EPC_READABLE, SUPER_PROPERTIES
from kei.wisun.interfaces import Answer

BUDGET_S = 20.0  # response timer 1 (application interface specification, 2.4.2)
HISTORY_BUDGET_S = 60.0  # response timer 2: what takes more than one frame on the air
TIMES_ASKED = 2  # after a miss the session may first have to join again
LIMIT_S = 300.0  # for everything; a meter with 40 properties on a weak link needs 150 s
LOOK_AGAIN_S = 0.5  # while the session joins again


class Missing(StrEnum):
    """Why a property has no data."""

    REFUSED = "refused"
    NO_ANSWER = "no answer"
    SECRET = "not shown, it is broute_id of jobs.toml"  # noqa: S105 - says that there is one


Got: TypeAlias = bytes | Missing
"""What became of the question for one property."""

Ask: TypeAlias = Callable[[tuple[int, ...], float], Answer]
"""Asks the meter for properties, within so many seconds: `kei.wisun.session.Session.get`."""


def ask_everything(
    ask: Ask, clock: Clock, stop: threading.Event, *, limit_s: float = LIMIT_S
) -> dict[int, Got]:
    """Ask the meter for every property that it says can be read.

    Where it does not tell, it is asked for those that kei knows.

    Args:
        ask: of a session that is joined; it may lose the meter and join again meanwhile.
        clock: for deadlines.
        stop: set to end a wait.
        limit_s: how long all of it may take; what has not been asked by then has no answer.

    Returns:
        what became of each property, by EPC.

    Raises:
        Stopping: `stop` was set, or the session is being stopped.
    """
    deadline = clock.monotonic() + limit_s
    got: dict[int, Got] = {EPC_READABLE: _ask(ask, EPC_READABLE, clock, stop, deadline)}
    for epc in sorted(_readable(got[EPC_READABLE])):
        if epc not in got:
            got[epc] = _ask(ask, epc, clock, stop, deadline)
    if not isinstance(got[EPC_READABLE], Missing):
        # What it says it has, and refuses all the same, it may have been too busy for.
        for epc in [epc for epc, each in got.items() if each is Missing.REFUSED]:
            got[epc] = _ask(ask, epc, clock, stop, deadline)
    return got


def withhold(got: Mapping[int, Got], broute_id: str) -> dict[int, Got]:
    """Return what became of each property without the Route-B ID, which C0 may be.

    Args:
        got: by EPC.
        broute_id: 32 hexadecimal digits.
    """
    secret = bytes.fromhex(broute_id)
    return {epc: Missing.SECRET if edt == secret else edt for epc, edt in got.items()}


def _readable(edt: Got) -> frozenset[int]:
    if not isinstance(edt, Missing):
        with suppress(Malformed):
            return property_map(edt)
    return frozenset(SUPER_PROPERTIES) | frozenset(PROPERTIES)


def _ask(ask: Ask, epc: int, clock: Clock, stop: threading.Event, deadline: float) -> Got:
    is_history = epc in UNRECORDED and UNRECORDED[epc].kind is Kind.HISTORY
    budget_s = HISTORY_BUDGET_S if is_history else BUDGET_S
    misses = 0
    while misses < TIMES_ASKED and (left_s := deadline - clock.monotonic()) > 0:
        try:
            answer = ask((epc,), min(budget_s, left_s))
        except NotReady:
            if stop.wait(LOOK_AGAIN_S):
                raise Stopping("the probe is being stopped") from None
        except RetryLater:
            misses += 1
        else:
            return answer.properties.get(epc, Missing.REFUSED)
    return Missing.NO_ANSWER
