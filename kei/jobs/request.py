"""The job that asks the meter for one group of properties, once a cycle."""

import logging

import structlog

from kei.errors import NotReady, RetryLater, Stopping
from kei.faults import Faults
from kei.meter_source import MeterSource
from kei.wisun.session import Session

log = structlog.stdlib.get_logger("kei.request")

PROPERTIES_AT_ONCE = 6  # what a meter must handle (application interface specification, 2.4.4)
SHORTEST_BUDGET_S = 5.0  # a good link answers within 2 s, a weak one within 6 s
LONGEST_BUDGET_S = 60.0  # response timer 2 of the application interface specification, 2.4.2


class RequestJob:
    """Asks for a group and hands the answer on; a missing answer is a counted miss.

    Args:
        epcs: the properties of the group.
        cycle_s: how often it runs; all tries together take no longer than that.
        session: shared by all groups.
        source: takes the answers.
        faults: of all request jobs together, so that what holds them all up is told once.
    """

    def __init__(
        self,
        epcs: tuple[int, ...],
        cycle_s: float,
        *,
        session: Session,
        source: MeterSource,
        faults: Faults,
    ) -> None:
        self._frames = [
            epcs[i : i + PROPERTIES_AT_ONCE] for i in range(0, len(epcs), PROPERTIES_AT_ONCE)
        ]
        self._budget_s = min(LONGEST_BUDGET_S, max(SHORTEST_BUDGET_S, cycle_s))
        self._session = session
        self._source = source
        self._faults = faults

    def run(self) -> None:
        """Ask once; returns at once while the session is not up."""
        try:
            for epcs in (*self._source.wanted_first(), *self._frames):
                self._ask(epcs)
        except NotReady as error:
            self._faults.raised("requests_waiting", level=logging.INFO, reason=str(error))
            log.debug("request_held", reason=str(error))
        except Stopping:
            return

    def _ask(self, epcs: tuple[int, ...]) -> None:
        names = " ".join(f"{epc:02X}" for epc in epcs)
        try:
            answer = self._session.get(epcs, self._budget_s)
        except NotReady:
            raise
        except RetryLater as error:
            self._faults.ended("requests_waiting")
            self._faults.raised("request_missed", key=epcs, epcs=names, reason=str(error))
            return
        self._faults.ended("requests_waiting")
        self._faults.ended("request_missed", key=epcs)
        self._source.take(answer, asked=epcs)
