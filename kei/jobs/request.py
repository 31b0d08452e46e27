"""The job that asks the meter for one group of properties, once a cycle."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from kei.core.clock import Clock
from kei.core.errors import NotAsked, NotReady, RetryLater, Stopping
from kei.core.incidents import Incidents
from kei.jobs.kinds import Event, Every, Executor, Job, JobContext, JobKind, Planned
from kei.settings.broute import RequestGroup
from kei.settings.config import Config

if TYPE_CHECKING:
    from kei.meter.decoder import MeterDecoder
    from kei.wisun.interfaces import Answer
    from kei.wisun.session import Session

log = structlog.stdlib.get_logger("kei.request")

SHORTEST_BUDGET_S = 5.0  # a good link answers within 2 s, a weak one within 6 s
SHORTEST_ANSWER_S = 1.0  # sooner hardly any meter answers
LONGEST_BUDGET_S = 30.0  # three tries; so long a group with a long cycle may hold up the others
FIRST_BUDGET_S = 10.0  # two tries for what is asked before anything else; the next run asks again
MISSES_UNTIL_ALONE = 3  # in a row, of a frame with several properties: not just the radio
# A busy meter refuses everything for a moment. The last pause ends half a minute after the first
# question, as a group with a long cycle may hold up its thread for so long.
BUSY_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)


class RequestJob:
    """Asks the meter for a group and hands the answer on; an answer that is missing is counted.

    Args:
        epcs: the properties of the group.
        cycle_s: how often it runs; all tries together take no longer than that.
        session: shared by all groups.
        decoder: takes the answers, and knows what this meter can do.
        clock: for the time that is left of the cycle.
        incidents: shared by all request jobs, so that what holds them all up is logged once.
    """

    def __init__(
        self,
        epcs: tuple[int, ...],
        cycle_s: float,
        *,
        session: Session,
        decoder: MeterDecoder,
        clock: Clock,
        incidents: Incidents,
    ) -> None:
        self._epcs = epcs
        self._cycle_s = cycle_s
        self._budget_s = min(LONGEST_BUDGET_S, max(SHORTEST_BUDGET_S, cycle_s))
        self._session = session
        self._decoder = decoder
        self._clock = clock
        self._incidents = incidents
        self._next_cycle_at = 0.0  # monotonic
        self._misses_of_several = 0
        self._never_given: set[tuple[int, ...]] = set()  # refused whenever they are asked for

    def run(self) -> None:
        """Ask once; returns at once while the session is not up."""
        self._next_cycle_at = self._clock.monotonic() + self._cycle_s
        try:
            for epc in self._decoder.wanted_first():
                self._ask((epc,), FIRST_BUDGET_S)
            epcs = self._decoder.askable(self._epcs)
            while epcs:
                at_once = epcs[: self._decoder.most_at_once]
                epcs = epcs[len(at_once) :] + self._ask(at_once, self._budget_s, if_busy=True)
            for epcs in self._decoder.wanted_last():
                self._ask_clock(epcs)
        except NotReady as error:
            self._incidents.raised("requests_waiting", level=logging.INFO, reason=str(error))
            log.debug("request_held", reason=str(error))
        except Stopping:
            return

    def _ask(
        self, epcs: tuple[int, ...], budget_s: float, *, if_busy: bool = False
    ) -> tuple[int, ...]:
        """Ask for these in one frame; return those to be asked again, with fewer in a frame.

        Args:
            epcs: the properties.
            budget_s: for all tries together.
            if_busy: whether to ask again within the cycle if the meter refuses everything.
        """
        try:
            answer = self._session.get(epcs, budget_s)
            if if_busy and not answer.properties:
                answer = self._given(epcs, answer)
        except NotReady:
            raise
        except RetryLater as error:
            self._incidents.ended("requests_waiting")
            names = " ".join(f"{epc:02X}" for epc in epcs)
            self._incidents.raised("request_missed", key=epcs, epcs=names, reason=str(error))
            return () if isinstance(error, NotAsked) else self._alone_after_misses(epcs)
        return self._take(epcs, answer)

    def _take(self, epcs: tuple[int, ...], answer: Answer) -> tuple[int, ...]:
        """Hand an answer on; return what the meter has cut off."""
        self._incidents.ended("requests_waiting")
        self._incidents.ended("request_missed", key=epcs)
        if answer.properties:
            self._never_given.discard(epcs)
        if len(epcs) > 1:
            self._misses_of_several = 0
            if cut_off := set(epcs) - answer.properties.keys() - answer.refused:
                given = tuple(epc for epc in epcs if epc not in cut_off)
                self._decoder.limit_at_once(len(given))
                self._decoder.take(answer, asked=given)
                return tuple(epc for epc in epcs if epc in cut_off)
        self._decoder.take(answer, asked=epcs)
        return ()

    def _given(self, epcs: tuple[int, ...], answer: Answer) -> Answer:
        """Return this answer, which refuses everything, or a later one of this cycle that does not.

        What the meter has refused through a whole cycle is asked once a cycle from then on, until
        it is given again.
        """
        for pause_s in BUSY_PAUSES_S:
            if epcs in self._never_given:
                break
            if self._clock.monotonic() + pause_s + SHORTEST_ANSWER_S > self._next_cycle_at:
                break
            self._session.rest(pause_s)
            try:
                answer = self._session.get(epcs, self._budget_s)
            except NotReady:
                raise
            except RetryLater:
                return answer
            if answer.properties:
                return answer
        self._never_given.add(epcs)
        return answer

    def _ask_clock(self, epcs: tuple[int, ...]) -> None:
        """Ask for the meter's clock, which nothing depends on: a miss is no fault."""
        try:
            answer = self._session.get(epcs, FIRST_BUDGET_S)
        except NotReady:
            raise
        except RetryLater as error:
            log.debug("clock_not_answered", reason=str(error))
        else:
            self._decoder.meter_clock.take(answer.properties)

    def _alone_after_misses(self, epcs: tuple[int, ...]) -> tuple[int, ...]:
        """Try one property after several misses: some meters answer no frame with more.

        All of them are asked for once more before that is believed: the meter may have been silent
        for a while, and have come back just now.

        Returns:
            properties to be asked again, one by one; none if the meter is silent altogether.
        """
        if len(epcs) == 1:
            return ()
        self._misses_of_several += 1
        if self._misses_of_several < MISSES_UNTIL_ALONE:
            return ()
        try:
            self._decoder.take(self._session.get(epcs[:1], self._budget_s), asked=epcs[:1])
        except NotReady:
            raise
        except RetryLater:
            return ()  # the meter answers nothing at present: that is no sign of anything
        try:
            return self._take(epcs, self._session.get(epcs, self._budget_s))
        except NotReady:
            raise
        except NotAsked:
            return ()
        except RetryLater:
            self._decoder.limit_at_once(1)
            return epcs[1:]


def _plan(config: Config) -> Iterator[Planned]:
    for group in config.broute.requests if config.broute else ():
        names = [f"{epc:02X}" for epc in group.epcs]
        yield Planned(
            id=f"request-{'-'.join(names)}",
            what=f"ask the meter for {' '.join(names)}",
            schedule=Every(group.cycle_s),
            executor=Executor.REQUESTS,
            origin=group,
            build=partial(_build, group),
            needs_meter=True,
            also_after=Event.JOINED,
        )


def _build(group: RequestGroup, context: JobContext) -> Job:
    session, decoder = context.session, context.decoder
    assert session is not None, "requests belong to a meter"
    assert decoder is not None, "requests belong to a meter"
    job = RequestJob(
        group.epcs,
        group.cycle_s,
        session=session,
        decoder=decoder,
        clock=context.clock,
        incidents=context.meter_incidents,
    )
    return Job(job.run)


KIND = JobKind(_plan)
