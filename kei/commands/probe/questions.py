"""What a probe asks the meter: its maps first, then everything that can be read, one by one."""

import threading
from enum import StrEnum
from typing import Protocol, TypeAlias

from kei.core.clock import Clock
from kei.core.errors import Malformed, NotReady, RetryLater, Stopping
from kei.echonet.frame import property_map
from kei.echonet.meter_class import PROPERTIES
from kei.echonet.superclass import EPC_READABLE, SUPER_PROPERTIES
from kei.wisun.interfaces import Answer

EPC_BROUTE_ID = 0xC0  # release R: the Route-B identification number, a secret
EPCS_OF_HISTORY = frozenset({0xE2, 0xE4, 0xEC, 0xEE})
BUDGET_S = 20.0  # response timer 1 (application interface specification, 2.4.2)
HISTORY_BUDGET_S = 60.0  # response timer 2: what takes more than one frame on the air
TIMES_ASKED = 2  # after a miss the session may first have to be brought up again
LIMIT_S = 300.0  # for everything; a meter with 40 properties on a weak link needs 150 s
LOOK_AGAIN_S = 0.5  # while the session is brought up again


class Missing(StrEnum):
    """Why a property has no data."""

    REFUSED = "refused"
    NO_ANSWER = "no answer"
    SECRET = "not asked, it is secret"  # noqa: S105 - says that there is one


Got: TypeAlias = bytes | Missing
"""What became of the question for one property."""


class Askable(Protocol):
    """The session, as far as it is needed here."""

    def get(self, epcs: tuple[int, ...], budget_s: float) -> Answer:
        """Ask the meter for properties; see `kei.wisun.session.Session.get`."""


def ask_everything(
    session: Askable, clock: Clock, stop: threading.Event, *, limit_s: float = LIMIT_S
) -> dict[int, Got]:
    """Ask the meter for every property that it says can be read.

    Where it does not tell, it is asked for those that kei knows.

    Args:
        session: joined; it may be lost and come back meanwhile.
        clock: for deadlines.
        stop: ends a wait.
        limit_s: how long all of it may take; what is left over then counts as not answered.

    Returns:
        what became of each property, by EPC.

    Raises:
        Stopping: `stop` was set, or the session is being stopped.
    """
    deadline = clock.monotonic() + limit_s
    got: dict[int, Got] = {EPC_READABLE: _ask(session, EPC_READABLE, clock, stop, deadline)}
    for epc in sorted(_readable(got[EPC_READABLE])):
        if epc == EPC_BROUTE_ID:
            got[epc] = Missing.SECRET
        elif epc not in got:
            got[epc] = _ask(session, epc, clock, stop, deadline)
    return got


def _readable(edt: Got) -> frozenset[int]:
    known = frozenset(SUPER_PROPERTIES) | frozenset(PROPERTIES)
    if isinstance(edt, Missing):
        return known
    try:
        return property_map(edt)
    except Malformed:
        return known


def _ask(session: Askable, epc: int, clock: Clock, stop: threading.Event, deadline: float) -> Got:
    budget_s = HISTORY_BUDGET_S if epc in EPCS_OF_HISTORY else BUDGET_S
    misses = 0
    while misses < TIMES_ASKED and (left_s := deadline - clock.monotonic()) > 0:
        try:
            answer = session.get((epc,), min(budget_s, left_s))
        except NotReady:
            if stop.wait(LOOK_AGAIN_S):
                raise Stopping("the probe is being stopped") from None
        except RetryLater:
            misses += 1
        else:
            return answer.properties.get(epc, Missing.REFUSED)
    return Missing.NO_ANSWER
